// A feed: one process samples the server every second, for all clients of a room. Where WebSockets cannot pass, the page
// takes server-sent events.
import { WebSocketServer } from 'tswoole';

const server = new WebSocketServer({
  port: Number(process.env.PORT ?? 8080),
  workerNum: 2,
  staticFiles: 'public',
  websocketPath: '/feed',
  slowConsumer: 'skipToLatest', // old figures are of no use to a client that does not keep up
  roomHighWatermark: '64k',
});

const EVERY_MS = 1000;

function sample() {
  const { connectionNum, dispatchCount, sentBytes, bufferedBytes } = server.stats();
  return JSON.stringify({
    time: Date.now(),
    viewers: server.roomSize('stats'),
    ...{ connectionNum, dispatchCount, sentBytes, bufferedBytes },
    workers: server.workers
      .filter(({ role }) => role === 'worker')
      .map(({ id, pid, loopUtilisation }) => ({ id, pid, loopUtilisation })),
  });
}

server.addProcess({
  name: 'feed',
  run: () => server.tick(EVERY_MS, () => server.publish('stats', sample())),
});

server.on('open', (conn) => {
  conn.join('stats');
  conn.push(sample()); // does not wait for the first second
});

// Clients only listen.
server.on('message', (conn) => conn.disconnect(1008, 'This feed takes no messages.'));

server.on('request', (req, res) => {
  if (req.path !== '/events') return res.fail(404, 'There is no such page.');
  const stream = res.sse();
  stream.send({ data: sample() });
  const timer = setInterval(() => stream.send({ data: sample() }), EVERY_MS);
  stream.closed.addEventListener('abort', () => clearInterval(timer));
});

await server.start();
console.log(`listening on http://${server.host}:${server.port}`);
