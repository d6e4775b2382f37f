import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Certificate } from './certificates.js';
import { type EngineProcess, startEngine } from './engine-process.js';
import { hasProgram } from './wrk.js';

/** Debian puts it into sbin, which is not in everybody's path. */
const PROGRAM = existsSync('/usr/sbin/nats-server') ? '/usr/sbin/nats-server' : 'nats-server';

/** Debian: nats-server. */
export const hasNats = hasProgram(PROGRAM);

export interface NatsSettings {
  /** Default: true. */
  readonly jetStream?: boolean;
  /** More settings, as on the command line: `['--user', 'a', '--pass', 'b']`. */
  readonly settings?: readonly string[];
  /** What its file of settings says. */
  readonly config?: string;
  readonly host?: string;
}

/** A NATS server of one test. It greets when this resolves; `stop` leaves nothing behind. */
export function startNats({
  jetStream = true,
  settings = [],
  config = '',
  host = '127.0.0.1',
}: NatsSettings = {}): Promise<EngineProcess> {
  return startEngine({
    host,
    program: PROGRAM,
    scheme: 'nats:',
    args: (port, folder) => [
      ...['-c', written(join(folder, 'nats.conf'), config)],
      ...['-a', host, '-p', String(port)],
      ...(jetStream ? ['-js', '-sd', folder] : []),
      ...settings,
    ],
    ping: '',
    pong: /^INFO /,
  });
}

/** @returns with its address for `tls:` */
export async function startTlsNats({ cert, key }: Certificate): Promise<EngineProcess> {
  const engine = await startNats({ settings: ['--tls', '--tlscert', cert, '--tlskey', key] });
  return { ...engine, url: engine.url.replace('nats:', 'tls:') };
}

function written(path: string, text: string): string {
  writeFileSync(path, text);
  return path;
}
