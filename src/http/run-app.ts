/**
 * `tswoole start APP --http`: an app that was not written for tswoole, and exports what answers its requests or listens with
 * it. This file is the program of every process; only workers load the app.
 */
import { basename, extname } from 'node:path';
import { ServerError } from '../errors/index.js';
import { setScriptPath } from '../util/script.js';
import { HttpServer } from './http-server.js';
import { loadApp } from './load-app.js';
import { OwnListen } from './own-listen.js';

const DEFAULT_PORT = 3000;

const [, , app = ''] = process.argv;
setScriptPath(app);
try {
  const server: HttpServer = new HttpServer({
    name: basename(app, extname(app)),
    port: Number(process.env['PORT'] ?? DEFAULT_PORT),
    app: () => {
      process.argv.splice(2, 1); // what follows the app are its arguments
      const family = server.host.includes(':') ? 'IPv6' : 'IPv4';
      return loadApp(app, new OwnListen(() => ({ address: server.host, port: server.port, family })));
    },
  });
  await server.start();
  process.stdout.write(`listening on ${server.host}:${server.port}\n`);
} catch (error) {
  if (!(error instanceof ServerError)) throw error;
  for (const line of chainOf(error)) process.stderr.write(`${line}\n`);
  process.exit(1);
}

/** What went wrong and what was behind it. Stacks of ours lead through this program, so only those of others are shown. */
function chainOf(error: unknown): string[] {
  if (error === undefined) return [];
  if (!(error instanceof Error)) return [String(error)];
  const own = error instanceof ServerError ? `${error.code}: ${error.message}` : (error.stack ?? error.message);
  return [own, ...chainOf(error.cause)];
}
