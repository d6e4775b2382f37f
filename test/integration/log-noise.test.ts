import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { CommandLine, endCommandLines } from '../helpers/command-line.js';
import { PACE } from '../helpers/deadline.js';
import {
  endServers,
  itOnce,
  type ServerProcess,
  spawnServer,
  startServer,
  TEST_MODE,
} from '../helpers/server-process.js';
import { TcpClient } from '../helpers/tcp-client.js';

afterEach(endServers);
afterEach(endCommandLines);

const given = { port: 0, workerNum: 2, reactorNum: 1, maxWaitMs: Math.round(700 * PACE) };

async function say(server: ServerProcess, what: string): Promise<void> {
  const client = await TcpClient.connect(server.port);
  client.send(what);
  await client.read(4, 10_000);
}

/** Lines about the end of one process. */
function ends(server: ServerProcess): string[] {
  return server.stderr
    .split('\n')
    .filter((line) => / (warn|error|info) +\S.*worker \d .*(exited|killed|ended|in time)/.test(line));
}

describe('the end of a process', () => {
  it('is told in one line when it is killed from outside', async () => {
    const server = await startServer('noisy.js', { options: given });
    server.signal('SIGKILL', server.worker(0)?.pid);
    await server.waitFor('it is told', () => ends(server).length > 0);
    server.signal('SIGUSR1');
    await server.waitFor('the reload is done', () => server.stderr.includes('reload: done'));
    expect(ends(server)).toEqual([expect.stringMatching(/worker 0 was killed by SIGKILL; starting another one /)]);
  });

  it('is told in one line with the reason when it ends by an error', async () => {
    const server = await startServer('noisy.js', { options: given });
    await say(server, 'crash');
    await server.waitFor('it is told', () => ends(server).length > 0);
    expect(ends(server)).toEqual([
      expect.stringMatching(/worker \d exited with code 1; starting another one .*reason=boom$/),
    ]);
  });

  it('is told in one line with the reason when it takes too long, at a reload and at the end', async () => {
    const server = await startServer('noisy.js', { options: given });
    await say(server, 'spin');
    server.signal('SIGUSR1');
    await server.waitFor('the reload is done', () => server.stderr.includes('reload: done'), 20_000);
    expect(ends(server)).toEqual([expect.stringMatching(/worker \d did not end in time and was killed by SIGKILL /)]);
    await say(server, 'spin');
    server.signal('SIGTERM');
    await server.exited;
    await server.silent;
    const last = ends(server).slice(1); // on a busy machine another worker may be too slow as well
    expect(last.length).toBeGreaterThan(0);
    const isRight = /worker \d did not end in time and was (killed by SIGKILL|ended by SIGTERM) /;
    for (const line of last) expect(line).toMatch(isRight);
    expect(last.filter((line) => line.includes('SIGKILL')).length).toBeGreaterThan(0); // the one that spins
    expect(new Set(last.map((line) => /worker \d/.exec(line)?.[0])).size).toBe(last.length);
  });

  it('is told in one line when its loop stands still', async () => {
    const server = await startServer('noisy.js', { options: { ...given, workerTimeoutMs: 1000 } });
    await say(server, 'spin');
    await server.waitFor('it is told', () => server.stderr.includes('stands still'), 20_000);
    server.signal('SIGUSR1');
    await server.waitFor('the reload is done', () => server.stderr.includes('reload: done'), 20_000);
    const lines = server.stderr.split('\n').filter((line) => /worker \d /.test(line));
    expect(lines).toEqual([expect.stringMatching(/stands still, it is killed and replaced .*spin/)]);
  });
});

describe("Node's own hints", () => {
  it('do not tell people to run a process by its title', async () => {
    const server = await startServer('noisy.js', { options: given });
    await say(server, 'warn');
    await server.waitFor('the hint', () => server.stderr.includes('--trace-warnings'));
    await say(server, 'object');
    await server.waitFor('the end', () => ends(server).length > 0);
    expect(server.stderr).toContain('(Use `node --trace-warnings ...`');
    expect(server.stderr).not.toMatch(/`tswoole/);
  });

  it('and the title is still that of the process, from the beginning', async () => {
    const server = await startServer('noisy.js', {
      options: { ...given, processTitle: 'a server with a rather long name' },
    });
    expect(server.worker(1)?.title).toBe('a server with a rather long name: worker 1');
    expect(server.taskWorkers).toHaveLength(1);
  });
});

describe('an error that a person can mend', () => {
  let holder: Server | undefined;
  afterEach(() => void holder?.close());

  async function takenPort(): Promise<number> {
    holder = createServer();
    await new Promise<void>((resolve) => holder?.listen(0, '127.0.0.1', () => resolve()));
    return (holder.address() as { port: number }).port;
  }

  const OURS = /dist\/|node:internal|SyscallError|\^/;

  it('is a sentence with its code and the line of the script, where the script does not catch it', async () => {
    const port = await takenPort();
    const server = spawnServer('noisy.js', { options: { ...given, host: '127.0.0.1', port, mode: TEST_MODE } });
    expect((await server.exited).code).toBe(1);
    await server.silent;
    expect(server.stderr).toMatch(new RegExp(`127.0.0.1:${port} must be free to listen on.*\\(ERR_PORT_IN_USE\\)`));
    expect(server.stderr).toMatch(/noisy\.js:\d+/);
    expect(server.stderr).not.toMatch(OURS);
  });

  it.each([
    ['an option of the script', { workerNum: -1 }, 'ERR_OPTION_RANGE'],
    ['a log file that cannot be made', { logFile: '/nowhere/it.log' }, 'ERR_LOG_FILE'],
    ['a folder there is not', { workingDir: '/nowhere' }, 'ERR_OPTION_VALUE'],
    ['a host there is not', { host: 'no-such-host.invalid' }, 'ERR_LISTEN'],
    ['a user there is not', { user: 'nobody-of-this-name' }, process.getuid?.() === 0 ? 'ERR_USER' : 'ERR_NOT_ROOT'],
  ])('is told so too: %s', async (_, options, code) => {
    const server = spawnServer('noisy.js', { options: { ...given, ...options } });
    expect((await server.exited).code).toBe(1);
    await server.silent;
    expect(server.stderr).toContain(`(${code})`);
    expect(server.stderr).not.toMatch(OURS);
    expect(server.stderr).not.toMatch(/[^.]\.\.(\s|$)/m);
  });

  itOnce(
    'has no frames of this package for a script that catches it, and what else is not caught is told as ever',
    async () => {
      const line = new CommandLine();
      const port = await takenPort();
      writeFileSync(
        line.script,
        `import { Server } from 'tswoole';
      try { new Server({ maxWaitMs: -1 }) } catch (error) { console.log(error.code, error.stack) }
      const server = new Server({ host: '127.0.0.1', port: ${port} });
      server.on('receive', () => {});
      try { await server.start() } catch (error) { console.log(error.code, error.stack) }
      setTimeout(() => { throw new Error('of the script') });`,
      );
      const { stdout, stderr } = await line.runIn({ TSWOOLE_OPTION_PORT: String(port) }, 'start', line.script);
      expect(stdout).toMatch(/^ERR_OPTION_RANGE [\s\S]*^ERR_PORT_IN_USE/m);
      expect(stdout).toContain(join(line.folder, 'operated.js'));
      expect(stdout).not.toMatch(OURS);
      expect(stderr).toMatch(/operated\.js:6[\s\S]*Error: of the script/);
    },
  );

  itOnce('is told by a command without talking as to a program', async () => {
    const port = await takenPort();
    const line = new CommandLine();
    for (const daemon of [[], ['--daemon', '--log-file', join(line.folder, 'it.log')]]) {
      const { code, stderr } = await line.run(
        'start',
        line.script,
        '--host',
        '127.0.0.1',
        '--port',
        String(port),
        ...daemon,
      );
      expect(code).toBe(1);
      expect(stderr).toContain('(ERR_PORT_IN_USE)');
      expect(stderr).not.toMatch(OURS);
      expect(stderr).not.toContain('Stop asking');
    }
  });
});
