/**
 * `tswoole start APP --http`: an app that was not written for tswoole, and exports what answers its requests. This file is
 * the program of every process; only workers load the app.
 */
import { basename, extname } from 'node:path';
import { setScriptPath } from '../util/script.js';
import { HttpServer } from './http-server.js';
import { loadApp } from './load-app.js';

const DEFAULT_PORT = 3000;

const [, , app = ''] = process.argv;
setScriptPath(app);
const server = new HttpServer({
  name: basename(app, extname(app)),
  port: Number(process.env['PORT'] ?? DEFAULT_PORT),
  app: () => {
    process.argv.splice(2, 1); // what follows the app are its arguments
    return loadApp(app);
  },
});
await server.start();
process.stdout.write(`listening on ${server.host}:${server.port}\n`);
