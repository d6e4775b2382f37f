// Bun's own server. CASE is echo, broadcast or idle; COMPRESSION=1 for permessage-deflate.
const { CASE, COMPRESSION, PORT } = process.env;
const isCompressed = COMPRESSION === '1';

const server = Bun.serve({
  port: Number(PORT),
  hostname: '127.0.0.1',
  fetch(req, self) {
    const isMember = new URL(req.url).pathname === '/subscribe';
    return self.upgrade(req, { data: { isMember } }) ? undefined : new Response('no upgrade', { status: 400 });
  },
  websocket: {
    perMessageDeflate: isCompressed,
    open(socket) {
      if (socket.data.isMember) socket.subscribe('room');
    },
    message(socket, data) {
      if (CASE === 'broadcast') server.publish('room', data);
      else socket.send(data, isCompressed);
    },
  },
});
console.log('ready');
