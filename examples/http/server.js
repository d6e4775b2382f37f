// The smallest HTTP server.
import { HttpServer } from 'tswoole';

const server = new HttpServer({ host: '127.0.0.1', port: Number(process.env.PORT ?? 8080) });

// Runs in a worker, for each request.
server.on('request', (_req, res) => {
  res.setHeader('content-type', 'text/plain');
  res.end(`Hello from worker ${server.workerId}\n`);
});

await server.start();
console.log(`listening on http://${server.host}:${server.port}`);
