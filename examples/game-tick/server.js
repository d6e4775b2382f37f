// A game: clients send inputs, one process of ours moves the players and publishes what has changed, 20 times a second.
// If that process dies, its successor takes all clients in anew; if a worker dies, they do not notice.
import { WebSocketServer } from 'tswoole';

const server = new WebSocketServer({
  port: Number(process.env.PORT ?? 8080),
  workerNum: 2,
  staticFiles: 'public',
  websocketPath: '/game',
  maxMessageBytes: 64,
  slowConsumer: 'drop', // a client that lags behind asks where all are when it has caught up
  roomHighWatermark: '64k',
});

const TICK_MS = 50;
const SIZE = 1000;
const SPEED = 10;
const STEPS = { up: [0, -1], down: [0, 1], left: [-1, 0], right: [1, 0], stop: [0, 0] };

// ——— in the process of the game ———

/** By session id. */
const players = new Map();
let tick = 0;

const between = (value) => Math.min(SIZE, Math.max(0, value));

function come(fd) {
  const player = { x: Math.floor(Math.random() * SIZE), y: Math.floor(Math.random() * SIZE), step: STEPS.stop };
  players.set(fd, player);
  return player;
}

/** All of it comes from one process, so the client has the whole state before the first change. */
function welcome(fd) {
  if (!server.join(fd, 'game')) return players.delete(fd); // it has gone
  const all = [...players].map(([id, { x, y }]) => [id, x, y]);
  server.push(fd, JSON.stringify({ type: 'all', you: fd, tick, players: all }));
}

const hears = {
  join(fd) {
    come(fd).isNew = true;
    welcome(fd);
  },
  input(fd, word) {
    (players.get(fd) ?? come(fd)).step = STEPS[word];
  },
  all: welcome,
  leave(fd) {
    if (players.delete(fd)) server.publish('game', JSON.stringify({ type: 'leave', id: fd }));
  },
};

function move([id, player]) {
  const x = between(player.x + player.step[0] * SPEED);
  const y = between(player.y + player.step[1] * SPEED);
  const hasChanged = player.isNew || x !== player.x || y !== player.y;
  Object.assign(player, { x, y, isNew: false });
  return hasChanged ? [[id, x, y]] : [];
}

function nextTick() {
  tick++;
  server.publish('game', JSON.stringify({ type: 'tick', tick, players: [...players].flatMap(move) }));
}

function run() {
  for (const fd of server.connections) if (server.isEstablished(fd)) hears.join(fd); // after a reload, or a crash
  server.tick(TICK_MS, nextTick);
}

const game = server.addProcess({ name: 'game', run });

server.on('pipeMessage', ({ type, fd, word }) => hears[type](fd, word));

// ——— in the workers ———

const tellGame = (message) => server.sendMessage(message, game);

server.on('open', (conn) => tellGame({ type: 'join', fd: conn.fd }));

server.on('message', (conn, word) => {
  if (word === 'all') return tellGame({ type: 'all', fd: conn.fd });
  if (!Object.hasOwn(STEPS, word)) return conn.disconnect(1008, 'up, down, left, right, stop, all');
  return tellGame({ type: 'input', fd: conn.fd, word });
});

server.on('close', (conn) => tellGame({ type: 'leave', fd: conn.fd }));

server.on('request', (_req, res) => res.fail(404, 'There is no such page.'));

await server.start();
console.log(`listening on http://${server.host}:${server.port}`);
