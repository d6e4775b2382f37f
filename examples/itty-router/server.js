// An unchanged itty-router app.
import { AutoRouter, json, text } from 'itty-router';
import { HttpServer } from 'tswoole';

const router = AutoRouter();
router.get('/', () => text('Hello from itty-router\n'));
router.get('/hello/:name', ({ params }) => ({ hello: params.name }));
router.post('/echo', async (request) => json(await request.json(), { status: 201 }));

const server = new HttpServer({ port: Number(process.env.PORT ?? 8080), fetch: router.fetch });
await server.start();
console.log(`listening on http://${server.host}:${server.port}`);
