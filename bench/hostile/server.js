// Ports for each kind of hostile client, beside one for the good ones. All on this machine's loopback.
import { Server } from '../../dist/index.js';

const { MODE, CERT, KEY } = process.env;
const length = { type: 'length', field: 'u32be', offset: 0, bodyOffset: 4 };
const server = new Server({
  host: '0.0.0.0',
  mode: MODE,
  workerNum: 2,
  logLevel: 'silent',
  framing: length,
  maxConnections: 40_000,
});
const closes = new Map();

server.listen({ framing: { type: 'eof', delimiter: '\n' }, packageMaxLength: '256k' });
server.listen({ tls: { cert: CERT, key: KEY, handshakeTimeoutMs: 2000 } });
server.listen({ proxyProtocol: ['192.0.2.1'] });
server.listen({ framing: { type: 'raw' } });

server.on('receive', (conn, data) => conn.send(data));
server.on('close', (_conn, reason) => closes.set(reason.code, (closes.get(reason.code) ?? 0) + 1));
server.on('workerStart', () => {
  setInterval(() => console.log(`closes ${server.workerId}  ${JSON.stringify([...closes])}`), 1000).unref();
});
await server.start();
console.log(`ports ${server.ports.map(({ port }) => port).join(' ')}`);
