import cluster from 'node:cluster';
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';

const { CERT, KEY, KIND, PORT, WORKERS } = process.env;
const port = Number(PORT);
const workers = Number(WORKERS ?? 0);
const ready = () => cluster.isPrimary && console.log('ready');

function echo(socket) {
  socket.setNoDelay(true);
  socket.on('data', (data) => socket.write(data));
  socket.on('error', () => {});
}

function serve() {
  if (KIND === 'udp') {
    const socket = createSocket('udp4');
    socket.on('message', (data, { port: from, address }) => socket.send(data, from, address));
    socket.bind(port, '127.0.0.1', ready);
  } else if (KIND === 'tls') {
    const server = createTlsServer({ cert: readFileSync(CERT), key: readFileSync(KEY) }, echo);
    server.on('tlsClientError', () => {}).listen(port, '127.0.0.1', 511, ready);
  } else createServer(echo).listen(port, '127.0.0.1', 511, ready);
}

if (workers > 0 && cluster.isPrimary) {
  let listening = 0;
  cluster.on('listening', () => {
    if (++listening === workers) ready();
  });
  for (let i = 0; i < workers; i++) cluster.fork();
} else serve();
