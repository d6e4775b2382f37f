// WebSockets by unchanged `ws`, attached to an http.Server that does not listen. Messages reach the clients of one worker.
import { createServer } from 'node:http';
import { HttpServer } from 'tswoole';
import { WebSocketServer } from 'ws';

const http = createServer((_req, res) => res.end('connect with a WebSocket\n'));
const sockets = new WebSocketServer({ server: http });
sockets.on('connection', (socket) => {
  socket.on('message', (data) => socket.send(`you said: ${data}`));
});

const server = new HttpServer({ port: Number(process.env.PORT ?? 8080), listener: http });
await server.start();
console.log(`listening on http://${server.host}:${server.port}`);
