/* Run by Bun. */
import { JSON_VALUE, KIB, KIB_100, KIB_100_TEXT, MIB, TEXT } from '../answers.js';

const { CERT, KEY, PORT } = process.env;
const text = (body) => new Response(body, { headers: { 'content-type': 'text/plain' } });

Bun.serve({
  hostname: '127.0.0.1',
  port: Number(PORT),
  ...(CERT && { tls: { cert: Bun.file(CERT), key: Bun.file(KEY) } }),
  routes: {
    '/': () => text(TEXT),
    '/json': () => Response.json(JSON_VALUE),
    '/kib': () => text(KIB),
    '/100kib': () => text(KIB_100),
    '/100kib-text': () => text(KIB_100_TEXT),
    '/mib': () => text(MIB),
    '/echo': async (request) => text(await request.arrayBuffer()),
    '/post': async (request) => text(String((await request.arrayBuffer()).byteLength)),
  },
});
console.log('ready');
