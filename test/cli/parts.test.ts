import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { candidates } from '../../src/cli/commands/completion.js';
import { unitFor } from '../../src/cli/commands/systemd.js';
import { CliError, ExitCode, messageOf } from '../../src/cli/exit.js';
import { withNodeArguments } from '../../src/cli/node-arguments.js';
import { integerBetween } from '../../src/cli/number.js';
import { addServerOptions, givenOptions } from '../../src/cli/option-flags.js';
import { createProgram } from '../../src/cli/program.js';
import { commandFor } from '../../src/cli/script.js';
import { ask, chooseServer, runningServers, scriptOf, serverTable, waitUntilGone } from '../../src/cli/servers.js';
import { choiceOf } from '../../src/cli/target.js';
import { bytes, count, duration, list, seconds, table } from '../../src/cli/terminal.js';
import { CommandTable } from '../../src/control/commands.js';
import type { Controlled } from '../../src/control/controlled.js';
import { PidFile } from '../../src/control/pid-file.js';
import { makeRunDir, type RunEntry, socketIn, writeEntry } from '../../src/control/run-dir.js';
import { ControlServer } from '../../src/control/server.js';
import { ServerError } from '../../src/errors/index.js';
import { definitions } from '../../src/options/definitions.js';
import { processStartTime } from '../../src/os/other-process.js';
import { monotonicMs } from '../../src/util/clock.js';
import { Log } from '../../src/util/log.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cli-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const cliError = (what: () => unknown): unknown => {
  try {
    return what();
  } catch (error) {
    return error instanceof CliError ? [error.exitCode, error.message] : error;
  }
};

describe('arguments of Node', () => {
  const means = (words: string, ...ours: string[]): string =>
    withNodeArguments(words.split(' '), (flag) => ours.includes(flag)).join(' ');

  it.each([
    ['--inspect app.js', '--node-arg=--inspect app.js'],
    ['--max-old-space-size=512 app.js', '--node-arg=--max-old-space-size=512 app.js'],
    ['--import ./trace.js app.js', '--node-arg=--import=./trace.js app.js'],
    ['--import=./trace.js app.js', '--node-arg=--import=./trace.js app.js'],
    ['-r ./a.cjs app.js', '--node-arg=--require=./a.cjs app.js'],
    ['-C dev app.js', '--node-arg=--conditions=dev app.js'],
    ['--conditions dev app.js', '--node-arg=--conditions=dev app.js'],
    ['--require ./a.cjs app.js', '--node-arg=--require=./a.cjs app.js'],
    ['--loader ./a.mjs app.js', '--node-arg=--loader=./a.mjs app.js'],
    ['--experimental-loader ./a.mjs app.js', '--node-arg=--experimental-loader=./a.mjs app.js'],
    ['--env-file .env app.js', '--node-arg=--env-file=.env app.js'],
    ['--node-arg --x app.js', '--node-arg=--x app.js'],
    ['app.js --port 1', 'app.js --port 1'],
    ['app.js -p --unknown', 'app.js -p --unknown'],
    ['app.js --import', 'app.js --node-arg=--import='],
  ])('%s means %s', (given, meant) => {
    expect(means(given)).toBe(meant);
  });

  it('are ours where both have one of that name', () => {
    expect(means('--title x app.js', '--title')).toBe('--title x app.js');
  });
});

describe('the script', () => {
  const file = (name: string): string => {
    writeFileSync(join(folder, name), '');
    return join(folder, name);
  };

  it.each(['a.js', 'a.mjs', 'a.cjs', 'a'])('%s is run as it is', (name) => {
    expect(commandFor(file(name), false)).toEqual({ script: join(folder, name), nodeArgs: [] });
  });

  it.each(['a.ts', 'a.mts', 'a.cts'])('%s needs a Node that strips types, or tsx in the project', (name) => {
    const script = file(name);
    expect(commandFor(script, true)).toEqual({ script, nodeArgs: [] });
    expect(cliError(() => commandFor(script, false))).toEqual([
      ExitCode.failed,
      expect.stringMatching(/is TypeScript/),
    ]);
  });

  it.each([
    ['strip', true],
    ['transform', true],
    [false, false],
    [undefined, false],
  ])('of TypeScript is left to a Node whose feature for it is %j: %s', (feature, isLeft) => {
    const before = Object.getOwnPropertyDescriptor(process.features, 'typescript');
    Object.defineProperty(process.features, 'typescript', { value: feature, configurable: true });
    const script = file('a.ts');
    const said = cliError(() => commandFor(script));
    Reflect.deleteProperty(process.features, 'typescript');
    if (before !== undefined) Object.defineProperty(process.features, 'typescript', before);
    expect(said).toEqual(isLeft ? { script, nodeArgs: [] } : [ExitCode.failed, expect.any(String)]);
  });

  it('of TypeScript is run by the tsx of its project', () => {
    const tsx = join(folder, 'node_modules', 'tsx');
    mkdirSync(tsx, { recursive: true });
    writeFileSync(join(tsx, 'index.js'), '');
    const { nodeArgs } = commandFor(file('a.ts'), false);
    expect(nodeArgs).toEqual(['--import', expect.stringMatching(/^file:.*node_modules\/tsx\/index\.js$/)]);
  });

  it('must be a file', () => {
    expect(cliError(() => commandFor(join(folder, 'none.js')))).toEqual([
      ...[ExitCode.usage, expect.stringMatching(/There is no file .*none\.js/)],
    ]);
    expect(cliError(() => commandFor(folder))).toEqual([ExitCode.usage, expect.stringMatching(/is a folder/)]);
  });

  it.each([
    [['node', '/srv/app.js'], '/srv/app.js'],
    [['node', '--inspect', '--import', './trace.js', 'app.ts', '--flag'], 'app.ts'],
    [['node', '-r', 'x', '--conditions=dev', 'app.js', 'other.js'], 'app.js'],
    [['node', '--require', 'x', '--loader', 'x', '--experimental-loader', 'x', 'app.js'], 'app.js'],
    [['node', '-C', 'x', '--conditions', 'x', 'app.js'], 'app.js'],
    [['node', '/elsewhere/node_modules/tswoole/dist/http/run-app.cjs', 'app.js'], 'app.js'],
    [['node'], ''],
  ])('of the command %j is %j', (command, script) => {
    expect(scriptOf({ command })).toBe(script);
  });
});

describe('an integer on the command line', () => {
  it.each(['1', '10', '5'])('from 1 to 10 may be %s', (text) => {
    expect(integerBetween(1, 10)(text)).toBe(Number(text));
  });

  it.each(['0', '11', '1.5', '', ' 1', '1e1', '0x1', 'x', '+1'])('from 1 to 10 is not %j', (text) => {
    expect(() => integerBetween(1, 10)(text)).toThrow(/integer from 1 to 10/);
  });

  it('may be below 0', () => {
    expect(integerBetween(-5, 5)('-5')).toBe(-5);
  });
});

describe('options of the server', () => {
  const parse = (...words: string[]): Record<string, string> => {
    const command = new Command('start').exitOverride().configureOutput({ writeErr: () => {} });
    addServerOptions(command);
    command.parse(words, { from: 'user' });
    return givenOptions(command.opts());
  };

  it('are flags, and some have a short way', () => {
    expect(parse('--worker-num', '4', '--port=0', '-d', '--name', 'x')).toEqual({
      ...{ workerNum: '4', port: '0', daemonize: 'true', name: 'x' },
    });
    expect(parse('--workers', '2', '--task-workers=1')).toEqual({ workerNum: '2', taskWorkerNum: '1' });
    expect(parse()).toEqual({});
  });

  it('are described by the first sentence of their help, as plain text', () => {
    const command = new Command('start');
    addServerOptions(command);
    const described = command.options.map(({ description }) => description);
    expect(described.filter((text) => text.length < 5 || /[.;]$|[.;] [A-Z]|`|\]\(/.test(text))).toEqual([]);
    expect(described).toContain('the same as --worker-num');
    const helps = Object.values(definitions).map(({ help }) =>
      help
        .split('`')
        .join('')
        .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1'),
    );
    const own = described.filter((text) => !text.startsWith('the same as '));
    const isOfHelp = (text: string): boolean => helps.some((help) => help.startsWith(text));
    expect(own.filter((text) => !isOfHelp(text))).toEqual([]);
  });

  it('are refused before anything starts, with what was expected', () => {
    expect(() => parse('--worker-num', 'many')).toThrow(/--worker-num/);
    expect(() => parse('--port', '65536')).toThrow(/--port/);
  });

  it('that hold secrets are refused without being shown', () => {
    let message = '';
    try {
      parse('--admin', '{"token":"hunter2"');
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message).toMatch(/admin/);
    expect(message).not.toContain('hunter2');
  });
});

describe('what is printed', () => {
  it('is a table with numbers to the right', () => {
    const text = table(
      ['NAME', 'COUNT', 'SIZE'],
      [
        ['a', 1, '10 B'],
        ['longer', 1000, '1.5 KiB'],
      ],
    );
    expect(text).toBe('NAME    COUNT     SIZE\na           1     10 B\nlonger   1000  1.5 KiB');
    expect(table(['A', 'B'], [])).toBe('A  B');
  });

  it('is a list of names and values', () => {
    expect(
      list([
        ['a', '1'],
        ['longer', '2'],
      ]),
    ).toBe('a       1\nlonger  2');
  });

  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [1536, '1.5 KiB'],
    [100 * 1024, '100 KiB'],
    [1024 ** 2, '1.0 MiB'],
    [1024 ** 5, '1024 TiB'],
  ])('is %i bytes as %s', (value, text) => {
    expect(bytes(value)).toBe(text);
  });

  it.each([
    [0, '0s'],
    [59_999, '59s'],
    [60_000, '1m 0s'],
    [3_599_999, '59m 59s'],
    [3_600_000, '1h 0m'],
    [86_399_999, '23h 59m'],
    [86_400_000, '1d 0h'],
    [3 * 86_400_000 + 4 * 3_600_000, '3d 4h'],
  ])('is %i ms as %s', (ms, text) => {
    expect(duration(ms)).toBe(text);
  });

  it.each([
    [0, '0µs'],
    [0.00018, '180µs'],
    [0.0009999, '1000µs'],
    [0.001, '1.0ms'],
    [0.0012, '1.2ms'],
    [0.01, '10ms'],
    [0.25, '250ms'],
    [1, '1.0s'],
  ])('is %d seconds as %s', (value, text) => {
    expect(seconds(value)).toBe(text);
  });

  it.each([
    [0, '0'],
    [9999, '9999'],
    [10_000, '10.0k'],
    [12_345, '12.3k'],
    [99_900, '99.9k'],
    [100_000, '100k'],
    [1e6, '1.0M'],
    [999_999_999, '1000.0M'],
    [1e9, '1.0G'],
    [123_456, '123k'],
    [1_234_567, '1.2M'],
    [1.5e9, '1.5G'],
  ])('is the count %d as %s', (value, text) => {
    expect(count(value)).toBe(text);
  });

  it('of an error is its sentence with its code, and why', () => {
    const cause = new ServerError('ERR_SHUTTING_DOWN', {});
    expect(messageOf(new Error('it failed', { cause }))).toBe(
      `it failed\n  because: ${cause.message} (ERR_SHUTTING_DOWN)`,
    );
    expect(messageOf(Object.assign(new Error('no'), { code: 'ENOENT' }))).toBe('no');
    expect(messageOf('a text')).toBe('a text');
    expect(messageOf(new Error('it failed', { cause: 'DATABASE_URL is missing' }))).toBe(
      'it failed\n  because: DATABASE_URL is missing',
    );
  });
});

describe('which server is meant', () => {
  const { pid } = process;
  const parent = process.ppid;
  const note = (of: number, name: string, more: Partial<RunEntry> = {}): void =>
    writeEntry(folder, {
      ...{ pid: of, processStart: processStartTime(of) ?? '', name, version: '0', mode: 'process' },
      ...{ startedAt: Date.now(), startedAtMonotonic: monotonicMs() - of, socket: socketIn(folder, of) },
      ...{ pidFile: '', logFile: '', isDaemon: false, cwd: '/', command: ['node', 'app.js'], flags: {} },
      ...more,
    });
  const choose = async (choice: object): Promise<unknown> =>
    chooseServer({ runDir: folder, ...choice }).then(
      (found) => found.pid,
      (error: CliError) => [error.exitCode, error.message],
    );
  beforeEach(() => makeRunDir(folder));

  it('is the only one, or one by its name or pid', async () => {
    note(pid, 'web');
    expect([await choose({}), await choose({ server: 'web' }), await choose({ server: String(pid) })]).toEqual([
      ...[pid, pid, pid],
    ]);
  });

  it('must be said where several run, and those are shown', async () => {
    note(pid, 'web');
    note(parent, 'mail');
    expect(await choose({})).toEqual([ExitCode.several, expect.stringMatching(/2 servers run.*web.*mail|mail.*web/s)]);
    expect(await choose({ server: 'mail' })).toBe(parent);
    note(parent, 'web');
    expect(await choose({ server: 'web' })).toEqual([ExitCode.several, expect.stringMatching(/by its pid:/)]);
  });

  it('is none where none runs, or none is called so', async () => {
    expect(await choose({})).toEqual([ExitCode.notRunning, expect.stringMatching(/No server of this user runs/)]);
    note(pid, 'web');
    expect(await choose({ server: 'mail' })).toEqual([ExitCode.notRunning, expect.stringMatching(/mail.*web/s)]);
  });

  it('is not one whose process has ended, though another one has its pid now', async () => {
    note(pid, 'web', { processStart: 'another' });
    expect(runningServers({ runDir: folder })).toEqual([]);
  });

  it('may be said by its pid file, and a file that is left over names nobody', async () => {
    const path = join(folder, 'web.pid');
    const file = PidFile.acquire(path);
    expect(await choose({ pidFile: path })).toBe(pid);
    file.remove();
    writeFileSync(path, `${pid}\n`);
    expect(await choose({ pidFile: path })).toEqual([
      ExitCode.notRunning,
      expect.stringMatching(/No process was touched/),
    ]);
    expect(await choose({ pidFile: join(folder, 'none') })).toEqual([ExitCode.notRunning, expect.any(String)]);
  });

  it('is shown with its name, pid, mode, age and script', () => {
    note(pid, 'web');
    const [head, row] = serverTable(runningServers({ runDir: folder })).split('\n');
    expect(head).toMatch(/^NAME +PID +MODE +UP +SCRIPT$/);
    expect(row).toMatch(new RegExp(`^web +${pid} +process +.*s +app.js$`));
  });

  it('stands before the command or behind -s', () => {
    expect(choiceOf({ server: 'a' }, 'b')).toMatchObject({ server: 'b' });
    expect(choiceOf({ server: 'a', runDir: 'r', pidFile: 'p' })).toEqual({ server: 'a', runDir: 'r', pidFile: 'p' });
  });

  it('is asked, and its errors are told by exit codes', async () => {
    note(pid, 'web');
    const own = new Map([['slow', () => new Promise(() => {})]]);
    const server = {
      stats: () => ({ requestCount: 1 }),
      reload: () => Promise.reject(new ServerError('ERR_RELOAD', { why: 'x' })),
    };
    const control = new ControlServer(
      new CommandTable(server as unknown as Controlled, own),
      new Log({ role: 'master', level: 'silent' }),
    );
    await control.listen(socketIn(folder, pid));
    const call = (command: string, given = {}, timeoutMs = 5000): Promise<unknown> =>
      ask({ runDir: folder }, (asked) => asked.call(command, given, timeoutMs)).catch(
        (error: CliError) => error.exitCode,
      );
    expect(await call('stats')).toEqual({ requestCount: 1 });
    expect(await call('stast')).toBe(ExitCode.usage);
    expect(await call('stats', { x: 1 })).toBe(ExitCode.usage);
    expect(await call('reload')).toBe(ExitCode.failed);
    expect(await call('slow', {}, 10)).toBe(ExitCode.timedOut);
    await control.close();
    expect(await call('stats')).toBe(ExitCode.failed);
  });

  it('is waited for until its process is gone, and no longer than that', async () => {
    expect(await waitUntilGone(pid, processStartTime(pid), 30)).toBe(false);
    expect(await waitUntilGone(pid, 'another', 30)).toBe(true);
    expect(await waitUntilGone(2 ** 22 + 1, undefined, 30)).toBe(true);
  });
});

describe('the program', () => {
  const every = createProgram();

  it.each(every.commands.map((command) => command.name()))('describes %s alone as among all', (name) => {
    const find = ({ commands }: Command): Command | undefined => commands.find((each) => each.name() === name);
    expect(find(createProgram(name))?.helpInformation()).toBe(find(every)?.helpInformation());
  });

  it('describes only what is asked for, where that is known', () => {
    expect(createProgram('start').commands.map((command) => command.name())).toEqual(['start']);
  });

  it.each(['nix', 'ls', '--help', '__proto__', undefined])(
    'describes all commands where the first word is %s',
    (word) => {
      expect(createProgram(word).commands).toHaveLength(every.commands.length);
    },
  );
});

describe('completion', () => {
  const program = createProgram();

  it('knows the commands, and shows none that is hidden', () => {
    expect(candidates(program, ['st'])).toEqual(['start', 'stop', 'status']);
    expect(candidates(program, [''])).not.toContain('__complete');
    expect(candidates(program, ['completion', ''])).toEqual(['bash', 'zsh', 'fish']);
  });

  it('knows the flags of a command', () => {
    expect(candidates(program, ['start', '--worker-n'])).toEqual(['--worker-num']);
    expect(candidates(program, ['stop', '--'])).toContain('--help');
    expect(candidates(program, ['no-such', 'x'])).toEqual([]);
  });
});

describe('a unit of systemd', () => {
  const unit = (options: Record<string, string> = {}, more: object = {}): string =>
    unitFor({
      ...{ script: '/srv/my app/server.js', args: [], user: 'www', node: '/usr/bin/node', main: '/opt/main.js' },
      flags: { options, nodeArgs: [], isApp: false },
      ...more,
    });
  const line = (text: string, name: string): string | undefined =>
    text.split('\n').find((one) => one.startsWith(`${name}=`));

  it('runs the script as it was given, in its folder, as its user', () => {
    const text = unit({ port: '80' });
    expect(line(text, 'ExecStart')).toBe(
      'ExecStart=/usr/bin/node /opt/main.js start "/srv/my app/server.js" --port=80',
    );
    expect(line(text, 'WorkingDirectory')).toBe('WorkingDirectory=/srv/my app');
    expect(line(text, 'User')).toBe('User=www');
  });

  it.each([
    ['/srv/shop/server.js', 'shop'],
    ['/srv/shop/dist/server.js', 'shop'],
    ['/srv/my app/src/index.mjs', 'my-app'],
    ['/srv/shop/api.js', 'api'],
  ])('of %s is called as its running server: %s', (script, name) => {
    const text = unit({}, { script });
    expect(text).toContain(`/etc/systemd/system/${name}.service`);
    expect(line(text, 'RuntimeDirectory')).toBe(`RuntimeDirectory=tswoole-${name}`);
    expect(unit({ name: 'own' }, { script })).toContain('/etc/systemd/system/own.service');
  });

  it('has a run directory that PrivateTmp does not hide, where commands find it', () => {
    const text = unit({ name: 'it:1' });
    expect(line(text, 'RuntimeDirectory')).toBe('RuntimeDirectory=tswoole-it-1');
    expect(line(text, 'RuntimeDirectoryMode')).toBe('RuntimeDirectoryMode=0700');
    expect(text).toContain('\nEnvironment=TSWOOLE_OPTION_RUN_DIR=/run/tswoole-it-1\n');
    expect(text).toContain(
      '# Where commands find the server: sudo -u www tswoole status --run-dir /run/tswoole-it-1\n',
    );
    for (const own of [unit({}, { user: 'root' }), unit({ runDir: '/srv/run' })])
      expect(own).not.toContain('RuntimeDir');
  });

  it('says that it runs as root, and how to name another user', () => {
    expect(unit({}, { user: 'root' })).toMatch(
      /\n# The whole service runs as root.*--service-user NAME.*\nUser=root\n/,
    );
    expect(unit()).not.toContain('as root');
  });

  it('keeps %, $, quotes and line ends as they are meant', () => {
    const text = unit({}, { args: ['100%', '$HOME', 'say "hi"', 'a\nb', 'c\td\r', 'back\\slash '] });
    expect(line(text, 'ExecStart')).toMatch(/ -- 100%% \$\$HOME "say \\"hi\\"" "a\\nb" "c\\td\\r" "back\\\\slash "$/);
  });

  it('does not become a daemon, and makes paths absolute', () => {
    const text = line(unit({ daemonize: 'true', pidFile: 'run/it.pid', logFile: '' }), 'ExecStart');
    expect(text).not.toContain('daemon');
    expect(text).toContain(`--pid-file=${join(process.cwd(), 'run/it.pid')}`);
    expect(text).toContain('--log-file=');
  });

  it('does not hold a secret, and says where it is to stand', () => {
    const text = unit({ admin: '{"token":"hunter2"}', name: 'my app' });
    expect(text).not.toContain('hunter2');
    expect(text).toMatch(/# TSWOOLE_OPTION_ADMIN holds a secret/);
    expect(text).toContain('my-app.service');
  });

  it.each([
    ['{"driver":"redis","url":"redis://host","password":"hunter2"}', true],
    ['{"driver":"redis","url":"redis://me:hunter2@host:6379/1"}', true],
    ['{"driver":"redis","url":"redis://host","jobs":{"url":"postgres://:hunter2@host/db"}}', true],
    ['{"driver":"redis","url":"redis://host:6379"}', false],
  ])('does not hold the password of an engine: %s', (cluster, isSecret) => {
    const text = unit({ cluster });
    expect(text).not.toContain('hunter2');
    expect(text.includes('# TSWOOLE_OPTION_CLUSTER holds a secret')).toBe(isSecret);
  });

  it.each([
    [undefined, 30],
    ['1000', 30],
    ['20000', 30],
    ['20001', 31],
    ['60000', 70],
  ])('leaves the server, with maxWaitMs %s, %i seconds to stop', (maxWaitMs, expected) => {
    const options: Record<string, string> = maxWaitMs === undefined ? {} : { maxWaitMs };
    expect(line(unit(options), 'TimeoutStopSec')).toBe(`TimeoutStopSec=${expected}`);
  });
});
