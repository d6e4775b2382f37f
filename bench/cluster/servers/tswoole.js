// One node of several. MODE is process or base; DRIVER and ENGINE_URL say where the engine is, NODE is its id.
import { WebSocketServer } from '../../../dist/index.js';

const { DRIVER, ENGINE_URL, MODE, NODE, PORT } = process.env;
const server = new WebSocketServer({
  mode: MODE,
  port: Number(PORT),
  reactorNum: 1,
  workerNum: 1,
  logLevel: 'error',
  cluster: { driver: DRIVER, url: ENGINE_URL, nodeId: NODE },
});
server.on('open', (conn, req) => {
  if (req.path === '/subscribe') conn.join('room');
});
server.on('message', (_conn, data) => {
  server.publish('room', data);
});
await server.start();
console.log('ready');
