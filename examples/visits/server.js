// Counts visits over all workers, in shared memory: `/PAGE` counts, `/` shows the most visited pages. Counts outlive reloads
// and killed workers. A client may ask 5 times a second, and 20 times at once; above that it gets 429.
import { Atomic, HttpServer, Table } from 'tswoole';

// Declared before start(), so that every process finds the same ones.
const visits = new Table(10_000, { count: 'int', last: 'float' }, { name: 'visits', keyBytes: 200, onFull: 'evict' });
const total = new Atomic(0, { name: 'total visits' });

const server = new HttpServer({
  host: '127.0.0.1',
  port: Number(process.env.PORT ?? 8080),
  workerNum: 2,
  rateLimit: { perSecond: 5, burst: 20 },
});

function mostVisited() {
  const rows = [...visits].sort(([, a], [, b]) => b.count - a.count).slice(0, 10);
  return rows.map(([page, { count, last }]) => `${count} ${page} ${new Date(last).toISOString()}\n`).join('');
}

// Runs in a worker.
server.on('request', (req, res) => {
  res.setHeader('content-type', 'text/plain; charset=utf-8');
  if (req.path === '/') return res.end(`${total.get()} visits\n${mostVisited()}`);
  const page = req.path.slice(0, 60);
  const count = visits.incr(page, 'count');
  visits.set(page, { last: Date.now() }); // the other columns stay
  total.add(1);
  res.end(`${page}: visit ${count}, answered by worker ${server.workerId}\n`);
});

await server.start();
console.log(`listening on http://${server.host}:${server.port}`);
