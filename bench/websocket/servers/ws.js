// `ws` with bufferutil, from the folder in PACKAGES. CASE is echo, broadcast or idle; COMPRESSION=1 for permessage-deflate.
import { createRequire } from 'node:module';

const { CASE, COMPRESSION, PACKAGES, PORT } = process.env;
const { WebSocketServer } = createRequire(PACKAGES)('ws');
const takeover = { serverNoContextTakeover: true, clientNoContextTakeover: true };
const perMessageDeflate = COMPRESSION === '1' && { ...takeover, threshold: 0, zlibDeflateOptions: { level: 1 } };
const server = new WebSocketServer({ port: Number(PORT), host: '127.0.0.1', perMessageDeflate, backlog: 1024 });
const room = new Set();

function publish(data, binary) {
  for (const member of room) member.send(data, { binary });
}

server.on('connection', (socket, req) => {
  if (req.url === '/subscribe') room.add(socket);
  socket.on('message', (data, binary) =>
    CASE === 'broadcast' ? publish(data, binary) : socket.send(data, { binary }),
  );
  socket.on('close', () => room.delete(socket));
  socket.on('error', () => room.delete(socket));
});
server.on('listening', () => console.log('ready'));
