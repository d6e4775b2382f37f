/**
 * Loaded before the script of `tswoole start`, only in the process that a person has started. Reports a script that starts
 * no server, with exit code 2; and until the script has called `start()`, a signal ends it in order.
 */
import type { Server as NetServer } from 'node:net';
import { relative } from 'node:path';
import { takeBackHeapArgument } from '../util/heap-argument.js';
import { type ScriptState, watchState } from '../util/script-state.js';
import { ExitCode } from './exit.js';

/** A script that calls `listen()` itself has this long to create its server. */
const LISTEN_GRACE_MS = 2000;
/** As in a shell: 128 + SIGINT. */
const INTERRUPTED = 130;

takeBackHeapArgument(); // before other modules of Node are loaded
if (process.getBuiltinModule('node:worker_threads').isMainThread) guard(watchState());

function guard(state: ScriptState): void {
  leaveArguments();
  let isTold = false;
  const tell = (text: string): void => {
    isTold = true;
    process.stderr.write(`tswoole: ${text}\n`);
  };
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (state.started || process.listenerCount(signal) > 1) return; // the server or the script handles it
      isTold = true;
      process.exit(signal === 'SIGINT' ? INTERRUPTED : ExitCode.ok);
    });
  }
  watchListen((server) => {
    setTimeout(() => {
      if (state.made) return;
      tell(listensItself(server));
      process.exit(ExitCode.usage);
    }, LISTEN_GRACE_MS);
  });
  process.on('exit', (code) => {
    if (state.started || isTold || code !== 0) return;
    tell(hasEnded(state));
    process.exitCode = ExitCode.usage;
  });
}

/** Children of this process must not load the guard. */
function leaveArguments(): void {
  const { execArgv } = process;
  const at = execArgv.indexOf(import.meta.url);
  if (at > 0) execArgv.splice(at - 1, 2);
}

/** Calls back at the first `listen()`. */
function watchListen(first: (server: NetServer) => void): void {
  const { prototype } = process.getBuiltinModule('node:net').Server;
  const { listen } = prototype;
  prototype.listen = function listenOnce(this: NetServer, ...args: unknown[]): NetServer {
    prototype.listen = listen;
    first(this);
    return Reflect.apply(listen, this, args) as NetServer;
  } as typeof listen;
}

function script(): string {
  const path = process.argv[1] ?? '';
  const short = relative(process.cwd(), path);
  return short.startsWith('..') ? path : short;
}

function listensItself(server: NetServer): string {
  const { Server: HttpServer } = process.getBuiltinModule('node:http');
  const isHttp = server instanceof HttpServer;
  const how = isHttp ? 'listens by node:http' : 'listens by itself';
  const advice = isHttp ? `To run it with workers: tswoole start ${script()} --http. ` : '';
  return `${script()} makes no server of tswoole: it ${how}, and nothing would supervise it. It was ended. ${advice}As a plain program: node ${script()}`;
}

function hasEnded({ made }: ScriptState): string {
  if (made) return `${script()} has ended without a server: it makes one, but does not call its start().`;
  return (
    `${script()} has ended without a server: it makes none. A script of tswoole makes a Server, or HttpServer, and calls its start(). ` +
    `If it exports an app or a request handler: tswoole start ${script()} --http`
  );
}
