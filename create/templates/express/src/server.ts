import express from 'express';
import { HttpServer } from 'tswoole';

const app = express();
app.use(express.json());
app.get('/', (_req, res) => {
  res.send('Hello from Express\n');
});
app.get('/hello/:name', (req, res) => {
  res.json({ hello: req.params.name });
});
app.post('/echo', (req, res) => {
  res.status(201).json(req.body);
});

// The app is as it would be elsewhere; each worker is a process that reloads without dropping a request.
const server = new HttpServer({ host: '127.0.0.1', port: Number(process.env.PORT ?? 8080), listener: app });
await server.start();
console.log(`listening on http://${server.host}:${server.port}`);
