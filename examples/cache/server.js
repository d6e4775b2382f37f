// A slow report, computed by one worker and served by all: `/report?city=Graz`. However many ask at once, it is computed
// once; for another minute after it has aged, the old one is served while one worker makes the new one. `/stats` shows hits.
import { setTimeout as sleep } from 'node:timers/promises';
import { Atomic, HttpServer, SharedCache } from 'tswoole';

const reports = new SharedCache({ name: 'reports', maxBytes: '16m' });
const computed = new Atomic(0, { name: 'computed' });

const server = new HttpServer({ host: '127.0.0.1', port: Number(process.env.PORT ?? 8080), workerNum: 2 });

/** Stands for a query that takes a while. */
async function makeReport(city) {
  computed.add(1);
  await sleep(300);
  return { city, madeBy: server.workerId, inhabitants: 1000 * city.length };
}

// Runs in a worker.
server.on('request', async (req, res) => {
  if (req.path === '/stats') return res.json({ computed: computed.get(), ...reports.stats() });
  if (req.path !== '/report') {
    res.statusCode = 404;
    return res.end('not found\n');
  }
  const city = String(req.query.city ?? 'Vienna').slice(0, 100);
  res.json(await reports.wrap(city, () => makeReport(city), { ttlMs: 60_000, staleMs: 60_000 }));
});

await server.start();
console.log(`listening on http://${server.host}:${server.port}`);
