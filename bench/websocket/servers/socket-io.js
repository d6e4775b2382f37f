// Socket.IO over WebSocket only, from the folder in PACKAGES. CASE is echo, broadcast or idle.
import { createRequire } from 'node:module';

const { CASE, PACKAGES, PORT } = process.env;
const { Server } = createRequire(PACKAGES)('socket.io');
const io = new Server({ transports: ['websocket'], pingInterval: 120_000 });

io.on('connection', (socket) => {
  if (CASE !== 'broadcast') socket.on('m', (data) => socket.emit('m', data));
  else if (socket.handshake.query.role === 'subscriber') socket.join('room');
  else socket.on('p', (data) => io.to('room').emit('p', data));
});
io.listen(Number(PORT));
io.httpServer.once('listening', () => console.log('ready'));
