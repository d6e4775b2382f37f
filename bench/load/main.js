// The load generator: a process of its own that calls the kernel as the server does.
//   node bench/load/main.js MODE PORT CONNECTIONS BYTES SECONDS
// MODE echo: one message in flight per connection. churn: connect, one message, close. idle: only hold connections.
// Prints one JSON line: {messages, seconds, perSecond, p50, p90, p99, max (µs), errors}.
import { EpollPoller } from '../../build/os/epoll-poller.js';
import { addressOf, allocateStable, EAGAIN } from '../../build/os/libc.js';
import { READABLE, WRITABLE } from '../../build/os/poller.js';
import { closeDescriptor, connectTcp, receive, send, setNoDelay } from '../../build/os/socket.js';
import { Histogram } from './histogram.js';

const [mode = 'echo', ...numbers] = process.argv.slice(2);
const [port = 9501, connections = 64, bytes = 64, seconds = 3] = numbers.map(Number);

const message = allocateStable(bytes).fill(0x61);
const messageAddress = addressOf(message);
const space = allocateStable(1 << 18);
const spaceAddress = addressOf(space);

const WARM_UP_MS = 500;
const histogram = new Histogram();
const states = new Map();
let messages = 0;
let errors = 0;
let measuring = false;

const now = () => performance.now();

const poller = new EpollPoller({
  ready(_token, descriptor, events) {
    const state = states.get(descriptor);
    if (state === undefined) return;
    if (!state.connected) {
      if (events & WRITABLE) {
        state.connected = true;
        if (mode !== 'idle') sendOne(descriptor, state);
      }
      return;
    }
    if (events & WRITABLE && state.toSend > 0) sendRest(descriptor, state);
    if (events & READABLE) take(descriptor, state);
  },
  turnEnd() {},
});

function open() {
  const descriptor = connectTcp('127.0.0.1', port);
  setNoDelay(descriptor);
  states.set(descriptor, { connected: false, toSend: 0, toReceive: 0, sentAt: mode === 'churn' ? now() : 0 });
  poller.add(descriptor, 0);
}

function close(descriptor) {
  states.delete(descriptor);
  closeDescriptor(descriptor);
}

function sendOne(descriptor, state) {
  state.toSend = bytes;
  state.toReceive = bytes;
  if (mode !== 'churn') state.sentAt = now();
  sendRest(descriptor, state);
}

function sendRest(descriptor, state) {
  const n = send(descriptor, messageAddress, state.toSend);
  if (n > 0) state.toSend -= n;
  else if (n !== -EAGAIN) fail(descriptor);
}

function take(descriptor, state) {
  const n = receive(descriptor, spaceAddress, space.length);
  if (n === -EAGAIN) return;
  if (n <= 0) return fail(descriptor);
  state.toReceive -= n;
  if (state.toReceive > 0) return;
  if (state.toReceive < 0) errors++;
  if (measuring) {
    messages++;
    histogram.add((now() - state.sentAt) * 1000);
  }
  if (mode === 'churn') {
    close(descriptor);
    open();
  } else sendOne(descriptor, state);
}

function fail(descriptor) {
  errors++;
  close(descriptor);
  if (mode === 'churn') open();
}

const round = (value) => Math.round(value * 10) / 10;

function finish(began) {
  const took = (now() - began) / 1000;
  const [p50, p90, p99] = [0.5, 0.9, 0.99].map((share) => round(histogram.percentile(share)));
  const { user, system } = process.cpuUsage();
  const perSecond = Math.round(messages / took);
  const own = { ownCpuUs: messages > 0 ? round((user + system) / messages) : 0 };
  console.log(
    JSON.stringify({ messages, seconds: took, perSecond, p50, p90, p99, max: round(histogram.max), errors, ...own }),
  );
  process.exit(0);
}

// Connections are opened in small groups: a burst would only measure the backlog.
const GROUP = 100;
async function openAll() {
  for (let opened = 0; opened < connections; opened += GROUP) {
    for (let i = opened; i < Math.min(connections, opened + GROUP); i++) open();
    while ([...states.values()].some((state) => !state.connected))
      await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

await openAll();
if (mode === 'idle') {
  console.log(JSON.stringify({ held: states.size }));
  setTimeout(() => process.exit(0), seconds * 1000);
} else {
  setTimeout(() => {
    measuring = true;
    const began = now();
    console.log('measuring');
    setTimeout(() => finish(began), seconds * 1000);
  }, WARM_UP_MS);
}
