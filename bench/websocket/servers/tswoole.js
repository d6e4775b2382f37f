// MODE is process or base; CASE is echo, broadcast or idle; COMPRESSION=1 for permessage-deflate.
import { WebSocketServer } from '../../../dist/index.js';

const { CASE, COMPRESSION, MODE, PORT } = process.env;
const server = new WebSocketServer({
  mode: MODE,
  port: Number(PORT),
  reactorNum: 1,
  workerNum: 1,
  maxConnections: 12_000,
  logLevel: 'error',
  websocketCompression: COMPRESSION === '1',
});
server.on('open', (conn, req) => {
  if (req.path === '/subscribe') conn.join('room');
});
server.on('message', (conn, data) => {
  if (CASE === 'broadcast') server.publish('room', data);
  else conn.push(data);
});
await server.start();
console.log('ready');
