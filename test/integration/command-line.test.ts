import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { Client } from '../helpers/client.js';
import { CommandLine, endCommandLines, type Result } from '../helpers/command-line.js';
import { poll } from '../helpers/server-process.js';
import { foreground, look, sharedLines } from '../helpers/shared-lines.js';

afterEach(endCommandLines);

interface Daemon {
  readonly line: CommandLine;
  readonly pid: number;
  readonly port: number;
  /** What its start has said. */
  readonly started: Result;
}

const shared = sharedLines();

/** For tests that leave it as it is. */
function daemonWith(...flags: string[]): Promise<Daemon> {
  return shared(flags.join(' '), async () => {
    const line = new CommandLine();
    const started = await line.run('start', line.script, '--daemon', ...flags);
    const [, pid = '0', port = '0'] = /process (\d+), listening on [^ ]*:(\d+)/.exec(started.stdout) ?? [];
    return { line, pid: Number(pid), port: Number(port), started };
  });
}

const withoutLog = (): Promise<Daemon> => daemonWith();
const withLog = (): Promise<Daemon> => daemonWith('--worker-num', '1', '--log-file', 'it.log');
const oneWorker = (): CommandLine => new CommandLine({ TSWOOLE_OPTION_WORKER_NUM: '1' });

describe('tswoole doctor', () => {
  it('looks at this machine, and its exit code says whether something is to be mended', async () => {
    const line = new CommandLine();
    const { code, stdout } = await line.run('doctor', line.script, '--json');
    const found = JSON.parse(stdout) as { subject: string; level: string }[];
    expect(found).toContainEqual(expect.objectContaining({ subject: 'Node', level: 'ok', says: process.version }));
    expect(code).toBe(found.some(({ level }) => level === 'mend') ? 1 : 0);
    expect(await line.run('doctor', 'missing.js')).toMatchObject({ code: 2 });
  });
});

describe('a daemon', () => {
  it('is started, asked, reloaded, scaled, restarted and stopped by the command line, and leaves nothing', async () => {
    const line = new CommandLine();
    const { pid, port } = await line.daemon('--max-worker-num', '4', '--pid-file', 'it.pid', '--log-file', 'it.log');
    expect(readFileSync(join(line.folder, 'it.pid'), 'utf8')).toBe(`${pid}\n`);
    const client = await Client.open(port);
    const [, first] = (await client.ask('a')).split(' ');

    const { status } = await line.report();
    expect(status).toMatchObject({
      name: 'operated',
      masterPid: pid,
      phase: 'running',
      ready: true,
      workerNum: 2,
      isDaemon: true,
    });
    expect(status.listening).toEqual([`127.0.0.1:${port}`]);
    expect(await line.must('status')).toContain(`127.0.0.1:${port}`);

    expect(await line.must('reload')).toContain('generation 1');
    const [, second] = (await client.ask('b')).split(' ');
    expect(second).not.toBe(first);

    expect(await line.must('scale', '4')).toContain('4 workers');
    expect(await line.must('scale', '-3')).toContain('1 worker');
    expect((await look(line)).workers).toHaveLength(1);
    expect(await client.ask('c')).toMatch(/^c \d+ 0$/);

    expect(await line.must('workers')).toMatch(/^ID .*\n *0 +worker +\d+ +idle/);
    expect(await line.must('connections')).toContain(`127.0.0.1:${client.socket.localPort}`);
    expect(await line.must('top', '--count', '1')).toMatch(/worker 0 +\d+/);
    expect(await line.must('logs', '-n', '1000')).toContain('the number of workers has changed');
    expect(await line.must('worker', 'stop', '0')).toContain('replaced');
    await poll('the worker was replaced', async () => (await client.ask('d')).split(' ')[1] !== second);

    const restarted = await line.must('restart');
    const again = Number(/process (\d+),/.exec(restarted)?.[1]);
    expect(again).not.toBe(pid);
    expect((await look(line)).status).toMatchObject({
      masterPid: again,
      maxWorkerNum: 4,
      pidFile: join(line.folder, 'it.pid'),
    });

    const script = readFileSync(line.script, 'utf8');
    writeFileSync(line.script, 'throw new Error("broken by now");');
    expect(await line.run('reload')).toMatchObject({ code: 1, stderr: expect.stringContaining('ERR_RELOAD') });
    writeFileSync(line.script, script);
    expect(await line.must('stop')).toContain(`${again}`);
    expect(line.tree()).toEqual([]);
    expect(readdirSync(line.runDir)).toEqual([]);
    expect(existsSync(join(line.folder, 'it.pid'))).toBe(false);
    expect(await line.run('status')).toMatchObject({ code: 3 });
  });

  it('says that what it writes is lost where it has no log file', async () => {
    const lost = expect.stringMatching(/^It has no log file, so what .* is lost: .*--log-file FILE/);
    expect((await withoutLog()).started).toMatchObject({ code: 0, stderr: lost });
    const { code, stderr } = (await withLog()).started;
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  it('that does not come up says why, with a code, and leaves nothing', async () => {
    const { line, port } = await withoutLog();
    const taken = await line.run('start', line.script, '--daemon', '--port', String(port));
    expect(taken.code).toBe(1);
    expect(taken.stderr).toContain('ERR_PORT_IN_USE');
    writeFileSync(
      join(line.folder, 'broken.js'),
      'import { Server } from "tswoole";\nconst s = new Server();\ns.on("receive", () => {});\ns.on("workerStart", () => { throw new Error("no luck"); });\nawait s.start();\n',
    );
    const broken = await line.run('start', 'broken.js', '--daemon');
    expect(broken.code).toBe(1);
    expect(broken.stderr).toContain('no luck');
    expect(await line.servers()).toHaveLength(1);
  });

  it('has a session of its own, no terminal, and writes what scripts print to the log file', async () => {
    const { line, pid } = await withLog();
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? [];
    expect(fields.slice(3, 5)).toEqual([String(pid), '0']);
    const log = (): string => readFileSync(join(line.folder, 'it.log'), 'utf8');
    await poll('the log has what the script printed', () => log().includes('"event":"up"'));
    expect(readFileSync(`/proc/${pid}/environ`, 'latin1')).not.toContain('TSWOOLE_DAEMON=1\0TSWOOLE_DAEMON');
  });
});

describe('a restart', () => {
  it('keeps the environment the daemon was started with, until it is told to take another', async () => {
    const line = oneWorker();
    await line.daemon();
    line.env['TSWOOLE_OPTION_WORKER_NUM'] = '2';
    await line.must('restart');
    expect((await look(line)).status.workerNum).toBe(1);
    await line.must('restart', '--update-env');
    expect((await look(line)).status.workerNum).toBe(2);
  });

  it('of a script that does not start any more says so', async () => {
    const line = oneWorker();
    await line.daemon();
    writeFileSync(line.script, 'throw new Error("broken by now");');
    const { code, stderr } = await line.run('restart');
    expect(code).toBe(1);
    expect(stderr).toMatch(/broken by now.*did not start again/s);
    expect(line.tree()).toEqual([]);
  });

  it('of a server in the foreground is left to whoever has started it', async () => {
    const line = oneWorker();
    await foreground(line);
    expect(await line.run('restart')).toMatchObject({ code: 1, stderr: expect.stringContaining('not a daemon') });
    await line.must('stop');
  });
});

describe('where several servers run', () => {
  it('they are listed, and one is chosen by name, pid or pid file', async () => {
    const line = oneWorker();
    const one = await line.daemon('--name', 'one', '--pid-file', 'one.pid');
    const two = await line.daemon('--name', 'two');
    expect((await line.servers()).map(({ name }) => name)).toEqual(['one', 'two']);
    const unsure = await line.run('stop');
    expect(unsure.code).toBe(4);
    expect(unsure.stderr).toMatch(/one +\d+.*two +\d+/s);
    expect((await line.report('two')).status.masterPid).toBe(two.pid);
    expect((await line.report(String(one.pid))).status.name).toBe('one');
    expect((await line.report('--pid-file', 'one.pid')).status.name).toBe('one');
    await line.must('stop', '--pid-file', 'one.pid');
    expect((await line.servers()).map(({ name }) => name)).toEqual(['two']);
  });
});

describe('a pid file', () => {
  it('lets exactly one of two starts at once win; the other says who runs', async () => {
    const line = oneWorker();
    const start = (): ReturnType<CommandLine['run']> =>
      line.run('start', line.script, '--daemon', '--pid-file', 'it.pid');
    const results = await Promise.all([start(), start(), start()]);
    const won = results.filter(({ code }) => code === 0);
    expect(won).toHaveLength(1);
    const pid = /process (\d+),/.exec(won[0]?.stdout ?? '')?.[1];
    for (const { code, stderr } of results.filter((result) => result.code !== 0)) {
      expect(code).toBe(1);
      expect(stderr).toContain('ERR_PID_FILE_LOCKED');
      expect(stderr).toContain(String(pid));
    }
    expect(await line.servers()).toHaveLength(1);
  });

  it('that a killed server has left, with the pid of another program by now, is never signalled', async () => {
    const line = oneWorker();
    writeFileSync(join(line.folder, 'it.pid'), `${process.pid}\n`);
    for (const command of [['stop'], ['reload'], ['status']]) {
      const { code, stderr } = await line.run(...command, '--pid-file', 'it.pid');
      expect(code).toBe(3);
      expect(stderr).toContain('No process was touched');
    }
    const { pid } = await line.daemon('--pid-file', 'it.pid');
    expect(readFileSync(join(line.folder, 'it.pid'), 'utf8')).toBe(`${pid}\n`);
    expect(process.exitCode ?? 0).toBe(0);
  });

  it('finds a server that cannot be asked, to be told by signals', async () => {
    const line = oneWorker();
    const { pid } = await line.daemon('--pid-file', 'it.pid', '--control', 'false');
    expect(await line.servers()).toEqual([]);
    expect((await line.run('status', '--pid-file', 'it.pid')).stderr).toContain(String(pid));
    expect(await line.must('reload', '--pid-file', 'it.pid')).toContain('signal');
    expect(await line.must('stop', '--pid-file', 'it.pid')).toContain(String(pid));
    expect(line.tree()).toEqual([]);
  });
});

describe('a command that cannot be carried out', () => {
  it.each([
    [['stop'], 3, 'No server of this user runs'],
    [['status', 'nobody'], 3, 'nobody'],
    [['start', 'missing.js'], 2, 'missing.js'],
    [['start', '.'], 2, 'folder'],
    [['start', 'operated.js', '--port', 'abc'], 2, '--port'],
    [['start', 'operated.js', '--worker-nun', '3'], 2, '--worker-num'],
    [['start', 'operated.js', '--max-memory', '3k'], 2, '--max-memory'],
    [['nonsense'], 2, 'nonsense'],
    [['scale', 'many'], 2, 'many'],
    [['completion', 'tcsh'], 2, 'bash'],
  ])('%j ends with %i', async (args, code, text) => {
    const line = new CommandLine();
    const result = await line.run(...args);
    expect(result).toMatchObject({ code });
    expect(result.stderr).toContain(text);
    expect(result.stderr).not.toMatch(/ at .*\.js:\d+/);
  });

  it('by a running server says why', async () => {
    const { line } = await withoutLog();
    expect(await line.run('scale', '9')).toMatchObject({ code: 1, stderr: expect.stringContaining('maxWorkerNum') });
    expect(await line.run('worker', 'stop', '77')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('ERR_WORKER_ID'),
    });
    expect(await line.run('close', '12345')).toMatchObject({ code: 1, stderr: expect.stringContaining('ERR_SESSION') });
    expect(await line.run('call', 'nix')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('ERR_COMMAND_UNKNOWN'),
    });
    expect(await line.run('call', 'fails')).toMatchObject({ code: 1, stderr: expect.stringContaining('not my day') });
    expect(await line.run('logs')).toMatchObject({ code: 1, stderr: expect.stringContaining('--log-file') });
    expect(await line.run('log-level', 'loud')).toMatchObject({ code: 2, stderr: expect.stringContaining('debug') });
  });
});

describe('options from outside', () => {
  it('go before those of the script: flags, then environment', async () => {
    const line = new CommandLine({ TSWOOLE_OPTION_WORKER_NUM: '3', TSWOOLE_OPTION_MAX_WAIT_MS: '1234' });
    await line.daemon('--worker-num', '1', '--framing', '{"type":"eof","delimiter":";"}');
    const settings = JSON.parse(await line.must('call', 'settings')) as Record<string, unknown>;
    expect(settings).toMatchObject({ workerNum: 1, maxWaitMs: 1234, framing: { type: 'eof', delimiter: ';' } });
  });

  it('are refused by the name they were given', async () => {
    const line = new CommandLine({ TSWOOLE_OPTION_WORKER_NUM: 'lots' });
    const { code, stderr } = await line.run('start', line.script);
    expect(code).toBe(1);
    expect(stderr).toContain('TSWOOLE_OPTION_WORKER_NUM');
  });

  it('reach the arguments of the script behind --', async () => {
    const line = new CommandLine();
    // It starts no server, and ends with a code of its own.
    writeFileSync(join(line.folder, 'args.js'), 'console.log(JSON.stringify(process.argv.slice(2))); process.exit(9)');
    const { code, stdout } = await line.run('start', 'args.js', '--port', '1', '--', '--port', 'x');
    expect([code, stdout]).toEqual([9, '["--port","x"]\n']);
  });
});

describe('a script in TypeScript', () => {
  it('runs, or it is said what it takes', async () => {
    const line = new CommandLine();
    writeFileSync(join(line.folder, 'typed.ts'), 'const answer: number = 42;\nconsole.log(answer);\n');
    const result = await line.run('start', 'typed.ts');
    const isStripped = typeof Reflect.get(process.features, 'typescript') === 'string';
    // It starts no server: 2.
    if (isStripped) expect(result).toMatchObject({ code: 2, stdout: '42\n' });
    else expect(result).toMatchObject({ code: 1, stderr: expect.stringMatching(/22\.18.*tsx/s) });
  });
});

describe('the other commands', () => {
  it('tell the version, the platform, a unit for systemd, and completions', async () => {
    const line = new CommandLine();
    expect(await line.must('--version')).toMatch(/^tswoole \d+\.\d+\.\d+\n$/);
    expect(await line.must('info')).toMatch(/reactor backend +epoll/);
    const unit = await line.must('systemd', line.script, '--worker-num', '3');
    expect(unit).toContain('Type=notify');
    expect(unit).toMatch(/^ExecStart=.*start .*operated\.js --worker-num=3$/m);
    expect(await line.must('completion', 'bash')).toContain('complete');
    expect(await line.must('__complete', '--', 'sta')).toBe('start\nstatus\n');
    expect(await line.must('__complete', '--', 'start', '--worker-t')).toBe('--worker-timeout-ms\n');
  });

  it("call the server's own and the user's", async () => {
    const { line, pid } = await withoutLog();
    expect(JSON.parse(await line.must('call', 'greet', '{"name":"Ada"}'))).toEqual({ hello: 'Ada', pid });
    expect(await line.must('call')).toMatch(/greet/);
    await line.must('log-level', 'debug');
    expect((await look(line)).status.logLevel).toBe('debug');
  });

  it('close a connection', async () => {
    const { line, port } = await withoutLog();
    const client = await Client.open(port);
    await client.ask('a');
    const page = JSON.parse(await line.must('connections', '--json')) as { connections: { fd: number }[] };
    await line.must('close', String(page.connections[0]?.fd));
    await client.closed;
  });

  it('take profiles of any process', async () => {
    const { line } = await withoutLog();
    await Promise.all(
      ['0', 'manager', 'master'].map(async (process_) => {
        await line.must('profile', process_, '--seconds', '1', '-o', `${process_}.cpuprofile`);
        const profile = JSON.parse(readFileSync(join(line.folder, `${process_}.cpuprofile`), 'utf8')) as {
          nodes: unknown[];
        };
        expect(profile.nodes.length).toBeGreaterThan(0);
      }),
    );
    await line.must('profile', '1', '--heap', '-o', 'it.heapsnapshot');
    expect(readFileSync(join(line.folder, 'it.heapsnapshot'), 'utf8')).toContain('"snapshot"');
    const refused = await line.run('profile', '0', '--seconds', '1', '-o', '/proc/nowhere/it');
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('ERR_PROFILE') });
  });
});
