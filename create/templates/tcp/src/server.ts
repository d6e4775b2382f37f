import { Server } from 'tswoole';

const server = new Server({
  host: '127.0.0.1',
  port: Number(process.env.PORT ?? 9501),
  // Reactors cut the stream into lines: `receive` gets each whole, however it arrived.
  framing: { type: 'eof', delimiter: '\n', split: true },
});

// Runs in a worker, for each line. A worker that crashes closes no connection.
server.on('receive', async (conn, data) => {
  const line = data.toString().trimEnd();
  if (line === 'quit') return void conn.close();
  if (!conn.send(`you said: ${line}\n`)) await conn.drain(); // the client does not keep up: wait
});

server.on('close', (conn, reason) => console.log(`${conn.fd} has gone: ${reason.code}`));

// Every process of the server runs this file from the top; start() resolves in the master alone, when all workers are ready.
await server.start();
console.log(`listening on ${server.host}:${server.port}`);
