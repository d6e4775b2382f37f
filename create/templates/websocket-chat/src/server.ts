import { fileURLToPath } from 'node:url';
import { accept, reject, WebSocketServer } from 'tswoole';

const WORD = /^[\p{L}\p{N}_-]{1,20}$/u;

/** A field that the query has twice is a list. */
function isWord(text: string | string[]): text is string {
  return typeof text === 'string' && WORD.test(text);
}

/** `conn.data` lies outside of the workers, as rooms do: both survive reloads and crashes, and so does every connection. */
const server = new WebSocketServer<{ name: string; room: string }>({
  host: '127.0.0.1',
  port: Number(process.env.PORT ?? 8080),
  staticFiles: fileURLToPath(new URL('{{public}}', import.meta.url)),
  websocketPath: '/chat',
  allowedOrigins: 'same', // other sites' pages may not connect
  maxMessageBytes: '4k',
  pingIntervalMs: 10_000,
});

function tell(room: string, message: object) {
  server.publish(room, JSON.stringify(message)); // to the members in all workers
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
  tell(room, { type: 'say', name, text });
});

server.on('close', (conn) => tell(conn.data.room, { type: 'leave', name: conn.data.name }));

server.on('request', (_req, res) => res.fail(404, 'There is no such page.'));

// Every process of the server runs this file from the top; start() resolves in the master alone, when all workers are ready.
await server.start();
console.log(`listening on http://${server.host}:${server.port}`);
