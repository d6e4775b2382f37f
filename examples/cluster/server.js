// A chat over several machines: each runs this file, all reach the same Redis. README.md has the commands.
import { hostname } from 'node:os';
import { accept, reject, WebSocketServer } from 'tswoole';

const { PORT = '8080', HOST = '127.0.0.1', NODE_ID = hostname(), REDIS_URL = 'redis://127.0.0.1:6379' } = process.env;

const server = new WebSocketServer({
  host: HOST,
  port: Number(PORT),
  workerNum: 2,
  staticFiles: 'public',
  websocketPath: '/chat',
  allowedOrigins: 'same', // other sites' pages may not connect
  maxMessageBytes: '4k',
  pingIntervalMs: 10_000,
  cluster: { driver: 'redis', url: REDIS_URL, nodeId: NODE_ID }, // the one line that a chat on one machine has not
});

const WORD = /^[\p{L}\p{N}_-]{1,20}$/u;

/** Everybody is also the only one of a room of that name: a text to it is private, whatever node they are on. */
const privately = (name) => `@${name}`;

function tell(room, message) {
  server.publish(room, JSON.stringify(message)); // to the members on all nodes
}

const commands = {
  /** Members of the room by node. */
  '/who': async (conn) => {
    const nodes = await server.cluster.members(conn.data.room).catch(() => []); // this node is not in its cluster yet
    conn.push(JSON.stringify({ type: 'members', nodes }));
  },
  '/to': (conn, name, ...words) => {
    tell(privately(name), { type: 'private', name: conn.data.name, text: words.join(' ') });
  },
};

server.on('handshake', (req) => {
  const { name = '', room = 'lobby' } = req.query;
  if (!WORD.test(name) || !WORD.test(room)) return reject(400, 'A name has 1 to 20 letters, digits, _ and -.');
  return accept({ data: { name, room } });
});

server.on('open', (conn) => {
  const { name, room } = conn.data;
  conn.join(room);
  conn.join(privately(name));
  tell(room, { type: 'join', name, node: NODE_ID });
});

server.on('message', (conn, text) => {
  if (typeof text !== 'string') return conn.disconnect(1003, 'Texts only.');
  const [word, ...words] = text.split(' ');
  if (Object.hasOwn(commands, word)) return commands[word](conn, ...words);
  const { name, room } = conn.data;
  tell(room, { type: 'say', name, text, node: NODE_ID });
});

server.on('close', (conn) => tell(conn.data.room, { type: 'leave', name: conn.data.name, node: NODE_ID }));

/** This node was without Redis: what others said in that room meanwhile is missing here, so its members here are told. */
server.on('clusterGap', async (room) => {
  if (server.workerId !== 0) return; // every process is told; one is enough
  for (const fd of await server.members(room)) server.push(fd, JSON.stringify({ type: 'gap' }));
});

server.on('request', (_req, res) => res.fail(404, 'There is no such page.'));

await server.start();
console.log(`listening on http://${server.host}:${server.port}`);
