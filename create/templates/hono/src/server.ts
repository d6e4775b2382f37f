import { Hono } from 'hono';
import { HttpServer } from 'tswoole';

const app = new Hono();
app.get('/', (c) => c.text('Hello from Hono\n'));
app.get('/hello/:name', (c) => c.json({ hello: c.req.param('name') }));
app.post('/echo', async (c) => c.json(await c.req.json(), 201));

// The app is as it would be elsewhere; requests reach it without Node's http in between.
const server = new HttpServer({ host: '127.0.0.1', port: Number(process.env.PORT ?? 8080), fetch: app.fetch });
await server.start();
console.log(`listening on http://${server.host}:${server.port}`);
