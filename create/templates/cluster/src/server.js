import { hostname } from 'node:os';
import { fileURLToPath } from 'node:url';
import { accept, reject, WebSocketServer } from 'tswoole';

/** Each machine runs this file, and all reach the same Redis. A node that has none serves on alone. */
const { NODE_ID = hostname(), REDIS_URL = 'redis://127.0.0.1:6379' } = process.env;

const WORD = /^[\p{L}\p{N}_-]{1,20}$/u;

/** A field that the query has twice is a list. */
function isWord(text) {
  return typeof text === 'string' && WORD.test(text);
}

/** `conn.data` lies outside of the workers, as rooms do: both survive reloads and crashes, and so does every connection. */
const server = new WebSocketServer({
  host: '127.0.0.1',
  port: Number(process.env.PORT ?? 8080),
  staticFiles: fileURLToPath(new URL('{{public}}', import.meta.url)),
  websocketPath: '/chat',
  allowedOrigins: 'same', // other sites' pages may not connect
  maxMessageBytes: '4k',
  pingIntervalMs: 10_000,
  cluster: { driver: 'redis', url: REDIS_URL, nodeId: NODE_ID },
});

function tell(room, message) {
  server.publish(room, JSON.stringify(message)); // to the members on all nodes
}

server.on('handshake', (req) => {
  const { name = '', room = 'lobby' } = req.query;
  if (!isWord(name) || !isWord(room)) return reject(400, 'A name has 1 to 20 letters, digits, _ and -.');
  return accept({ data: { name, room } });
});

server.on('open', (conn) => {
  const { name, room } = conn.data;
  conn.join(room);
  tell(room, { type: 'join', name });
});

server.on('message', (conn, text) => {
  if (typeof text !== 'string') return conn.disconnect(1003, 'Texts only.');
  const { name, room } = conn.data;
  tell(room, { type: 'say', name, text, node: NODE_ID });
});

server.on('close', (conn) => tell(conn.data.room, { type: 'leave', name: conn.data.name }));

// This node was without Redis: what others said in that room meanwhile is missing, so its members here are told.
server.on('clusterGap', async (room) => {
  if (server.workerId !== 0) return; // every process is told; one is enough
  for (const fd of await server.members(room)) server.push(fd, JSON.stringify({ type: 'gap' }));
});

server.on('request', (_req, res) => res.fail(404, 'There is no such page.'));

// Every process of the server runs this file from the top; start() resolves in the master alone, when all workers are ready.
await server.start();
console.log(`listening on http://${server.host}:${server.port}`);
