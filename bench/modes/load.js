// load.js udp|tls PORT CONNECTIONS SECONDS: one 64-byte message under way per connection, by Node's own clients.
// Prints `measuring`, then one JSON line {messages, perSecond, errors}.
import { createSocket } from 'node:dgram';
import { connect } from 'node:tls';

const [kind, ...numbers] = process.argv.slice(2);
const [port, connections, seconds] = numbers.map(Number);
const message = Buffer.alloc(64, 'a');
const WARM_UP_MS = 700;
/** A datagram may be lost; its client goes on after this. */
const LOST_MS = 100;
let messages = 0;
let errors = 0;

function encrypted() {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
  let missing = 0;
  const send = () => {
    missing = message.length;
    socket.write(message);
  };
  socket.setNoDelay(true);
  socket.on('secureConnect', send);
  socket.on('error', () => errors++);
  socket.on('data', (data) => {
    missing -= data.length;
    if (missing > 0) return;
    messages++;
    send();
  });
}

function datagrams() {
  const socket = createSocket('udp4');
  let lastAt = 0;
  const send = () => {
    lastAt = performance.now();
    socket.send(message, port, '127.0.0.1');
  };
  socket.on('message', () => {
    messages++;
    send();
  });
  setInterval(() => {
    if (performance.now() - lastAt < LOST_MS) return;
    errors++;
    send();
  }, LOST_MS);
  send();
}

for (let i = 0; i < connections; i++) (kind === 'tls' ? encrypted : datagrams)();
setTimeout(() => {
  console.log('measuring');
  messages = 0;
  errors = 0;
  const began = performance.now();
  setTimeout(() => {
    const passed = (performance.now() - began) / 1000;
    console.log(JSON.stringify({ messages, perSecond: messages / passed, errors }));
    process.exit(0);
  }, seconds * 1000);
}, WARM_UP_MS);
