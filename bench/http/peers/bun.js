/* Run by Bun. */
import { JSON_VALUE, KIB, TEXT } from '../answers.js';

const text = (body) => new Response(body, { headers: { 'content-type': 'text/plain' } });

Bun.serve({
  hostname: '127.0.0.1',
  port: Number(process.env.PORT),
  routes: {
    '/': () => text(TEXT),
    '/json': () => Response.json(JSON_VALUE),
    '/kib': () => text(KIB),
    '/post': async (request) => text(String((await request.arrayBuffer()).byteLength)),
  },
});
console.log('ready');
