import { Server } from '../../dist/index.js';

const { MODE, PORT, REACTORS, WORKERS } = process.env;
const server = new Server({
  mode: MODE === 'base' ? 'base' : 'process',
  port: Number(PORT),
  logLevel: 'error',
  reactorNum: REACTORS === undefined ? undefined : Number(REACTORS),
  workerNum: WORKERS === undefined ? undefined : Number(WORKERS),
});
server.on('receive', (conn, data) => {
  conn.send(data);
});
await server.start();
