import type { Certificate } from './certificates.js';
import { type EngineProcess, freePort, startEngine } from './engine-process.js';
import { hasProgram } from './wrk.js';

/** Debian: redis-server. */
export const hasRedis = hasProgram('redis-server');

export interface RedisSettings {
  /** Keeps what it has over a kill: written with every command. */
  readonly appendOnly?: boolean;
  /** More settings, as on the command line: `['--requirepass', 'secret']`. */
  readonly settings?: readonly string[];
  readonly host?: string;
}

/** A Redis of one test. It answers a ping when this resolves; `stop` leaves nothing behind. */
export function startRedis({
  appendOnly = false,
  settings = [],
  host = '127.0.0.1',
}: RedisSettings = {}): Promise<EngineProcess> {
  const persistence = appendOnly ? ['--appendonly', 'yes', '--appendfsync', 'always'] : ['--appendonly', 'no'];
  return startEngine({
    host,
    program: 'redis-server',
    scheme: 'redis:',
    args: (port, folder) => [
      ...['--port', String(port), '--bind', host, '--protected-mode', 'no', '--save', '', '--dir', folder],
      ...persistence,
      ...settings,
    ],
    ping: 'PING\r\n',
    pong: /^(\+PONG|-NOAUTH)/,
  });
}

/** @returns with its address for `rediss:` */
export async function startTlsRedis({ cert, key }: Certificate): Promise<EngineProcess> {
  const port = await freePort();
  const files = ['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', cert];
  const engine = await startRedis({ settings: ['--tls-port', String(port), ...files, '--tls-auth-clients', 'no'] });
  return { ...engine, port, url: `rediss://127.0.0.1:${port}` };
}

/** One command of an operator, such as `REPLICAOF NO ONE`. Rejects with what Redis refuses. */
export async function askRedis({ url }: Pick<EngineProcess, 'url'>, command: string): Promise<void> {
  const { Redis } = await import('ioredis');
  const client = new Redis(url, { retryStrategy: () => null });
  const [name = '', ...args] = command.split(' ');
  try {
    await client.call(name, ...args);
  } finally {
    client.disconnect();
  }
}
