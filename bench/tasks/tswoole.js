import { measureCaller } from './caller.js';

// DIST is that of another checkout where two are compared.
const { Server } = await import(process.env.DIST ?? '../../dist/index.js');

const workers = Number(process.env.WORKERS);
const server = new Server({ workerNum: 1, reactorNum: 1, taskWorkerNum: workers, logLevel: 'error' });
server.on('task', (task) => task.data);
server.on('receive', () => {});
server.on('workerStart', (id) => {
  if (id > 0) return;
  server.after(300, async () => {
    await measureCaller((data) => server.taskWait(data));
    server.shutdown();
  });
});
await server.start();
