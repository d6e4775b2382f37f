// Run by @hono/node-server and by the fetch handler of tswoole.
import { Hono } from 'hono';
import { JSON_VALUE, KIB, TEXT } from '../answers.js';

export const app = new Hono();
app.get('/', (c) => c.text(TEXT));
app.get('/json', (c) => c.json(JSON_VALUE));
app.get('/kib', (c) => c.text(KIB));
app.post('/post', async (c) => c.text(String((await c.req.arrayBuffer()).byteLength)));
