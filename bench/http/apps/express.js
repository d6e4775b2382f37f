// Run by node:http and by the listener of tswoole. What only Express adds to an answer is off.
import express from 'express';
import { JSON_VALUE, KIB, TEXT } from '../answers.js';

export const app = express().disable('etag').disable('x-powered-by');
app.get('/', (_req, res) => res.type('text/plain').send(TEXT));
app.get('/json', (_req, res) => res.json(JSON_VALUE));
app.get('/kib', (_req, res) => res.type('text/plain').send(KIB));
app.post('/post', express.raw({ type: () => true }), (req, res) =>
  res.type('text/plain').send(String(req.body.length)),
);
