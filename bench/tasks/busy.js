// A worker that answers requests while a task worker computes for two seconds: what do the clients notice?
import { Server } from '../../dist/index.js';

const server = new Server({ port: 0, workerNum: 1, reactorNum: 1, taskWorkerNum: 2, logLevel: 'error' });
server.on('task', ({ data }) => {
  const end = performance.now() + data.ms;
  while (performance.now() < end);
});
server.on('receive', async (conn, data) => {
  const command = data.toString().trim();
  if (command === 'spin') server.task({ ms: 2000 });
  if (command === 'small') await server.taskWait({ ms: 0 });
  conn.send('ok\n');
});
await server.start();
console.log(server.port);
