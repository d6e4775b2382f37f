import { Server } from '../../../dist/index.js';

const { MODE, PORT, KIND, CERT, KEY } = process.env;
const server = new Server({
  mode: MODE,
  workerNum: 1,
  reactorNum: 1,
  port: Number(PORT),
  logLevel: 'error',
  ...(KIND === 'udp' && { type: 'udp' }),
  ...(KIND === 'tls' && { tls: { cert: CERT, key: KEY } }),
});
server.on('receive', (conn, data) => {
  conn.send(data);
});
server.on('packet', (data, peer) => {
  peer.send(data);
});
await server.start();
console.log('ready');
