// Which program stands behind a name of a case; of one that cannot be had, why.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { compile, fetchBun, findNginx, makeCertificate } from '../harness/tools.js';
import { MIB } from '../http/answers.js';
import { hasWrk } from '../http/wrk.js';
import { pools } from '../tasks/measure.js';

const file = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const js = (name, env = {}) => ({ command: [process.execPath, file(name)], env });
const BASE = { MODE: 'base', WORKERS: '1' };
const PROCESS = { MODE: 'process', REACTORS: '1', WORKERS: '1' };

/**
 * @param folder for what is compiled and made
 * @param checkout whose `dist` is run; this one by default
 * @returns by kind, by name: a server, or `{ missing }`: why
 */
export function listServers(folder, checkout = file('..')) {
  const dist = join(resolve(checkout), 'dist');
  // By the command line, as a server is to be started.
  const start = [process.execPath, join(dist, 'cli/main.cjs'), 'start'];
  const ours = (name, env) => ({ command: [...start, file(name)], env: { ...env, DIST: join(dist, 'index.js') } });
  const root = makeFiles(folder);
  const bun = fetchBun();
  const byBun = (name) => (bun ? { command: [bun, file(name)], env: {} } : missing('npm could not fetch Bun'));
  const echo = compile(file('peers/echo.c'), join(folder, 'echo'));
  const sockets = {
    BASE: ours('peers/tswoole.js', BASE),
    PROCESS: ours('peers/tswoole.js', PROCESS),
    node: js('peers/node.js'),
    'C epoll': echo ? { command: [echo], env: {} } : missing('there is no C compiler'),
  };
  return {
    http: {
      BASE: ours('http/peers/tswoole.js', BASE),
      'BASE, files': ours('http/peers/tswoole.js', { ...BASE, FILES: root }),
      PROCESS: ours('http/peers/tswoole.js', PROCESS),
      'BASE, again': ours('http/peers/tswoole.js', BASE),
      Bun: byBun('http/peers/bun.js'),
      node: js('http/peers/node.js'),
      nginx: nginx(folder, root),
      'BASE, Hono': ours('http/peers/tswoole.js', { ...BASE, HANDLER: 'fetch' }),
      'Hono on Bun': byBun('http/peers/hono-bun.js'),
      'BASE, Express': ours('http/peers/tswoole.js', { ...BASE, HANDLER: 'listener' }),
      'Express on node': js('http/peers/express.js'),
    },
    socket: sockets,
    idle: sockets,
    tasks: { tswoole: { ...pools[0], env: { DIST: join(dist, 'index.js') } }, piscina: pools[1], tinypool: pools[2] },
    boot: {
      'PROCESS 2 + 2': ours('speed/peers/app.js', { MODE: 'process', WORKERS: '2' }),
      'node:cluster × 2': js('speed/peers/app.js', { WORKERS: '2' }),
      'node app.js': js('speed/peers/app.js'),
    },
    command: commands(dist),
  };
}

const missing = (why) => ({ missing: why });

function makeFiles(folder) {
  const root = join(folder, 'files');
  mkdirSync(root, { recursive: true });
  writeFileSync(join(root, '10kib.txt'), MIB.subarray(0, 10 * 1024));
  writeFileSync(join(root, '1mib.txt'), MIB);
  return root;
}

/** One worker process, and what its manual recommends for static files. */
function nginx(folder, root) {
  const program = findNginx();
  if (program === undefined) return missing('nginx is not installed');
  const write = (port) => {
    const config = join(folder, 'nginx.conf');
    writeFileSync(config, nginxConfig(folder, root, port));
    return [program, '-p', folder, '-e', 'stderr', '-c', config];
  };
  return { command: write, env: { FILES: root }, readyWhen: 'accepts' };
}

function nginxConfig(folder, root, port) {
  const user = process.getuid() === 0 ? 'user root;' : '';
  const spaces = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  );
  return `${user} worker_processes 1; daemon off; pid ${folder}/nginx.pid;
events { worker_connections 2048; }
http {
  ${spaces.join(' ')}
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;
  open_file_cache max=100; default_type text/plain;
  server { listen 127.0.0.1:${port}; root ${root}; }
}
`;
}

/** What is run to its end; `readsMs`: it prints what it took, else it is timed from outside. */
function commands(dist) {
  const entry = pathToFileURL(join(dist, 'index.js')).href;
  const timed = `const began = performance.now(); await import('${entry}'); console.log(performance.now() - began);`;
  const wrong = [join(dist, 'cli/main.cjs'), 'start', file('speed/peers/app.js'), '--worker-nmu', '4'];
  return {
    import: { command: [process.execPath, '--input-type=module', '-e', timed], readsMs: true, status: 0 },
    'tswoole start': { command: [process.execPath, ...wrong], status: 2 },
    'node -e 0': { command: [process.execPath, '-e', '0'], status: 0 },
  };
}

/** What makes the load of each kind; `{ missing }` where it cannot be had. */
export function listTools(folder) {
  const source = file('speed/load.c');
  const program = join(folder, 'load');
  const secure = compile(source, program, ['-DWITH_TLS', '-lssl', '-lcrypto']);
  const load = secure ?? compile(source, program);
  return {
    folder,
    wrk: hasWrk() ? {} : missing('wrk is not installed'),
    load: load ? { program: load } : missing('there is no C compiler for the load'),
    secureLoad: secure
      ? { program: secure }
      : missing('there is no C compiler, or no headers of OpenSSL, for the load'),
    certificate: makeCertificate(folder) ?? missing('there is no openssl to make a certificate'),
  };
}
