import { JSON_VALUE, KIB, KIB_100, KIB_100_TEXT, MIB, PIECE, PIECES, TEXT } from '../answers.js';

// DIST is that of another checkout where two are compared.
const { HttpServer } = await import(process.env.DIST ?? '../../../dist/index.js');
const { CERT, FILES, HANDLER, KEY, MODE, PORT, REACTORS, WORKERS } = process.env;

function answer(res, type, body) {
  res.setHeader('content-type', type);
  res.end(body);
}

async function countBody(req, res) {
  answer(res, 'text/plain', String((await req.body()).length));
}

async function echo(req, res) {
  answer(res, 'text/plain', await req.body());
}

async function stream(res) {
  res.setHeader('content-type', 'text/plain');
  for (let i = 0; i < PIECES; i++) if (!res.write(PIECE)) await res.drain();
  res.end();
}

function route(req, res) {
  if (req.path === '/') answer(res, 'text/plain', TEXT);
  else if (req.path === '/json') answer(res, 'application/json', JSON.stringify(JSON_VALUE));
  else if (req.path === '/kib') answer(res, 'text/plain', KIB);
  else if (req.path === '/100kib') answer(res, 'text/plain', KIB_100);
  else if (req.path === '/100kib-text') answer(res, 'text/plain', KIB_100_TEXT);
  else if (req.path === '/mib') answer(res, 'text/plain', MIB);
  else if (req.path === '/echo') return echo(req, res);
  else if (req.path === '/stream') return stream(res);
  else return countBody(req, res);
}

/** The frameworks are loaded only where they are run. */
async function handlerOptions() {
  if (HANDLER === 'fetch') return { fetch: (await import('../apps/hono.js')).app.fetch };
  if (HANDLER === 'listener') return { listener: (await import('../apps/express.js')).app };
  return {};
}

const server = new HttpServer({
  host: '127.0.0.1',
  port: Number(PORT),
  mode: MODE,
  workerNum: Number(WORKERS),
  ...(CERT !== undefined && { tls: { cert: CERT, key: KEY } }),
  ...(FILES !== undefined && { staticFiles: FILES }),
  ...(REACTORS !== undefined && { reactorNum: Number(REACTORS) }),
  logLevel: 'silent',
  ...(await handlerOptions()),
});
if (HANDLER === undefined) server.on('request', route);
await server.start();
console.log('ready');
