// An unchanged handler for node:http.
import { HttpServer } from 'tswoole';

function handler(req, res) {
  if (req.method === 'POST') {
    res.writeHead(201, { 'content-type': req.headers['content-type'] ?? 'text/plain' });
    return req.pipe(res);
  }
  res.setHeader('content-type', 'text/plain');
  res.end('Hello from node:http\n');
}

const server = new HttpServer({ port: Number(process.env.PORT ?? 8080), listener: handler });
await server.start();
console.log(`listening on http://${server.host}:${server.port}`);
