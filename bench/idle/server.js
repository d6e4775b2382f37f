import { Server } from '../../dist/index.js';

const { MODE, WORKERS, CONNECTIONS } = process.env;
const server = new Server({
  host: '0.0.0.0',
  mode: MODE,
  workerNum: Number(WORKERS),
  maxConnections: Number(CONNECTIONS) + 1000,
  backlog: 4096,
  logLevel: 'warn',
});
server.on('receive', (conn, data) => {
  conn.send(data);
});
await server.start();
console.log(`ready ${server.port}`);
setInterval(() => console.log(`open ${server.stats().connectionNum}`), 50);
