import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, describe, expect, it } from 'vitest';
import { Client } from '../helpers/client.js';
import { CommandLine, endCommandLines } from '../helpers/command-line.js';
import { poll } from '../helpers/server-process.js';
import { look, sharedLines } from '../helpers/shared-lines.js';

afterEach(endCommandLines);

interface LogLine {
  readonly level: string;
  readonly role: string;
  readonly workerId?: number;
  readonly pid: number;
  readonly time: string;
  readonly msg: string;
}

function linesOf(file: string): LogLine[] {
  const lines = readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .filter((line) => !line.includes('"event":'));
  return lines.map((line) => JSON.parse(line) as LogLine);
}

/** Makes a worker log an error with its stack. */
async function throwOnce(port: number): Promise<void> {
  const client = await Client.open(port);
  client.write('throw\n');
  await client.closed;
}

describe('the log file', () => {
  const shared = sharedLines();
  /** With both logs. The last test of those that share it ends it. */
  const withLogs = (): Promise<{ readonly line: CommandLine; readonly pid: number; readonly port: number }> =>
    shared('', async () => {
      const line = new CommandLine();
      return { line, ...(await line.daemon('--log-file', 'it.log', '--access-log', '{"file":"access.log"}')) };
    });

  it('is opened again by every process after it was moved, by SIGWINCH and by the command', async () => {
    const { line, port, pid } = await withLogs();
    const file = join(line.folder, 'it.log');
    renameSync(file, `${file}.1`);
    process.kill(pid, 'SIGWINCH');
    await poll('it is there again', () => existsSync(file));
    await throwOnce(port);
    await poll('a worker writes to it', () => readFileSync(file, 'utf8').includes('thrown on purpose'));
    expect(readFileSync(`${file}.1`, 'utf8')).not.toContain('thrown on purpose');
    renameSync(file, `${file}.2`);
    await line.must('logs', '--reopen');
    await throwOnce(port);
    await poll(
      'a worker writes to it',
      () => existsSync(file) && readFileSync(file, 'utf8').includes('thrown on purpose'),
    );
  });

  it.each([
    ['log file', 'it.log'],
    ['access log', 'access.log'],
  ])('that cannot be opened again is told to who asks for it: the %s', async (_, name) => {
    const { line } = await withLogs();
    const file = join(line.folder, name);
    renameSync(file, `${file}.aside`);
    mkdirSync(file);
    const { code, stdout, stderr } = await line.run('logs', '--reopen');
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/The log file .*must be writable, .*EISDIR.*\(ERR_LOG_FILE\)/);
    expect(stderr).toContain(`The log file ${file} `);
    rmSync(file, { recursive: true });
    expect(await line.must('logs', '--reopen')).toBe('The log files are opened again.\n');
    expect(statSync(file).isFile()).toBe(true);
  });

  it('has one JSON object per line, of all processes, with role, worker id and pid', async () => {
    const { line, port, pid } = await withLogs();
    await throwOnce(port);
    await line.must('reload');
    const { status } = await look(line);
    await line.must('stop');
    const lines = linesOf(join(line.folder, 'it.log'));
    expect(lines).toContainEqual(expect.objectContaining({ role: 'master', pid, level: 'info', msg: 'shutting down' }));
    expect(lines).toContainEqual(
      expect.objectContaining({ role: 'manager', pid: status.managerPid, msg: 'reload: done' }),
    );
    const error = lines.find(({ level }) => level === 'error');
    expect(error).toMatchObject({
      role: 'worker',
      workerId: expect.any(Number),
      error: { message: 'thrown on purpose' },
    });
    for (const { time } of lines) expect(Number.isNaN(Date.parse(time))).toBe(false);
  });

  it('is put aside when it has the size that was said, and so many old ones are kept', async () => {
    const line = new CommandLine({ TSWOOLE_OPTION_WORKER_NUM: '1' });
    const { port } = await line.daemon('--log-file', 'it.log', '--log-rotation', '{"size":"64k","keep":2}');
    for (let round = 0; round < 4; round++) {
      const before = readdirSync(line.folder).join();
      await poll('it was put aside', async () => {
        await Promise.all(Array.from({ length: 20 }, () => throwOnce(port)));
        return readdirSync(line.folder).join() !== before || linesOf(join(line.folder, 'it.log')).length < 20;
      });
    }
    await poll(
      'old ones are removed',
      () => readdirSync(line.folder).filter((name) => name.startsWith('it.log')).length === 3,
    );
    const client = await Client.open(port);
    expect(await client.ask('a')).toMatch(/^a /);
  });

  it('that cannot be written to because the disk is full stops nothing', async () => {
    const line = new CommandLine({ TSWOOLE_OPTION_WORKER_NUM: '1' });
    const { port } = await line.daemon('--log-file', '/dev/full');
    await throwOnce(port);
    await line.must('reload');
    const client = await Client.open(port);
    expect(await client.ask('a')).toMatch(/^a /);
    expect((await look(line)).stats.workerRestarts).toBe(0);
  });

  it.each(['process', 'base'])(
    'lies where the server was started, with the other files, for any workingDir (%s)',
    async (mode) => {
      const line = new CommandLine({ TSWOOLE_OPTION_WORKER_NUM: mode === 'base' ? '2' : '1' });
      const inner = join(line.folder, 'inner');
      mkdirSync(inner);
      writeFileSync(
        join(line.folder, 'web.js'),
        `import { HttpServer } from 'tswoole';
       const server = new HttpServer({ port: 0, workerNum: 2 });
       server.on('request', (_, res) => {
         console.log('printed');
         res.end(process.cwd());
       });
       await server.start();`,
      );
      const files = ['--log-file', 'it.log', '--access-log', '{"file":"access.log"}', '--pid-file', 'it.pid'];
      const path = ['--run-dir', 'run'];
      await line.must('start', 'web.js', '--daemonize', '--mode', mode, '--working-dir', 'inner', ...files, ...path);
      const ask = async (): Promise<void> => {
        const { status } = await look(line);
        const answer = await fetch(`http://${status.listening[0]}/`);
        expect(await answer.text()).toBe(inner);
      };
      await ask();
      await line.must('reload', ...path);
      await ask();
      await line.must('restart', ...path);
      await ask();
      await line.must('stop', ...path);
      expect(readFileSync(join(line.folder, 'access.log'), 'utf8').trim().split('\n')).toHaveLength(3);
      expect(readFileSync(join(line.folder, 'it.log'), 'utf8').match(/"printed"/g)).toHaveLength(3);
      expect(readdirSync(inner)).toEqual([]);
    },
  );

  it('that cannot be opened is a reason not to start', async () => {
    const line = new CommandLine();
    const { code, stderr } = await line.run('start', line.script, '--log-file', '/nowhere/it.log');
    expect(code).toBe(1);
    expect(stderr).toContain('ERR_LOG_FILE');
  });
});

describe('standard error', () => {
  it('as a pipe that nobody reads any more stops nothing', async () => {
    const line = new CommandLine({ TSWOOLE_OPTION_WORKER_NUM: '1' });
    const child = spawn('tswoole', ['start', line.script], {
      cwd: line.folder,
      env: line.env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const port = await new Promise<number>((resolve) => {
      createInterface({ input: child.stdout }).on('line', (text) =>
        resolve((JSON.parse(text) as { port: number }).port),
      );
    });
    child.stderr.destroy();
    child.stdout.destroy();
    await throwOnce(port);
    await line.must('reload');
    const client = await Client.open(port);
    expect(await client.ask('a')).toMatch(/^a /);
    const exit = new Promise((resolve) => child.once('exit', resolve));
    await line.must('stop');
    expect(await exit).toBe(0);
  });
});

describe("a logger of the user's own", () => {
  it('gets everything, with whose it is', async () => {
    const line = new CommandLine({ TSWOOLE_OPTION_WORKER_NUM: '1' });
    writeFileSync(
      join(line.folder, 'own.js'),
      `import { pino } from '${new URL('../../node_modules/pino/pino.js', import.meta.url).pathname}';
       import { Server } from 'tswoole';
       const server = new Server({ logger: pino({ name: 'mine' }, pino.destination({ dest: 'own.log', sync: true })) });
       server.on('receive', () => { throw new Error('thrown on purpose'); });
       await server.start();
       console.log(JSON.stringify({ event: 'up', port: server.port }));`,
    );
    const said = await line.must('start', 'own.js', '--daemon');
    await throwOnce(Number(/:(\d+)\n/.exec(said)?.[1]));
    await line.must('stop');
    const lines = linesOf(join(line.folder, 'own.log'));
    expect(lines).toContainEqual(expect.objectContaining({ name: 'mine', role: 'worker', level: 50 }));
    expect(lines).toContainEqual(expect.objectContaining({ name: 'mine', role: 'master', msg: 'shutting down' }));
  });
});
