// A chat in rooms. Names live in conn.data and members in rooms, so both outlive reloads and crashes of workers.
import { accept, reject, WebSocketServer } from 'tswoole';

const server = new WebSocketServer({
  port: Number(process.env.PORT ?? 8080),
  workerNum: 2,
  staticFiles: 'public',
  websocketPath: '/chat',
  allowedOrigins: 'same', // other sites' pages may not connect
  maxMessageBytes: '4k',
  pingIntervalMs: 10_000, // so the name of a client that is lost is free again after half a minute
});

const WORD = /^[\p{L}\p{N}_-]{1,20}$/u;

/** Each member is also the only one of a room of its own, "lobby@anna": every process knows at once who is there. */
const seat = (room, name) => `${room}@${name}`;

function membersOf(room) {
  const prefix = seat(room, '');
  const seats = server.rooms.filter(({ name }) => name.startsWith(prefix));
  return seats.map(({ name }) => name.slice(prefix.length)).sort();
}

function tell(room, message) {
  server.publish(room, JSON.stringify(message));
}

function enter(conn, room) {
  const { name } = conn.data;
  conn.data = { name, room };
  conn.join(room);
  conn.join(seat(room, name));
  tell(room, { type: 'join', name });
}

function exit(conn) {
  const { name, room } = conn.data;
  conn.leave(); // all rooms
  tell(room, { type: 'leave', name });
}

function refusal(name, room) {
  if (!WORD.test(name) || !WORD.test(room)) return 'A name has 1 to 20 letters, digits, _ and -.';
  if (server.roomSize(seat(room, name)) > 0) return `There is a ${name} in ${room}.`;
  return '';
}

function command(conn, [word, ...words]) {
  const { name, room } = conn.data;
  if (word === '/who') return conn.push(JSON.stringify({ type: 'members', room, names: membersOf(room) }));
  const [wanted = ''] = words;
  const why = word === '/room' ? refusal(name, wanted) : '/who and "/room NAME" are what there is.';
  if (why !== '') return conn.push(JSON.stringify({ type: 'error', text: why }));
  exit(conn);
  enter(conn, wanted);
}

server.on('handshake', (req) => {
  const { name = '', room = 'lobby' } = req.query;
  const why = refusal(name, room);
  return why === '' ? accept({ data: { name, room } }) : reject(409, why);
});

server.on('open', (conn) => enter(conn, conn.data.room));

server.on('message', (conn, text) => {
  if (typeof text !== 'string') return conn.disconnect(1003, 'Texts only.');
  if (text.startsWith('/')) return command(conn, text.split(' '));
  tell(conn.data.room, { type: 'say', name: conn.data.name, text });
});

server.on('close', (conn) => tell(conn.data.room, { type: 'leave', name: conn.data.name }));

server.on('request', (_req, res) => res.fail(404, 'There is no such page.'));

await server.start();
console.log(`listening on http://${server.host}:${server.port}`);
