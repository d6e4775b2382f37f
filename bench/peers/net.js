import { createServer } from 'node:net';

createServer({ noDelay: true }, (socket) => {
  socket.on('data', (data) => socket.write(data));
  socket.on('error', () => {});
}).listen(Number(process.env.PORT), '127.0.0.1', 511);
