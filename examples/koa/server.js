// An unchanged Koa app.
import Koa from 'koa';
import { HttpServer } from 'tswoole';

const app = new Koa();
app.use(async (ctx, next) => {
  await next();
  ctx.set('x-answered-by', 'koa');
});
app.use((ctx) => {
  ctx.body = ctx.path === '/' ? 'Hello from Koa\n' : { hello: ctx.path.slice(1) };
});

const server = new HttpServer({ port: Number(process.env.PORT ?? 8080), listener: app.callback() });
await server.start();
console.log(`listening on http://${server.host}:${server.port}`);
