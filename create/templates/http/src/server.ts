import { Atomic, HttpServer } from 'tswoole';

/** In shared memory: all workers count on it, and it survives reloads and crashes. */
const requests = new Atomic(0);

const server = new HttpServer({
  host: '127.0.0.1',
  port: Number(process.env.PORT ?? 8080),
  compression: true,
  bodyLimit: '1m',
});

// Runs in a worker. Reactors parse and check requests, and hold the connections while workers reload or crash.
server.on('request', async (req, res) => {
  const count = requests.add(1);
  const route = `${req.method} ${req.path}`;
  if (route === 'GET /') return res.json({ requests: count, worker: server.workerId });
  if (route === 'GET /hello') return res.json({ hello: req.query.name ?? 'you' });
  if (route === 'POST /echo') return res.json(await req.json()); // a body that is not JSON is answered 400
  res.statusCode = 404;
  return res.json({ error: `There is no ${route}.` });
});

// Every process of the server runs this file from the top; start() resolves in the master alone, when all workers are ready.
await server.start();
console.log(`listening on http://${server.host}:${server.port}`);
