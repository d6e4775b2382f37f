import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { startAdvice, startCommandOf } from '../../src/cli/start-command.js';
import { RUN_APP_ENTRY } from '../../src/entries.js';
import { heapArguments } from '../../src/util/heap-argument.js';

const of = (words: readonly string[], flags: Readonly<Record<string, string>> = {}): string =>
  startCommandOf({ command: ['/usr/bin/node', ...words], flags, cwd: '/srv/api' });

describe('the command by which a person starts a server again', () => {
  it('is "tswoole start" with the script, whoever started it', () => {
    expect(of(['/srv/api/server.js'])).toBe('tswoole start /srv/api/server.js');
    expect(of([...heapArguments([]), '/srv/api/server.js'])).toBe('tswoole start /srv/api/server.js');
  });

  it('has the flags, with paths as the server read them, and what goes to the script behind them', () => {
    const flags = { daemonize: 'true', workerNum: '2', logFile: 'logs/api.log', accessLog: '{"format":"json"}' };
    expect(of(['/srv/api/server.js', '--verbose', "it's"], flags)).toBe(
      'tswoole start /srv/api/server.js --daemon --worker-num=2 --log-file=/srv/api/logs/api.log ' +
        `'--access-log={"format":"json"}' -- --verbose 'it'\\''s'`,
    );
  });

  it('says that the script is an app, and has the arguments of Node', () => {
    const words = [
      '--import',
      './trace.js',
      '--max-old-space-size=300',
      fileURLToPath(RUN_APP_ENTRY),
      '/srv/api/app.js',
    ];
    expect(of(words)).toBe(
      'tswoole start /srv/api/app.js --http --node-arg=--import=/srv/api/trace.js --node-arg=--max-old-space-size=300',
    );
  });

  it('tells no secret', () => {
    const told = of(['/srv/api/server.js'], { admin: '{"port":9100,"token":"sesame"}', port: '80' });
    expect(told).toBe('tswoole start /srv/api/server.js --port=80 --admin=…');
  });
});

describe('the advice where a restart has failed', () => {
  afterEach(() => vi.unstubAllEnvs());
  const advice = (had: NodeJS.ProcessEnv, flags: Readonly<Record<string, string>> = {}): string =>
    startAdvice({ command: ['node', '/srv/api/server.js'], flags, cwd: '/srv/api' }, had);

  it('is the command, and the folder', () => {
    expect(advice({ ...process.env, TSWOOLE_BOOT: 'x', OLDPWD: '/' })).toBe(
      'When that is mended, start it again in /srv/api: tswoole start /srv/api/server.js',
    );
  });

  it('names the variables that this shell has not, or has otherwise, without their values', () => {
    vi.stubEnv('GREETING', 'hello');
    const many = Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`V${i + 10}`, 'x']));
    expect(advice({ ...process.env, GREETING: 'servus', SECRET: 'sesame' })).toMatch(
      /server\.js\nIt also had variables that this shell has not: GREETING, SECRET\.$/,
    );
    expect(advice({ ...process.env, ...many })).toMatch(/: V10, V11, .*V19, …\.$/);
  });

  it('says which value is left out', () => {
    expect(advice(process.env, { admin: '{"port":9100,"token":"sesame"}' })).toMatch(
      /start it again in \/srv\/api \(with the value of --admin in place of …\): .*--admin=…$/,
    );
  });
});
