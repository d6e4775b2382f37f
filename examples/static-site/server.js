// A site of files. The reactors serve them; the worker gets only requests for paths that are not files.
import { HttpServer } from 'tswoole';

const server = new HttpServer({
  port: Number(process.env.PORT ?? 8080),
  staticFiles: { root: 'public', maxAge: 60_000 },
});

server.on('request', (_req, res) => res.fail(404, 'There is no such page.'));

await server.start();
console.log(`listening on http://${server.host}:${server.port}`);
