import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ControlClient } from '../../src/control/client.js';
import { CommandTable } from '../../src/control/commands.js';
import type { Controlled } from '../../src/control/controlled.js';
import { PidFile } from '../../src/control/pid-file.js';
import { listEntries, makeRunDir, removeEntry, socketIn, writeEntry } from '../../src/control/run-dir.js';
import { Operation, type OperationParts } from '../../src/master/operation.js';
import { Region } from '../../src/memory/region.js';
import { resolveOptions, type ServerOptions } from '../../src/options/index.js';
import { processStartTime } from '../../src/os/other-process.js';
import { Log } from '../../src/util/log.js';
import { eventually } from '../helpers/eventually.js';
import { openDescriptors } from '../helpers/leaks.js';
import { testShape } from '../helpers/test-shape.js';

const { pid } = process;

let folder: string;
let runDir: string;
let before: string[];
let exitListeners: unknown[];
let log: string[];
let region: Region;
let operations: Operation[];
/** Descriptors that end with the process only: locks of pid files. */
let kept: number;

beforeEach(() => {
  region = Region.create(testShape());
  folder = mkdtempSync(join(tmpdir(), 'operation-'));
  runDir = join(folder, 'run');
  before = openDescriptors();
  exitListeners = process.listeners('exit');
  [log, operations, kept] = [[], [], 0];
});
afterEach(async () => {
  for (const operation of operations) await operation.close();
  for (const listener of process.listeners('exit')) {
    if (!exitListeners.includes(listener)) process.removeListener('exit', listener);
  }
  rmSync(folder, { recursive: true });
  await eventually(() => expect(openDescriptors()).toHaveLength(before.length + kept));
});

const make = (given: ServerOptions = {}): Operation => {
  const controlled = {
    status: () => ({ ready: true }),
    reload: async () => ({ generation: 1 }),
  } as unknown as Controlled;
  const parts: OperationParts = {
    options: resolveOptions({ runDir, ...given }),
    controlled,
    commands: new CommandTable(controlled, new Map([['echo', (given_) => given_]])),
    log: new Log({ role: 'master', level: 'debug', write: (line) => log.push(line) }),
    region,
    note: {
      ...{ name: 'it', version: '0', mode: 'process', startedAt: 1, startedAtMonotonic: 1, pidFile: '', logFile: '' },
      ...{ isDaemon: false, cwd: '/', command: [], flags: {} },
    },
  };
  const operation = new Operation(parts);
  if (parts.options.pidFile !== '') kept++;
  operations.push(operation);
  return operation;
};
const open = async (given?: ServerOptions): Promise<Operation> => {
  const operation = make(given);
  await operation.open();
  return operation;
};

describe('a server that can be operated', () => {
  it('is found in the run directory, and answers, before it is ready', async () => {
    await open();
    expect(listEntries(runDir)).toMatchObject([{ pid, name: 'it', socket: socketIn(runDir, pid) }]);
    const client = await ControlClient.connect(socketIn(runDir, pid));
    expect(await client.call('echo', { a: 1 })).toEqual({ a: 1 });
    client.close();
    await client.closed;
  });

  it('leaves nothing behind when it has closed', async () => {
    const pidFile = join(folder, 'it.pid');
    const operation = await open({ pidFile });
    expect(readFileSync(pidFile, 'utf8')).toBe(`${pid}\n`);
    operation.ready(['127.0.0.1:80']);
    operation.stopping();
    await operation.close();
    expect([existsSync(pidFile), readdirSync(runDir)]).toEqual([false, []]);
    await operation.close();
  });

  it('takes the place of what a killed server with its pid has left', async () => {
    makeRunDir(runDir);
    for (const name of [`${pid}.json`, `${pid}.sock`]) writeFileSync(join(runDir, name), 'old');
    await open();
    expect(listEntries(runDir)).toHaveLength(1);
  });

  it('tells of another server of its name, which commands cannot tell from it', async () => {
    makeRunDir(runDir);
    const note = (of: number, name: string): void =>
      writeEntry(runDir, {
        ...{ pid: of, processStart: processStartTime(of) ?? '', name, socket: socketIn(runDir, of), version: '0' },
        ...{ mode: 'process', startedAt: 1, startedAtMonotonic: 1, pidFile: '', logFile: '', isDaemon: false },
        ...{ cwd: '/', command: [], flags: {} },
      });
    const told = (): string[] => log.filter((line) => line.includes('another server of this name'));
    note(process.ppid, 'another');
    await (await open()).close();
    expect(told()).toEqual([]);
    note(process.ppid, 'it');
    await open();
    expect(told()).toEqual([expect.stringContaining(String(process.ppid))]);
    removeEntry(runDir, process.ppid);
  });

  it('makes no socket where control is off', async () => {
    await open({ control: false });
    expect(existsSync(runDir)).toBe(false);
  });

  it('removes its files also where the process ends at once', async () => {
    const pidFile = join(folder, 'it.pid');
    await open({ pidFile });
    kept++; // and the control socket, which an end at once leaves to the system
    for (const listener of process.listeners('exit'))
      if (!exitListeners.includes(listener)) Reflect.apply(listener, process, [0]);
    expect([existsSync(pidFile), readdirSync(runDir)]).toEqual([false, []]);
  });
});

describe('a server that cannot be operated', () => {
  it('does not start where another one holds its pid file', async () => {
    const pidFile = join(folder, 'it.pid');
    const other = PidFile.acquire(pidFile);
    await expect(make({ pidFile }).open()).rejects.toMatchObject({
      code: 'ERR_PID_FILE_LOCKED',
      detail: { path: pidFile, pid },
    });
    other.remove();
  });

  it('says in its log who has left the pid file', async () => {
    const pidFile = join(folder, 'it.pid');
    writeFileSync(pidFile, '4711\n');
    await open({ pidFile });
    expect(log.join('\n')).toMatch(/left by a server that was killed.*4711/s);
  });

  it('does not start where the run directory that was named is a link', async () => {
    symlinkSync('/tmp', runDir);
    await expect(make().open()).rejects.toMatchObject({ code: 'ERR_RUN_DIR', detail: { path: runDir } });
  });

  it('does not start where the run directory that was named cannot be made', async () => {
    writeFileSync(join(folder, 'file'), '');
    const within = join(folder, 'file', 'run');
    await expect(make({ runDir: within }).open()).rejects.toMatchObject({
      code: 'ERR_RUN_DIR',
      detail: { path: within },
    });
  });

  it('runs all the same where its socket cannot be made, and says so', async () => {
    makeRunDir(runDir);
    mkdirSync(`${socketIn(runDir, pid)}/in-the-way`, { recursive: true });
    await open();
    expect(log.join('\n')).toMatch(/cannot be controlled by "tswoole"/);
  });

  it('does not start where the admin listener cannot listen, and leaves nothing when it is closed', async () => {
    const first = await open({ admin: { port: 0, host: '127.0.0.1' }, control: false } as ServerOptions);
    const port = Number(new URL(first.adminUrl).port);
    await expect(
      make({ admin: { port, host: '127.0.0.1' }, control: false } as ServerOptions).open(),
    ).rejects.toMatchObject({ code: 'ERR_PORT_IN_USE', detail: { port } });
  });
});

describe('the admin listener', () => {
  it('has a URL while it is up', async () => {
    const operation = await open({ admin: { port: 0, host: '127.0.0.1' } } as ServerOptions);
    const { hostname, port } = new URL(operation.adminUrl);
    const reaches = (): Promise<boolean> =>
      new Promise((resolve) => {
        const client = connect(Number(port), hostname, () => resolve(client.destroy() !== undefined));
        client.on('error', () => resolve(false));
      });
    expect(await reaches()).toBe(true);
    await operation.close();
    expect(await reaches()).toBe(false);
  });

  it('has none where there is none', async () => {
    expect((await open()).adminUrl).toBe('');
  });
});

describe('log files', () => {
  it('are opened again by every process when that is asked for', async () => {
    const operation = await open({ logFile: join(folder, 'it.log') });
    const epoch = region.logEpoch;
    operation.reopenLogs();
    expect(region.logEpoch).toBe(epoch + 1);
    expect(log.join('\n')).toContain('the log files are opened again');
  });

  it('that cannot be opened are told to who asks, with the path and the cause, and the others are opened', async () => {
    const file = join(folder, 'access.log');
    const operation = await open({ accessLog: { file } } as ServerOptions);
    mkdirSync(file);
    const epoch = region.logEpoch;
    expect(() => operation.reopenLogs()).toThrow(
      expect.objectContaining({ code: 'ERR_LOG_FILE', detail: { path: file, why: expect.stringContaining('EISDIR') } }),
    );
    expect([region.logEpoch, log]).toEqual([epoch + 1, []]);
  });

  it('that cannot be opened are logged once where a signal asked, until they can', async () => {
    const file = join(folder, 'access.log');
    const operation = await open({ accessLog: { file } } as ServerOptions);
    mkdirSync(file);
    for (let i = 0; i < 3; i++) operation.signalled();
    expect(log).toEqual([expect.stringMatching(/a log file cannot be opened again .*access\.log.*EISDIR/)]);
    rmSync(file, { recursive: true });
    operation.signalled();
    expect(log.at(-1)).toContain('the log files are opened again');
    rmSync(file);
    mkdirSync(file);
    operation.signalled();
    expect(log).toHaveLength(3);
  });

  it('that are not there are not: terminals send SIGWINCH too', async () => {
    const operation = await open();
    const epoch = region.logEpoch;
    operation.signalled();
    operation.reopenLogs();
    expect([region.logEpoch, log]).toEqual([epoch, []]);
  });
});
