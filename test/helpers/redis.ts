import { type EngineProcess, startEngine } from './engine-process.js';
import { hasProgram } from './wrk.js';

/** Debian: redis-server. */
export const hasRedis = hasProgram('redis-server');

export interface RedisSettings {
  /** Keeps what it has over a kill: written with every command. */
  readonly appendOnly?: boolean;
  /** More settings, as on the command line: `['--requirepass', 'secret']`. */
  readonly settings?: readonly string[];
}

/** A Redis of one test. It answers a ping when this resolves; `stop` leaves nothing behind. */
export function startRedis({ appendOnly = false, settings = [] }: RedisSettings = {}): Promise<EngineProcess> {
  const persistence = appendOnly ? ['--appendonly', 'yes', '--appendfsync', 'always'] : ['--appendonly', 'no'];
  return startEngine({
    program: 'redis-server',
    scheme: 'redis:',
    args: (port, folder) => [
      ...['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', folder],
      ...persistence,
      ...settings,
    ],
    ping: 'PING\r\n',
    pong: /^(\+PONG|-NOAUTH)/,
  });
}
