// attacker.js KIND SECONDS PORT…: keeps up one kind of attack. Loopback only, bounded in time.
import { connect } from 'node:net';

const [kind, seconds, ...ports] = process.argv.slice(2);
const [length, eof, tls, proxied, raw] = ports.map(Number);
const end = performance.now() + Number(seconds) * 1000;
const goesOn = () => performance.now() < end;

/** A client that does what `act` says and, when it is disconnected, comes again. */
function keep(port, count, act) {
  const one = () => {
    if (!goesOn()) return;
    const socket = connect({ port, host: '127.0.0.1' });
    socket.on('error', () => {});
    socket.on('connect', () => act(socket));
    socket.on('close', () => setTimeout(one, 20));
    socket.resume();
    setTimeout(() => socket.destroy(), end - performance.now()).unref();
  };
  for (let i = 0; i < count; i++) one();
}

const pour = (piece) => (socket) => {
  const more = () => {
    while (!socket.destroyed && socket.write(piece));
  };
  socket.on('drain', more);
  more();
};

const kinds = {
  'claims 4 GiB': () => keep(length, 50, (socket) => socket.write(Buffer.from([0xff, 0xff, 0xff, 0xff, 1, 2, 3]))),
  'no end of packet': () => keep(eof, 20, pour(Buffer.alloc(16_384, 'x'))),
  'TLS garbage': () => keep(tls, 50, (socket) => socket.write('GET / HTTP/1.1\r\n\r\n')),
  'slow handshake': () => keep(tls, 200, (socket) => socket.write(Buffer.from('1603', 'hex'))),
  'PROXY from nowhere': () => keep(proxied, 50, (socket) => socket.write('PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n')),
  'many connections': () => {
    for (let i = 0; i < 10_000; i++) {
      const socket = connect({ port: raw, host: `127.0.0.${2 + (i % 8)}` });
      socket.on('error', () => {});
      setTimeout(() => socket.destroy(), end - performance.now());
    }
  },
};
kinds[kind]();
setTimeout(() => process.exit(0), Number(seconds) * 1000 + 200);
