import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { Client } from '../helpers/client.js';
import { CommandLine, endCommandLines } from '../helpers/command-line.js';
import {
  describeOnce,
  endServers,
  poll,
  type ServerProcess,
  startServer,
  TEST_MODE,
} from '../helpers/server-process.js';
import { sharedServers } from '../helpers/shared-servers.js';

afterEach(endServers);
afterEach(endCommandLines);

const asRoot = it.skipIf(process.getuid?.() !== 0);
const NOBODY = 65_534;

/** Lines of each file whose name begins so. */
function logged(file: string): string[] {
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
}

describeOnce('a file the server writes to by name', () => {
  const starts: readonly (readonly [what: string, flag: string, code: string, daemon: boolean])[] = [
    ['the log file', '--log-file', 'ERR_LOG_FILE', false],
    ['the log file of a daemon', '--log-file', 'ERR_LOG_FILE', true],
    ['the pid file', '--pid-file', 'ERR_PID_FILE', false],
    ['the pid file of a daemon', '--pid-file', 'ERR_PID_FILE', true],
    ['the run directory', '--run-dir', 'ERR_RUN_DIR', false],
    ['the run directory of a daemon', '--run-dir', 'ERR_RUN_DIR', true],
  ];

  it.each(starts)('is not reached through a link: %s', async (_, flag, code, daemon) => {
    const line = new CommandLine();
    const target = join(line.folder, 'target');
    const [link, dangling] = [join(line.folder, 'link'), join(line.folder, 'dangling')];
    if (flag === '--run-dir') mkdirSync(target, { mode: 0o700 });
    else writeFileSync(target, 'precious\n');
    symlinkSync(target, link);
    symlinkSync(join(line.folder, 'made'), dangling);
    for (const path of [link, dangling]) {
      const result = await line.run('start', line.script, flag, path, ...(daemon ? ['--daemon'] : []));
      expect(result).toMatchObject({ code: 1, stderr: expect.stringContaining(code) });
      expect(result.stderr).toContain(path);
      expect(result.stderr).toContain('symbolic link');
      expect(lstatSync(path).isSymbolicLink()).toBe(true);
    }
    expect(existsSync(join(line.folder, 'made'))).toBe(false);
    if (flag === '--run-dir') expect(readdirSync(target)).toEqual([]);
    else expect(readFileSync(target, 'utf8')).toBe('precious\n');
  });

  it('may lie in a folder that is reached through a link', async () => {
    const line = new CommandLine({ TSWOOLE_OPTION_WORKER_NUM: '1' });
    mkdirSync(join(line.folder, 'real'));
    symlinkSync(join(line.folder, 'real'), join(line.folder, 'var'));
    await line.daemon('--log-file', 'var/it.log', '--pid-file', 'var/it.pid');
    await line.must('stop', '--pid-file', 'var/it.pid');
    expect(readdirSync(join(line.folder, 'real'))).toEqual(['it.log']);
  });

  it('that has another name too is not emptied as a pid file', async () => {
    const line = new CommandLine();
    writeFileSync(join(line.folder, 'precious'), 'precious\n');
    linkSync(join(line.folder, 'precious'), join(line.folder, 'it.pid'));
    const result = await line.run('start', line.script, '--pid-file', 'it.pid');
    expect(result).toMatchObject({ code: 1, stderr: expect.stringContaining('hard link') });
    expect(readFileSync(join(line.folder, 'precious'), 'utf8')).toBe('precious\n');
  });

  asRoot('is no run directory when another user, or everybody, can put something into it', async () => {
    const line = new CommandLine();
    const path = join(line.folder, 'prepared');
    mkdirSync(path, { mode: 0o700 });
    chownSync(path, NOBODY, NOBODY);
    const ofAnother = await line.run('start', line.script, '--run-dir', path);
    expect(ofAnother).toMatchObject({ code: 1, stderr: expect.stringMatching(/ERR_RUN_DIR|user 65534/) });
    chownSync(path, 0, 0);
    chmodSync(path, 0o777);
    const ofAll = await line.run('start', line.script, '--run-dir', path);
    expect(ofAll).toMatchObject({ code: 1, stderr: expect.stringContaining('others may write to it') });
    expect(readdirSync(path)).toEqual([]);
  });

  it('is not followed either when it is opened again after a rotation', async () => {
    const line = new CommandLine({ TSWOOLE_OPTION_WORKER_NUM: '1' });
    const { port } = await line.daemon('--log-file', 'it.log');
    const file = join(line.folder, 'it.log');
    writeFileSync(join(line.folder, 'precious'), 'precious\n');
    renameSync(file, `${file}.1`);
    symlinkSync(join(line.folder, 'precious'), file);
    const reopened = await line.run('logs', '--reopen');
    expect(reopened).toMatchObject({ code: 1, stderr: expect.stringContaining('it is a symbolic link') });
    const client = await Client.open(port);
    client.write('throw\n');
    await client.closed;
    await poll('it is in the old file', () => readFileSync(`${file}.1`, 'utf8').includes('thrown on purpose'));
    expect(readFileSync(join(line.folder, 'precious'), 'utf8')).toBe('precious\n');
    unlinkSync(file);
    await poll('it goes on in a new one', async () => {
      const again = await Client.open(port);
      again.write('throw\n');
      await again.closed;
      return logged(file).some((one) => one.includes('opened again after'));
    });
  });
});

describe('the log of processes without the rights of the master', () => {
  const rights: readonly (readonly [what: string, options: object])[] = [
    ['user', { user: 'nobody' }],
    ['user and group', { user: 'nobody', group: '0' }],
    ['group', { group: 'nogroup' }],
    ['chroot', { chroot: '/proc' }],
  ];

  interface Started {
    readonly server: ServerProcess;
    readonly file: string;
  }

  const shared = sharedServers();

  /** The folder of the test is root's alone: another user can neither enter it nor make a file there. */
  async function start(options: object, starter = startServer): Promise<Started> {
    const server = await starter('operated.js', {
      copy: true,
      env: {
        TSWOOLE_OPTION_WORKER_NUM: TEST_MODE === 'base' ? '2' : '1',
        TSWOOLE_OPTION_REACTOR_NUM: '1',
        TSWOOLE_OPTION_LOG_FILE: 'it.log',
        TSWOOLE_OPTION_PORT: '0',
        TSWOOLE_OPTION_MODE: TEST_MODE,
        ...Object.fromEntries(
          Object.entries(options).map(([name, value]) => [
            `TSWOOLE_OPTION_${name.replaceAll(/[A-Z]/g, '_$&').toUpperCase()}`,
            typeof value === 'string' ? value : JSON.stringify(value),
          ]),
        ),
      },
    });
    return { server, file: join(server.folder, 'it.log') };
  }

  async function throwOnce(port: number): Promise<void> {
    const client = await Client.open(port);
    client.write('throw\n');
    await client.closed;
  }

  const told = (file: string): boolean => logged(file).some((line) => line.includes('thrown on purpose'));

  asRoot.each(rights)('goes on in the new file after SIGWINCH, with %s', async (what, options) => {
    const { server, file } = await start(options, what === 'user' ? shared : startServer);
    await throwOnce(server.port);
    await poll('it is told', () => told(file));
    for (const round of ['1', '2']) {
      renameSync(file, `${file}.${round}`);
      const before = readFileSync(`${file}.${round}`, 'utf8');
      server.signal('SIGWINCH');
      await poll('the file is there again', () => existsSync(file));
      await throwOnce(server.port);
      await poll('it is told in the new file', () => told(file));
      expect(readFileSync(`${file}.${round}`, 'utf8').slice(before.length)).not.toContain('thrown on purpose');
      for (const line of logged(file).filter((one) => one !== '')) expect(line).toMatch(/^\d{4}-\d\d-\d\dT\S+ \w+ +\w/);
    }
    expect(server.stderr).toBe('');
  });

  asRoot('goes on in the new file after its size was reached', async () => {
    const { server, file } = await start({
      user: 'nobody',
      logRotation: { size: '64k', keep: 3 },
    });
    await poll('it was put aside', async () => {
      await Promise.all(Array.from({ length: 20 }, () => throwOnce(server.port)));
      return readdirSync(server.folder).some((name) => name.startsWith('it.log.'));
    });
    await throwOnce(server.port);
    await poll('workers write to the new one', () => told(file));
    expect(server.stderr).toBe('');
  });

  asRoot('keeps the owner and the mode that the file had', async () => {
    const { server, file } = await start({ user: 'nobody' }, shared);
    chownSync(file, NOBODY, NOBODY);
    chmodSync(file, 0o600);
    renameSync(file, `${file}.aside`);
    server.signal('SIGWINCH');
    await poll('the file is there again', () => existsSync(file) && statSync(file).uid === NOBODY);
    expect(statSync(file)).toMatchObject({ uid: NOBODY, gid: NOBODY, mode: expect.any(Number) });
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });
});
