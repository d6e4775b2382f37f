// Unchanged socket.io. Each request of a session reaches the worker that holds it, with polling too.
import { createServer } from 'node:http';
import { Server as SocketServer } from 'socket.io';
import { HttpServer } from 'tswoole';

const http = createServer();
const io = new SocketServer(http);
io.on('connection', (socket) => {
  socket.on('ask', (text, answer) => answer(`heard: ${text}`));
});

const server = new HttpServer({ port: Number(process.env.PORT ?? 8080), listener: http });
await server.start();
console.log(`listening on http://${server.host}:${server.port}`);
