import cluster from 'node:cluster';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { JSON_VALUE, KIB, KIB_100, KIB_100_TEXT, MIB, PIECE, PIECES, TEXT } from '../answers.js';

const { CERT, KEY, PORT, WORKERS } = process.env;
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

function echo(req, res) {
  const pieces = [];
  req.on('data', (piece) => pieces.push(piece));
  req.on('end', () => answer(res, 'text/plain', Buffer.concat(pieces)));
}

async function stream(res) {
  res.setHeader('content-type', 'text/plain');
  for (let i = 0; i < PIECES; i++) if (!res.write(PIECE)) await once(res, 'drain');
  res.end();
}

function serve(req, res) {
  if (req.url === '/') answer(res, 'text/plain', TEXT);
  else if (req.url === '/json') answer(res, 'application/json', JSON.stringify(JSON_VALUE));
  else if (req.url === '/kib') answer(res, 'text/plain', KIB);
  else if (req.url === '/100kib') answer(res, 'text/plain', KIB_100);
  else if (req.url === '/100kib-text') answer(res, 'text/plain', KIB_100_TEXT);
  else if (req.url === '/mib') answer(res, 'text/plain', MIB);
  else if (req.url === '/echo') echo(req, res);
  else if (req.url === '/stream') return stream(res);
  else countBody(req, res);
}

const create = () =>
  CERT ? createTlsServer({ cert: readFileSync(CERT), key: readFileSync(KEY) }, serve) : createServer(serve);

if (workers > 0 && cluster.isPrimary) {
  let listening = 0;
  cluster.on('listening', () => {
    if (++listening === workers) console.log('ready');
  });
  for (let i = 0; i < workers; i++) cluster.fork();
} else {
  create().listen(Number(PORT), '127.0.0.1', 511, () => cluster.isPrimary && console.log('ready'));
}
