// DIST is that of another checkout where two are compared.
const { Server } = await import(process.env.DIST ?? '../../dist/index.js');

const { CERT, KEY, KIND, MODE, PORT, REACTORS, WORKERS } = process.env;
const server = new Server({
  mode: MODE === 'base' ? 'base' : 'process',
  port: Number(PORT),
  logLevel: 'error',
  ...(REACTORS !== undefined && { reactorNum: Number(REACTORS) }),
  ...(WORKERS !== undefined && { workerNum: Number(WORKERS) }),
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
