// Sessions in shared memory: `POST /login` with `name=ada` begins one, `/` counts its visits, `POST /logout` ends it. Whichever
// worker answers knows the session; it outlives reloads and killed workers, and with SESSIONS=FILE also a restart of the server.
import { randomBytes } from 'node:crypto';
import { HttpServer, Table } from 'tswoole';

const LASTS_MS = 30 * 60_000;
const sessions = new Table(
  100_000,
  { name: { type: 'string', size: 64 }, visits: 'int' },
  // A session that was not used for long makes room where there are too many.
  { name: 'sessions', expiresMs: LASTS_MS, onFull: 'evict', file: process.env.SESSIONS },
);

const server = new HttpServer({ host: '127.0.0.1', port: Number(process.env.PORT ?? 8080), workerNum: 2 });

/** What a client sends may be anything. */
const isId = (text) => /^[\w-]{32}$/.test(text);

/** The id cannot be guessed, and says nothing. */
function begin(res, name) {
  const id = randomBytes(24).toString('base64url');
  sessions.set(id, { name, visits: 0 });
  res.cookie('session', id, { httpOnly: true, sameSite: 'lax', path: '/', maxAge: LASTS_MS / 1000 });
  res.end(`Welcome, ${name}\n`);
}

const NONE = new Error('there is no such session');

/** One visit more, and half an hour more, in one step. @returns undefined: it has ended */
function visit(id) {
  try {
    return sessions.update(id, (row) => {
      if (row.name === '') throw NONE; // the row would be a new one: it is not written
      row.visits++;
      return { ...row };
    });
  } catch (error) {
    if (error !== NONE) throw error;
    return undefined;
  }
}

// Runs in a worker.
server.on('request', async (req, res) => {
  res.setHeader('content-type', 'text/plain; charset=utf-8');
  const id = req.cookies.session ?? '';
  if (req.method === 'POST' && req.path === '/login') {
    const { name } = (await req.form()).fields; // stands for a proof of who it is
    if (typeof name === 'string' && name !== '' && Buffer.byteLength(name) <= 64) return begin(res, name);
    res.statusCode = 400;
    return res.end('say name=…, of at most 64 bytes\n');
  }
  if (req.method === 'POST' && req.path === '/logout') {
    if (isId(id)) sessions.delete(id);
    res.clearCookie('session', { path: '/' });
    return res.end('Goodbye\n');
  }
  const session = isId(id) ? visit(id) : undefined;
  if (session === undefined) {
    res.statusCode = 401;
    return res.end('POST /login first\n');
  }
  res.end(`Hello, ${session.name}: visit ${session.visits}, answered by worker ${server.workerId}\n`);
});

await server.start();
console.log(`listening on http://${server.host}:${server.port}`);
