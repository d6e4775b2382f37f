import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { ServerError } from '../../src/errors/index.js';
import { Server } from '../../src/index.js';
import type { Inheritance } from '../../src/ipc/inheritance.js';
import type { Outbox } from '../../src/ipc/outbox.js';
import { WorkerBoard, WorkerField } from '../../src/memory/boards.js';
import { ConnectionTable, SlotFlag, SlotState } from '../../src/memory/connection-table.js';
import { Region } from '../../src/memory/region.js';
import type { Messaging } from '../../src/messaging/messaging.js';
import { AF_INET } from '../../src/os/constants.js';
import { Connection } from '../../src/server/connection.js';
import type { Runtime, StartContext } from '../../src/server/context.js';
import { monotonicMs } from '../../src/util/clock.js';
import { testShape } from '../helpers/test-shape.js';

/** What this process inherits, and what its role got. The roles themselves start processes. */
const becomes = vi.hoisted(() => ({
  given: undefined as Inheritance | undefined,
  context: undefined as StartContext | undefined,
  start: async (): Promise<void> => {},
}));
vi.mock(import('../../src/server/inherited.js'), () => ({
  inherited: () => becomes.given,
  nameOfProcess: () => 'master',
}));
vi.mock(import('../../src/server/start-role.js'), () => ({
  startRole: async (_given, context) => {
    becomes.context = context;
    await becomes.start();
  },
}));

const code = (expected: string): unknown => expect.objectContaining({ code: expected });
const be = (role: Inheritance['role'], id = 0): void => {
  becomes.given = { role, id } as Inheritance;
};
const nothing = (): void => {};

beforeEach(() => {
  becomes.given = undefined;
});
afterEach(() => vi.restoreAllMocks());

describe('a server that has not started', () => {
  const server = (): Server => new Server({ host: '127.0.0.1', port: 9501, workerNum: 2, taskWorkerNum: 1 });

  it('has its options, and nothing of a running one', () => {
    const { host, port, mode, masterPid, managerPid, workerPid, workers, role, workerId, lastError } = server();
    expect({ host, port, mode, masterPid, managerPid, workerPid, workers, role, workerId, lastError }).toEqual({
      ...{ host: '127.0.0.1', port: 9501, mode: 'process', masterPid: 0, managerPid: 0, workerPid: 0 },
      ...{ workers: [], role: 'master', workerId: -1, lastError: undefined },
    });
    expect([server().connections.size, server().exists(1), server().getClientInfo(1)]).toEqual([0, false, undefined]);
    expect(server().getClientList()).toEqual([]);
  });

  it('refuses what needs a running one, and names it', async () => {
    const calls: Record<string, (server: Server) => unknown> = {
      shutdown: (it) => it.shutdown(),
      reload: (it) => it.reload(),
      stop: (it) => it.stop(0),
      task: (it) => it.task(1),
      taskWait: (it) => it.taskWait(1),
      taskWaitMulti: (it) => it.taskWaitMulti([1]),
      sendMessage: (it) => it.sendMessage(1, 0),
      send: (it) => it.send(1, 'x'),
      sendTo: (it) => it.sendTo('127.0.0.1', 1, 'x'),
      sendFile: (it) => it.sendFile(1, 'package.json'),
      close: (it) => it.close(1),
      pause: (it) => it.pause(1),
      resume: (it) => it.resume(1),
      protect: (it) => it.protect(1),
      heartbeat: (it) => it.heartbeat(),
      drain: (it) => it.drain(1),
      stats: (it) => it.stats(),
    };
    for (const [method, call] of Object.entries(calls)) {
      expect(() => call(server())).toThrow(
        expect.objectContaining({ code: 'ERR_NOT_STARTED', detail: expect.objectContaining({ method }) }),
      );
    }
  });

  it('takes more options, also for its main address, and keeps the others', () => {
    const it = server();
    expect(it.set({ port: 9502, maxRequest: 5 })).toBe(it);
    expect([it.port, it.ports[0]?.port, it.options.maxRequest, it.options.workerNum]).toEqual([9502, 9502, 5, 2]);
    expect(() => it.set({ workerNum: 0 })).toThrow(code('ERR_OPTION_RANGE'));
    it.set({ host: '127.0.0.2' });
    expect([it.options.maxRequest, it.host]).toEqual([5, '127.0.0.2']);
  });

  it('numbers added processes behind workers and task workers', () => {
    const it = server();
    expect([it.addProcess(nothing), it.addProcess({ name: 'x', run: nothing })]).toEqual([
      it.options.maxWorkerNum + 1,
      it.options.maxWorkerNum + 2,
    ]);
  });

  it('listens to more addresses, whose options are those of the server', () => {
    const it = server();
    const port = it.listen({ port: 9503 });
    expect(it.ports).toEqual([it.ports[0], port]);
    expect([port.host, port.port]).toEqual(['127.0.0.1', 9503]);
  });

  it.each([8210, null, 'x', [], new Map()])('takes no options that are %o, nowhere', (given) => {
    const it = server();
    const wanted = expect.objectContaining({
      code: 'ERR_OPTION_TYPE',
      detail: expect.objectContaining({ name: 'options' }),
    });
    expect(() => new Server(given as never)).toThrow(wanted);
    expect(() => it.listen(given as never)).toThrow(wanted);
    expect(() => it.set(given as never)).toThrow(wanted);
    expect(it.ports).toHaveLength(1);
  });

  it('has callbacks, which can be taken away again; each call gives the server back', () => {
    const it = server();
    expect(it.on('receive', nothing)).toBe(it);
    expect(it.once('connect', nothing)).toBe(it);
    expect(it.off('receive')).toBe(it);
    expect(() => it.on('recieve' as 'receive', nothing)).toThrow(code('ERR_EVENT_UNKNOWN'));
    expect(() => it.off('recieve' as 'receive')).toThrow(code('ERR_EVENT_UNKNOWN'));
  });

  it.each([Symbol('s'), 1n, null, undefined, Object.create(null), [Object.create(null)], [Symbol('s')]])(
    'tells of %o in its own words, where the name of an event or a command is to be',
    (name) => {
      const it = server();
      expect(() => it.on(name as 'receive', nothing)).toThrow(code('ERR_EVENT_UNKNOWN'));
      expect(() => it.once(name as 'receive', nothing)).toThrow(code('ERR_EVENT_UNKNOWN'));
      expect(() => it.off(name as 'receive')).toThrow(code('ERR_EVENT_UNKNOWN'));
      expect(() => it.addCommand(name as string, nothing)).toThrow(code('ERR_COMMAND_NAME'));
      expect(() => it.listen({ port: 0 }).on(name as 'receive', nothing)).toThrow(code('ERR_EVENT_UNKNOWN'));
    },
  );

  it('has timers of its own', () => {
    vi.useFakeTimers();
    try {
      const it = server();
      let ticks = 0;
      const tick = it.tick(10, () => ++ticks);
      const after = it.after(10, () => ++ticks);
      vi.advanceTimersByTime(20);
      expect([ticks, it.clearTimer(tick), it.clearTimer(after)]).toEqual([3, true, false]);
    } finally {
      vi.useRealTimers();
    }
  });

  it('knows its role and id from what it inherits', () => {
    const it = server();
    be('worker', 1);
    expect([it.role, it.workerId, it.workerPid]).toEqual(['worker', 1, process.pid]);
    be('worker', 0);
    expect([it.workerId, it.workerPid]).toEqual([0, process.pid]);
    be('manager', 0);
    expect([it.role, it.workerId, it.workerPid]).toEqual(['manager', -1, 0]);
  });

  it('refuses commands without a name or a handler', () => {
    expect(() => server().addCommand('status', nothing)).toThrow(code('ERR_COMMAND_NAME'));
    expect(() => server().addCommand('own', 5 as unknown as typeof nothing)).toThrow(code('ERR_CALLBACK_TYPE'));
  });

  it('is not started by a process without a script', async () => {
    const it = server();
    const argv = process.argv[1] as string;
    process.argv[1] = '';
    await expect(it.start()).rejects.toEqual(code('ERR_NOT_COMMAND_LINE'));
    process.argv[1] = argv;
    expect(() => it.shutdown()).toThrow(code('ERR_NOT_STARTED'));
  });
});

describe('a server that has started', () => {
  let server: Server;
  let region: Region;
  let table: ConnectionTable;
  let asked: unknown[][];
  let isTaken: boolean;
  let folder: string;
  /** Of the start: it is asked to end meanwhile, and fails. What else is asked for is the same after one that fails. */
  let [failure, exitCode, isStopWished]: unknown[] = [];
  const refusal = new ServerError('ERR_SEND_BUFFER_FULL', { fd: 1, queuedBytes: 1, limitBytes: 1 });
  const note =
    (name: string, result?: unknown) =>
    (...given: unknown[]): unknown => {
      asked.push([name, ...given]);
      return result;
    };
  const asks =
    (name: string) =>
    (...given: unknown[]): boolean => {
      asked.push([name, ...given]);
      return isTaken;
    };
  const outbox = {
    ...{ send: asks('send'), sendFile: asks('sendFile'), close: asks('close'), setPaused: asks('setPaused') },
    ...{ drain: async (fd: number) => void note('drain')(fd), lastError: refusal as ServerError | undefined },
  };
  const messaging = {
    tasks: { give: note('give', 7), ask: note('ask', 'answer'), askAll: note('askAll', ['settled']) },
    messenger: { send: note('message', 'sent') },
    queue: { counts: () => ({ submitted: 3, queued: 1 }) },
    messageCount: 5,
  };
  /** In slot `slot`. */
  const open = (slot = 0, silentMs = 0): number => {
    const sessionId = table.nextSessionId(slot);
    const from = { family: AF_INET, address: Buffer.alloc(16), remotePort: 7 };
    table.open(slot, { sessionId, worker: 0, portIndex: 0, descriptor: 9, now: monotonicMs() - silentMs, ...from });
    return sessionId;
  };

  const runtime = (): Runtime => ({
    ...{ region, outbox: outbox as unknown as Outbox, messaging: messaging as unknown as Messaging },
    ...{ workerId: 1, datagrams: [-1] },
    ...{ requestShutdown: note('shutdown'), requestReload: note('reload'), requestStopWorker: note('stop') },
  });

  beforeAll(async () => {
    server = new Server({ host: '127.0.0.1', port: 0, workerNum: 2, heartbeatIdleMs: 0 });
    server
      .on('receive', nothing)
      .once('connect', nothing)
      .on('close', nothing)
      .off('close')
      .addCommand('own', nothing)
      .addProcess({ name: 'mail', run: nothing });
    becomes.start = async () => {
      server.shutdown();
      isStopWished = becomes.context?.stopWish.isMade;
      throw new ServerError('ERR_PORT_IN_USE', { host: '127.0.0.1', port: 1 });
    };
    failure = await server.start().catch((error: unknown) => error);
    exitCode = process.exitCode;
    process.exitCode = undefined;
  });

  beforeEach(() => {
    [asked, isTaken] = [[], true];
    outbox.lastError = refusal;
    region = Region.create(testShape({ workerNum: 2, taskWorkerNum: 1, slots: 16 }));
    table = new ConnectionTable(region);
    becomes.context?.running(runtime());
    folder = mkdtempSync(join(tmpdir(), 'server-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('gives its role what the script has declared', () => {
    const { options, events, ports, userProcesses, commands, server: held } = becomes.context as StartContext;
    expect([options, ports, held]).toEqual([server.options, server.ports, server]);
    expect([Object.keys(events), userProcesses.map(({ name }) => name)]).toEqual([['receive', 'connect'], ['mail']]);
    expect([...commands.keys()]).toEqual(['own']);
    const conn = becomes.context?.createConnection(9) as Connection;
    expect([conn instanceof Connection, conn.fd]).toEqual([true, 9]);
  });

  it('tells why its start has failed, and the process will end with 1', () => {
    expect([failure, exitCode]).toEqual([code('ERR_PORT_IN_USE'), 1]);
  });

  it('keeps the wish to end until its role can be asked', () => {
    expect(isStopWished).toBe(true);
    expect(asked).toEqual([]); // the master looks after the wish itself
    be('worker');
    becomes.context?.running(runtime());
    expect(asked).toEqual([['shutdown']]);
  });

  it('is the only one of its process, and takes no more declarations', async () => {
    expect(() => new Server()).toThrow(code('ERR_ONE_SERVER'));
    const calls: Record<string, () => unknown> = {
      set: () => server.set({}),
      listen: () => server.listen({ port: 1 }),
      on: () => server.on('receive', nothing),
      once: () => server.once('receive', nothing),
      off: () => server.off('receive'),
      addProcess: () => server.addProcess(nothing),
      addCommand: () => server.addCommand('x', nothing),
    };
    for (const [method, call] of Object.entries(calls)) {
      expect(call).toThrow(
        expect.objectContaining({ code: 'ERR_ALREADY_STARTED', detail: expect.objectContaining({ method }) }),
      );
    }
    await expect(server.start()).rejects.toEqual(code('ERR_ALREADY_STARTED'));
  });

  it('asks for reload, shutdown and the end of a worker, of its own where none is named', () => {
    server.reload();
    server.reload({ tasksOnly: true });
    server.stop(0);
    server.stop();
    server.shutdown();
    expect(asked).toEqual([['reload', false], ['reload', true], ['stop', 0], ['stop', 1], ['shutdown']]);
    expect(() => server.stop(9)).toThrow(code('ERR_WORKER_ID'));
  });

  it('gives tasks and messages on', async () => {
    const onFinish = nothing;
    expect(server.task('a', { workerId: 2, onFinish })).toBe(7);
    expect(await server.taskWait('b', { workerId: 2, timeoutMs: 9 })).toBe('answer');
    expect(await server.taskWaitMulti(['c'], { timeoutMs: 8 })).toEqual(['settled']);
    expect(await server.sendMessage('d', 0)).toBe('sent');
    expect(asked).toEqual([
      ['give', 'a', 2, onFinish],
      ['ask', 'b', 2, 9],
      ['askAll', ['c'], 8],
      ['message', 'd', 0],
    ]);
    expect(() => server.sendMessage('d', 1)).toThrow(code('ERR_MESSAGE_TO_SELF'));
    expect(() => server.sendMessage('d', 9)).toThrow(code('ERR_WORKER_ID'));
  });

  it('asks the reactor of a connection, and says why it was refused', () => {
    const calls = (): boolean[] => [
      ...[server.send(5, 'x'), server.close(5), server.close(5, { reset: true })],
      ...[server.pause(5), server.resume(5), server.confirm(5)],
    ];
    expect(calls()).toEqual(Array.from({ length: 6 }, () => true));
    expect(asked).toEqual([
      ['send', 5, 'x'],
      ['close', 5, false],
      ['close', 5, true],
      ['setPaused', 5, true],
      ['setPaused', 5, false],
      ['setPaused', 5, false],
    ]);
    isTaken = false;
    expect(calls()).toEqual(Array.from({ length: 6 }, () => false));
    expect(server.lastError).toBe(refusal);
  });

  it.each([0, -1, 1.5, Number.NaN, '5', undefined])(
    'asks nobody for a connection %s, which there is not',
    async (fd) => {
      const id = fd as number;
      for (const call of [() => server.send(id, 'x'), () => server.protect(id), () => server.bind(id, 1)]) {
        expect(call()).toBe(false);
        expect(server.lastError).toEqual(code('ERR_SESSION_ID'));
      }
      expect([server.exists(id), server.getClientInfo(id)]).toEqual([false, undefined]);
      await server.drain(id);
      expect(asked).toEqual([]);
    },
  );

  it('sends files whole or in part, and nothing for an empty one', () => {
    const [path, empty] = [join(folder, 'it'), join(folder, 'empty')];
    writeFileSync(path, 'abcdef');
    writeFileSync(empty, '');
    expect([server.sendFile(5, path), server.sendFile(5, path, { offset: 2, length: 3 })]).toEqual([true, true]);
    expect([server.sendFile(5, empty), server.sendFile(5, path, { offset: 6 })]).toEqual([true, true]);
    expect(asked).toEqual([
      ['sendFile', 5, path, 0, 6],
      ['sendFile', 5, path, 2, 3],
    ]);
    expect(server.sendFile(5, '/proc/self/comm')).toBe(true);
    expect(asked[2]).toEqual(['send', 5, expect.any(Buffer)]);
    isTaken = false;
    expect([server.sendFile(5, path), server.lastError]).toEqual([false, refusal]);
    expect(server.sendFile(5, join(folder, 'none'))).toBe(false);
    expect(server.lastError).toEqual(code('ERR_FILE'));
  });

  it('knows its open connections', async () => {
    const [first, second, third] = [open(0), open(1), open(2)];
    expect([server.exists(first), server.exists(third + 1)]).toEqual([true, false]);
    expect([server.connections.size, [...server.connections]]).toEqual([3, [first, second, third]]);
    expect(server.getClientInfo(second)).toMatchObject({ fd: second, remotePort: 7 });
    expect(server.getClientList()).toEqual([first, second, third]);
    expect(server.getClientList(0, 2)).toEqual([first, second]);
    expect(server.getClientList(second, 2)).toEqual([third]);
    await server.drain(first);
    expect(asked).toEqual([['drain', first]]);
  });

  it('lists ten connections where no number is given, from the first on', () => {
    const all = Array.from({ length: 12 }, (_, slot) => open(slot));
    expect(server.getClientList()).toEqual(all.slice(0, 10));
  });

  it('refuses wrong and unknown options of a call before it does anything', () => {
    const path = join(folder, 'whole');
    writeFileSync(path, 'abcdef');
    const fd = open();
    const wrongs = [null, 5, 'x', [], new Map(), Symbol('x'), () => 1];
    for (const call of [
      (options: unknown) => server.close(fd, options as never),
      (options: unknown) => server.sendFile(fd, path, options as never),
      (options: unknown) => server.close(fd, { reset: options } as never),
      (options: unknown) => server.protect(fd, options as never),
      (options: unknown) => server.getClientList(options as never),
      (options: unknown) => server.getClientList(0, options as never),
    ]) {
      for (const wrong of wrongs.filter((each) => each !== 5 || !String(call).includes('getClientList')))
        expect(() => call(wrong), `${call} ${String(wrong)}`).toThrow(code('ERR_OPTION_TYPE'));
    }
    for (const number of [Number.NaN, -1, 1.5, 1n])
      expect(() => server.getClientList(number as never)).toThrow(code('ERR_OPTION_TYPE'));
    expect(() => server.close(fd, { rest: true } as never)).toThrow(code('ERR_OPTION_UNKNOWN'));
    expect(() => server.sendFile(fd, path, { ofset: 3 } as never)).toThrow(code('ERR_OPTION_UNKNOWN'));
    expect(() => server.heartbeat({ idleMs: 1, clsoe: true } as never)).toThrow(code('ERR_OPTION_UNKNOWN'));
    expect(server.sendFile(fd, path, { offset: Symbol('x') } as never)).toBe(false);
    expect(server.lastError).toEqual(code('ERR_FILE_RANGE'));
    expect(asked).toEqual([]);
    expect(server.getClientList(0, Number.POSITIVE_INFINITY)).toEqual([fd]);
  });

  it('protects a connection, and no longer', () => {
    const fd = open();
    expect(server.protect(fd)).toBe(true);
    expect(table.hasFlag(0, SlotFlag.protected)).toBe(true);
    expect(server.protect(fd, false)).toBe(true);
    expect(table.hasFlag(0, SlotFlag.protected)).toBe(false);
  });

  it('gives a connection a user id, once', () => {
    const fd = open();
    expect([server.bind(fd, 42), server.getClientInfo(fd)?.uid]).toEqual([true, 42]);
    expect(server.bind(fd, 43)).toBe(false);
    expect(server.lastError).toMatchObject({ code: 'ERR_ALREADY_BOUND', detail: { fd, uid: 42 } });
  });

  it('tells a connection that has ended from one that never was', () => {
    const fd = open();
    table.setState(0, SlotState.closing);
    expect(server.protect(fd)).toBe(false);
    expect(server.lastError).toMatchObject({ code: 'ERR_SESSION_CLOSED', detail: { fd } });
    expect(server.protect(fd + 1)).toBe(false);
    expect(server.lastError).toMatchObject({ code: 'ERR_SESSION_NOT_FOUND', detail: { fd: fd + 1 } });
  });

  it('finds silent clients, and closes them only where it is told to', () => {
    const fd = open(0, 60_000);
    open(1);
    expect(server.heartbeat({ idleMs: 50_000 })).toEqual([fd]);
    expect(asked).toEqual([]);
    expect(server.heartbeat({ idleMs: 50_000, close: true })).toEqual([fd]);
    expect(asked).toEqual([['close', fd, false]]);
    expect(() => server.heartbeat()).toThrow(code('ERR_HEARTBEAT'));
  });

  it('refuses a datagram where it has no port for it', () => {
    expect(server.sendTo('127.0.0.1', 1, 'x')).toBe(false);
    expect(server.lastError).toBeInstanceOf(ServerError);
  });

  it('has the figures of the region', () => {
    new WorkerBoard(region).setField(0, WorkerField.pid, 1234);
    region.managerPid = 12;
    region.ports = [40_000];
    const { masterPid, managerPid, port, ports } = server;
    expect([masterPid, managerPid, port, ports[0]?.port]).toEqual([region.masterPid, 12, 40_000, 40_000]);
    expect([server.workerId, server.workerPid]).toEqual([1, process.pid]);
    expect(server.workers[0]).toMatchObject({ pid: 1234 });
    expect(server.stats()).toMatchObject({ messageCount: 5, tasks: { submitted: 3 } });
  });
});
