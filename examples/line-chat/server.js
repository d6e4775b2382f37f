// A line-based chat: each packet is one line, and goes to all clients, whichever worker has their connection.
import { Server } from 'tswoole';

const server = new Server({
  port: Number(process.env.PORT ?? 9503),
  framing: { type: 'eof', delimiter: '\n', split: true },
  packageMaxLength: 1024,
});

/** Names of the connections of this worker: a connection keeps its worker. */
const names = new Map();

function tellAll(text, except) {
  for (const fd of server.connections) if (fd !== except) server.send(fd, `${text}\n`);
}

server.on('connect', (conn) => conn.send('Who are you?\n'));

server.on('receive', (conn, data) => {
  const line = data.toString().trim();
  const name = names.get(conn.fd);
  if (name === undefined) {
    names.set(conn.fd, line || `guest ${conn.fd}`);
    conn.send(`Welcome, ${names.get(conn.fd)}. There are ${server.connections.size} of you. /quit ends.\n`);
    tellAll(`* ${names.get(conn.fd)} has come`, conn.fd);
  } else if (line === '/quit') conn.close();
  else if (line !== '') tellAll(`${name}: ${line}`, conn.fd);
});

server.on('close', (conn) => {
  const name = names.get(conn.fd);
  names.delete(conn.fd);
  if (name !== undefined) tellAll(`* ${name} has gone`, conn.fd);
});

await server.start();
console.log(`chat server listening on ${server.host}:${server.port}
try  nc ${server.host} ${server.port}   in two terminals`);
