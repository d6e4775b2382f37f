// A JSON API with two task workers for long computations.
import { createHash } from 'node:crypto';
import { HttpServer } from 'tswoole';

const server = new HttpServer({
  port: Number(process.env.PORT ?? 8080),
  taskWorkerNum: 2,
  compression: true,
  bodyLimit: '64k',
});

const routes = {
  'GET /': (_req, res) => res.json({ routes: Object.keys(routes) }),
  'GET /greet': (req, res) => res.json({ greeting: `Hello, ${req.query.name ?? 'stranger'}` }),
  'POST /sum': async (req, res) => {
    const { numbers } = await req.json();
    if (!Array.isArray(numbers)) return fail(res, 400, 'numbers must be a list');
    res.json({ sum: numbers.reduce((sum, number) => sum + Number(number), 0) });
  },
  // A task worker computes; this worker serves others meanwhile.
  'POST /digest': async (req, res) => res.json({ digest: await server.taskWait(await req.text()) }),
};

function fail(res, status, error) {
  res.statusCode = status;
  res.json({ error });
}

server.on('request', async (req, res) => {
  const route = routes[`${req.method} ${req.path}`];
  if (route === undefined) return fail(res, 404, 'there is no such thing');
  try {
    await route(req, res);
  } catch (error) {
    if (error.code !== 'ERR_HTTP_BODY_JSON') throw error; // answered 500, and logged
    fail(res, 400, error.message);
  }
});

server.on('task', ({ data }) => {
  let digest = data;
  for (let i = 0; i < 10_000; i++) digest = createHash('sha256').update(digest).digest('hex');
  return digest;
});

await server.start();
console.log(`listening on http://${server.host}:${server.port}`);
