// An unchanged H3 app.
import { H3, readBody } from 'h3';
import { HttpServer } from 'tswoole';

const app = new H3();
app.get('/', () => 'Hello from H3\n');
app.get('/hello/:name', (event) => ({ hello: event.context.params.name }));
app.post('/echo', async (event) => {
  event.res.status = 201;
  return await readBody(event);
});

const server = new HttpServer({ port: Number(process.env.PORT ?? 8080), fetch: (request) => app.fetch(request) });
await server.start();
console.log(`listening on http://${server.host}:${server.port}`);
