// MODE, WORKERS and CONNECTIONS: WebSockets in rooms that do nothing. `GET /size` tells how many there are, `GET /publish`
// publishes the time to all of them.
import { WebSocketServer } from '../../../dist/index.js';

const { CONNECTIONS, MODE, PORT, WORKERS } = process.env;
const ROOMS = 1000;
const server = new WebSocketServer({
  ...{ host: '0.0.0.0', port: Number(PORT), mode: MODE, workerNum: Number(WORKERS), backlog: 4096 },
  maxWaitMs: 60_000, // a worker hands 14,000 sockets over; on a busy machine that takes longer than 3 s
  ...{ maxConnections: Number(CONNECTIONS) + 1000, pingIntervalMs: 0, logLevel: process.env.LOG ?? 'warn' },
});
server.on('open', (conn) => {
  conn.data = { name: `client ${conn.fd}` };
  conn.join('all');
  conn.join(`room ${conn.fd % ROOMS}`);
});
server.on('request', (req, res) => {
  if (req.path === '/publish') server.publish('all', `${process.hrtime.bigint()} ${'x'.repeat(40)}`);
  res.end(String(server.roomSize('all')));
});
server.on('afterReload', () => console.log('reloaded'));
await server.start();
console.log('ready');
