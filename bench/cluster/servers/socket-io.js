// One node of Socket.IO over WebSocket only, with its Redis streams adapter, from the folder in PACKAGES.
import { createRequire } from 'node:module';

const { ENGINE_URL, PACKAGES, PORT } = process.env;
const require = createRequire(PACKAGES);
const { Server } = require('socket.io');
const { createAdapter } = require('@socket.io/redis-streams-adapter');
const { Redis } = require('ioredis');

const adapter = createAdapter(new Redis(ENGINE_URL), { onlyPlaintext: true });
const io = new Server({ transports: ['websocket'], pingInterval: 120_000, adapter });
io.on('connection', (socket) => {
  if (socket.handshake.query.role === 'subscriber') socket.join('room');
  else socket.on('p', (data) => io.to('room').emit('p', data));
});
io.listen(Number(PORT));
io.httpServer.once('listening', () => console.log('ready'));
