import { Tinypool } from 'tinypool';
import { measureCaller } from './caller.js';

const workers = Number(process.env.WORKERS);
const filename = new URL('./echo-task.js', import.meta.url).href;
const pool = new Tinypool({ filename, runtime: 'child_process', minThreads: workers, maxThreads: workers });
await measureCaller((data) => pool.run(data));
await pool.destroy();
