import cluster from 'node:cluster';
import { createServer } from 'node:http';
import { JSON_VALUE, KIB, TEXT } from '../answers.js';

const { PORT, WORKERS } = process.env;
const workers = Number(WORKERS ?? 0);

function answer(res, type, body) {
  res.setHeader('content-type', type);
  res.end(body);
}

function countBody(req, res) {
  let bytes = 0;
  req.on('data', (piece) => {
    bytes += piece.length;
  });
  req.on('end', () => answer(res, 'text/plain', String(bytes)));
}

function serve(req, res) {
  if (req.url === '/') answer(res, 'text/plain', TEXT);
  else if (req.url === '/json') answer(res, 'application/json', JSON.stringify(JSON_VALUE));
  else if (req.url === '/kib') answer(res, 'text/plain', KIB);
  else countBody(req, res);
}

if (workers > 0 && cluster.isPrimary) {
  let listening = 0;
  cluster.on('listening', () => {
    if (++listening === workers) console.log('ready');
  });
  for (let i = 0; i < workers; i++) cluster.fork();
} else {
  createServer(serve).listen(Number(PORT), '127.0.0.1', 511, () => cluster.isPrimary && console.log('ready'));
}
