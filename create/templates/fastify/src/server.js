import Fastify from 'fastify';
import { HttpServer } from 'tswoole';

const app = Fastify();
app.get('/', async () => 'Hello from Fastify\n');
app.get('/hello/:name', async ({ params }) => ({ hello: params.name }));
app.post('/echo', async ({ body }, reply) => reply.code(201).send(body));
await app.ready(); // listen() is not called: the server below listens

const server = new HttpServer({
  host: '127.0.0.1',
  port: Number(process.env.PORT ?? 8080),
  listener: (req, res) => app.routing(req, res),
});
await server.start();
console.log(`listening on http://${server.host}:${server.port}`);
