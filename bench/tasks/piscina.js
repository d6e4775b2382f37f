import { Piscina } from 'piscina';
import { measureCaller } from './caller.js';

const workers = Number(process.env.WORKERS);
const filename = new URL('./echo-task.js', import.meta.url).href;
const pool = new Piscina({ filename, minThreads: workers, maxThreads: workers });
await measureCaller((data) => pool.run(data));
await pool.destroy();
