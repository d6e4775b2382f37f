import { randomBytes, scryptSync } from 'node:crypto';
import { HttpServer } from 'tswoole';

const server = new HttpServer({
  host: '127.0.0.1',
  port: Number(process.env.PORT ?? 8080),
  taskWorkerNum: 2,
  taskRetries: 1, // when a task worker dies; a hash may be computed twice, it has no side effects
  bodyLimit: '1k',
});

// Runs in a task worker: a process of its own, so what computes there blocks no request.
server.on('task', ({ data }) => {
  const salt = randomBytes(16);
  return `${salt.toString('base64url')}.${scryptSync(String(data), salt, 32).toString('base64url')}`;
});

// Runs in a worker. A timeout, a full queue or a dead task worker rejects, with a code that says which.
server.on('request', async (req, res) => {
  if (req.method === 'POST' && req.path === '/hash') {
    return res.json({ hash: await server.taskWait(await req.text(), { timeoutMs: 5000 }) });
  }
  if (req.path === '/stats') return res.json(server.stats().tasks);
  res.statusCode = 404;
  return res.json({ error: 'There are POST /hash and GET /stats.' });
});

// Every process of the server runs this file from the top; start() resolves in the master alone, when all workers are ready.
await server.start();
console.log(`listening on http://${server.host}:${server.port}`);
