/* Run by Bun. */
const { PORT, KIND, CERT, KEY } = process.env;

Bun.listen({
  hostname: '127.0.0.1',
  port: Number(PORT),
  ...(KIND === 'tls' && { tls: { cert: Bun.file(CERT), key: Bun.file(KEY) } }),
  socket: {
    open(socket) {
      socket.setNoDelay?.(true);
    },
    data(socket, data) {
      socket.write(data);
    },
  },
});
console.log('ready');
