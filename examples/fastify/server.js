// An unchanged Fastify app: ready() is called, listen() is not.
import Fastify from 'fastify';
import { HttpServer } from 'tswoole';

const app = Fastify();
app.get('/', async () => 'Hello from Fastify\n');
app.get('/hello/:name', async ({ params }) => ({ hello: params.name }));
app.post('/echo', async ({ body }, reply) => reply.code(201).send(body));
await app.ready();

const server = new HttpServer({
  port: Number(process.env.PORT ?? 8080),
  listener: (req, res) => app.routing(req, res),
});
await server.start();
console.log(`listening on http://${server.host}:${server.port}`);
