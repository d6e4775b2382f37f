// The app whose start is measured: each process that runs it says so.
import cluster from 'node:cluster';
import { createServer } from 'node:http';

console.log('runs the app');
const { DIST = '../../../dist/index.js', MODE, PORT, WORKERS } = process.env;

async function serveByTswoole() {
  const { HttpServer } = await import(DIST);
  const settings = { mode: MODE, reactorNum: Number(WORKERS), workerNum: Number(WORKERS), logLevel: 'silent' };
  const server = new HttpServer({ host: '127.0.0.1', port: Number(PORT), ...settings });
  server.on('request', (_req, res) => res.end('Hello World\n'));
  server.on('afterReload', () => console.log('reloaded'));
  await server.start();
}

if (MODE !== undefined) await serveByTswoole();
else if (WORKERS !== undefined && cluster.isPrimary) for (let i = 0; i < Number(WORKERS); i++) cluster.fork();
else createServer((_req, res) => res.end('Hello World\n')).listen(Number(PORT), '127.0.0.1');
