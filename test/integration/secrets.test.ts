import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { certificateFor } from '../helpers/certificates.js';
import { CommandLine, endCommandLines } from '../helpers/command-line.js';
import { describeOnce, endServers, type ServerProcess, spawnServer, startServer } from '../helpers/server-process.js';

afterEach(endServers);
afterEach(endCommandLines);

const TOKEN = 'a-secret-token-of-some-length';
const ADMIN = JSON.stringify({ port: 0, token: TOKEN });
const TLS = JSON.stringify({ ...certificateFor('server.test'), passphrase: 'open-sesame' });
const SECRET = /a-secret-token|open-sesame|OPTION_ADMIN|OPTION_TLS/;

const given = { workerNum: 1, taskWorkerNum: 1, reactorNum: 1, port: 0 };

/** Environment and arguments of every process but the one that was started. */
function seenOfChildren(server: ServerProcess): string {
  return server
    .tree()
    .filter(({ pid }) => pid !== server.masterPid)
    .flatMap(({ pid }) => ['environ', 'cmdline'].map((file) => ofProcess(pid, file)))
    .join('\n');
}

/** Empty for one that has ended meanwhile. */
function ofProcess(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1');
  } catch {
    return '';
  }
}

describe('an option that holds a secret', () => {
  it.each([
    ['the environment', { TSWOOLE_OPTION_ADMIN: ADMIN, TSWOOLE_OPTION_TLS: TLS }],
    ['flags', { TSWOOLE_FLAGS: JSON.stringify({ admin: ADMIN, tls: TLS, maxWaitMs: '2000' }) }],
  ])('given by %s is in the environment of no child, nor of what children start, and still holds', async (_, env) => {
    const server = await startServer('tells-environment.js', { options: given, env });
    for (const who of ['worker', 'task worker', 'process', 'manager', 'master']) {
      const { own, ofChild, hasTls } = await server.waitForEvent('environment', (line) => line['who'] === who);
      expect({ who, all: [own, ofChild].join() }).toEqual({ who, all: expect.not.stringMatching(SECRET) });
      expect({ who, hasTls }).toEqual({ who, hasTls: true });
    }
    expect(seenOfChildren(server)).not.toMatch(SECRET);
    const url = /url=(\S+)/.exec(server.stderr)?.[1] ?? '';
    const ask = (token: string): Promise<Response> =>
      fetch(`${url}/api/status`, { headers: { authorization: `Bearer ${token}` } });
    expect((await ask(TOKEN)).status).toBe(200);
    expect((await ask('another-token-of-some')).status).toBe(401);
    expect(server.stderr).not.toMatch(SECRET);
  });

  it('is kept by processes that come later', async () => {
    const env = { TSWOOLE_OPTION_TLS: TLS };
    const server = await startServer('tells-environment.js', { options: given, env });
    await server.waitForEvent('environment', ({ who }) => who === 'worker');
    server.signal('SIGUSR1');
    const next = await server.waitFor('the next worker', () =>
      server
        .events('environment')
        .filter(({ who }) => who === 'worker')
        .at(1),
    );
    expect(next).toMatchObject({ hasTls: true });
    expect(seenOfChildren(server)).not.toMatch(SECRET);
  });

  it.each([
    ['an admin token that is too short', 'TSWOOLE_OPTION_ADMIN', '{"port":0,"token":"tooshort-yes"}', 'tooshort'],
    ['an admin object that is no JSON', 'TSWOOLE_OPTION_ADMIN', '{"token":"tooshort-yes"', 'tooshort'],
    ['a passphrase that is no text', 'TSWOOLE_OPTION_TLS', '{"cert":"a","key":"b","passphrase":31415926}', '31415926'],
    ['tls that is no JSON', 'TSWOOLE_OPTION_TLS', '{"passphrase":"open-sesame"', 'sesame'],
  ])('is not told when it is refused: %s', async (_, name, value, secret) => {
    const server = spawnServer('tells-environment.js', { options: given, env: { [name]: value } });
    await server.exited;
    await server.silent;
    expect(server.stderr).toContain(name);
    expect(server.stderr).toContain('ERR_OPTION_');
    expect(server.stderr).not.toContain(secret);
  });
});

describeOnce('the command line', () => {
  it('does not tell a secret that it refuses, and puts none into a unit, which every user may read', async () => {
    const line = new CommandLine();
    const refused = await line.run('start', line.script, '--admin', `{"port":0,"tokn":"${TOKEN}"}`);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(/--admin.*tokn/);
    expect(refused.stderr).not.toContain(TOKEN);
    const unit = await line.run('systemd', line.script, '--admin', ADMIN, '--name', 'shop');
    expect(unit.stdout + unit.stderr).not.toContain(TOKEN);
    expect(unit.stdout).toMatch(/EnvironmentFile=-\/etc\/.*shop/);
    expect(unit.stderr).toMatch(/TSWOOLE_OPTION_ADMIN=.*\/etc\/.*shop/);
    expect((await line.run('systemd', line.script, '--admin', '9100')).stdout).toContain('--admin=9100');
  });

  it('tells a token in none of its answers, and a daemon has it all the same, also after a restart', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'secrets-'));
    try {
      const line = new CommandLine();
      await line.daemon('--admin', ADMIN, '--log-file', join(folder, 'it.log'));
      const answers = async (): Promise<string> => {
        const all: string[] = [];
        for (const args of [
          ['list', '--json'],
          ['status', '--json'],
          ['call', 'settings'],
          ['info'],
          ['call', 'stats'],
        ])
          all.push(await line.must(...args));
        return all.join('\n');
      };
      const status = async (): Promise<number> => {
        const { status } = await line.report();
        const headers = { authorization: `Bearer ${TOKEN}` };
        return (await fetch(`${status.admin}/api/status`, { headers })).status;
      };
      expect(await answers()).not.toContain(TOKEN);
      expect(await status()).toBe(200);
      await line.must('restart');
      expect(await status()).toBe(200);
      const { status: now } = await line.report();
      for (const { pid } of line.tree().filter(({ pid }) => pid !== now.masterPid)) {
        expect(ofProcess(pid, 'environ')).not.toContain(TOKEN);
      }
      expect(readFileSync(join(folder, 'it.log'), 'utf8')).not.toContain(TOKEN);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
