import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { LastingServers } from '../helpers/lasting-servers.js';
import { endServers, type Line, poll, type ServerProcess, startServer } from '../helpers/server-process.js';
import { Since } from '../helpers/shared-servers.js';
import { clientPerWorker, run, runToFail } from '../helpers/tasks.js';
import type { TcpClient } from '../helpers/tcp-client.js';

let server: ServerProcess;
/** What it says in this test. */
let since: Since;
/** One client per worker. */
let clients: TcpClient[] = [];

const lasting = new LastingServers();
const shared = new Set<ServerProcess>();
afterAll(async () => {
  for (const each of shared) if (each.tree().length > 0) await end(each);
});
afterEach(async () => {
  for (const client of clients) await client.close();
  await endServers();
});

const fixture = (options: object, env: Record<string, string> = {}): Promise<ServerProcess> =>
  startServer('tasks.js', { options: { workerNum: 2, taskWorkerNum: 1, reactorNum: 1, ...options }, env });

async function use(started: ServerProcess, workerNum: number): Promise<void> {
  server = started;
  since = new Since(server);
  clients = await clientPerWorker(server.port, workerNum);
}

/** A server of one test. */
async function start(env: Record<string, string>, options: object = {}, workerNum = 2): Promise<void> {
  await use(await fixture({ workerNum, ...options }, env), workerNum);
}

/** One for all tests that say this name, of which no worker has a message yet. */
async function share(name: string, options: object = {}, workerNum = 2, env = {}): Promise<void> {
  await use(await lasting.share(name, () => fixture({ workerNum, ...options }, env)), workerNum);
  shared.add(server);
  for (const client of clients) await run(client, 'messages.length = 0');
}

async function end(ended = server): Promise<void> {
  ended.signal('SIGTERM');
  expect(await ended.exited).toEqual({ code: 0, signal: null });
  ended.assertNothingLeft();
}

const SMALL = { messageBufferSize: '64k', taskWorkerNum: 0 };

const at = (worker: number): TcpClient => clients[worker] as TcpClient;
const waitForMessages = (count: number): string => `while (messages.length < ${count}) await sleep(1); return messages`;

describe('sendMessage', () => {
  it('reaches workers, task workers and processes of the user, from any process, in order', async () => {
    await start({
      MASTER: 'await server.sendMessage("from master", 0)',
      MANAGER: 'await server.sendMessage("from manager", 0)',
      PROCESS: `await server.sendMessage("from process", 0);
          while (messages.length < 1) await new Promise((resolve) => setTimeout(resolve, 1));
          say("process got", { messages })`,
    });
    await run(at(1), 'for (let i = 0; i < 500; i++) server.sendMessage({ i }, 0)');
    await run(at(0), 'await server.taskWait({ do: "message", to: 1, value: "from a task worker" })');
    const got = await run<[unknown, number][]>(at(0), waitForMessages(503));
    const from = (id: number): unknown[] => got.filter(([, sender]) => sender === id).map(([data]) => data);
    expect(from(1)).toEqual(Array.from({ length: 500 }, (_, i) => ({ i })));
    expect(from(-1).sort()).toEqual(['from manager', 'from master']);
    expect(from(3)).toEqual(['from process']);
    expect(await run(at(1), waitForMessages(1))).toEqual([['from a task worker', 2]]);
    await run(at(1), 'await server.sendMessage([1, 2], 2); await server.sendMessage("to process", 3)');
    expect(await run(at(1), 'return server.taskWait({ do: "messages" })')).toEqual([[[1, 2], 1]]);
    expect(await server.waitForEvent('process got')).toMatchObject({ messages: [['to process', 1]] });
    await end();
  });

  it('carries any size, in order, with room for both', async () => {
    await share('usual');
    const sizes = [0, 1, 224, 225, 4096, 100_000, 3_000_000, 10, 70_000_000, 5];
    const code = `const sums = [];
      for (const size of ${JSON.stringify(sizes)}) {
        const data = Buffer.alloc(size, size % 251);
        sums.push(hash(data));
        server.sendMessage(data, 1);
      }
      return sums`;
    const sums = await run<string[]>(at(0), code, 20_000);
    const got = await run<[string, number][]>(at(1), waitForMessages(sizes.length), 20_000);
    expect(got).toEqual(sums.map((sum) => [sum, 0]));
  });

  it('of any size is whole and in its order where the receiver is replaced while it reads it', async () => {
    const code = `server.reload();
      const pad = 'x'.repeat(2_000_000);
      let count = 0;
      while (server.stats().reloadCount === 0) {
        await server.sendMessage({ i: count++, pad }, 1);
        await new Promise(setImmediate);
      }
      say('sent', { count })`;
    server = await fixture({ taskWorkerNum: 0 }, { TELL: '1', MASTER: code });
    const { count } = await server.waitForEvent('sent');
    const got = (): Line[] => server.events('message');
    await poll('all messages are there', () => got().length >= Number(count));
    expect(got().map(({ i }) => i)).toEqual(Array.from({ length: Number(count) }, (_, i) => i));
    expect(new Set(got().map(({ pid }) => pid)).size).toBe(2);
    await end();
  });

  it('holds a sender that awaits it to the pace of a receiver that blocks, and loses nothing', async () => {
    await share('usual');
    const blocked = run(at(1), 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 800)');
    const code = `let waited = 0;
      for (let i = 0; i < 5000; i++) {
        const began = performance.now();
        await server.sendMessage(i, 1);
        waited = Math.max(waited, performance.now() - began);
      }
      return waited`;
    expect(await run<number>(at(0), code, 20_000)).toBeGreaterThan(100);
    await blocked;
    const got = await run<[number, number][]>(at(1), waitForMessages(5000));
    expect(got.map(([data]) => data)).toEqual(Array.from({ length: 5000 }, (_, i) => i));
  });

  it('throws when more waits than messageBufferSize allows', async () => {
    await share('small', SMALL, 4);
    server.signal('SIGSTOP', server.worker(1)?.pid);
    const code = `let sent = 0;
      try { for (; sent < 100000; sent++) server.sendMessage("x".repeat(100), 1) } catch (error) { return [error.code, sent] }`;
    const [errorCode, sent] = await run<[string, number]>(at(0), code);
    server.signal('SIGCONT', server.worker(1)?.pid);
    expect(errorCode).toBe('ERR_MESSAGE_QUEUE_FULL');
    expect(await run<unknown[]>(at(1), `${waitForMessages(sent)}`)).toHaveLength(sent);
  });

  it('reaches a worker that takes its messages while others take none, and nothing more fits for them', async () => {
    await share('small', SMALL, 4); // what its workers take in the end, nobody waits for
    const standing = [1, 2];
    for (const id of standing) server.signal('SIGSTOP', server.worker(id)?.pid);
    const code = `const refused = [];
      for (const id of ${JSON.stringify(standing)}) {
        try { for (let i = 0; i < 100000; i++) server.sendMessage("x".repeat(100), id).catch(() => {}) }
        catch (error) { refused.push(error.code) }
      }
      for (let i = 0; i < 2000; i++) await server.sendMessage(i, 3);
      for (let i = 2000; i < 2050; i++) server.sendMessage(i, 3);
      return refused`;
    expect(await run(at(0), code, 20_000)).toEqual(['ERR_MESSAGE_QUEUE_FULL', 'ERR_MESSAGE_QUEUE_FULL']);
    const got = await run<[number, number][]>(at(3), waitForMessages(2050), 20_000);
    expect(got.map(([data]) => data)).toEqual(Array.from({ length: 2050 }, (_, i) => i));
    for (const id of standing) server.signal('SIGCONT', server.worker(id)?.pid);
  });

  it('reaches the successor of a worker that is replaced, each message once', async () => {
    await share('usual');
    const count = 3000;
    const code = `for (let i = 0; i < ${count}; i++) { await server.sendMessage(i, 1); if (i % 50 === 0) await sleep(5) }`;
    const sent = run(at(0), code, 20_000);
    const heard = 'return messages.map(([data]) => data)';
    await run(at(1), 'process.on("exit", () => say("heard", { list: messages.map(([data]) => data) }))');
    const old = server.worker(1)?.pid;
    server.signal('SIGTERM', old);
    await sent;
    const { list } = await since.waitForEvent('heard', (line) => line.pid === old);
    const rest = await poll('all has come', async () => {
      const now = await run<number[]>(at(1), heard);
      return now.length + (list as number[]).length >= count ? now : undefined;
    });
    expect([...(list as number[]), ...rest]).toEqual(Array.from({ length: count }, (_, i) => i));
  });

  it('with a wrong receiver or data is refused at the call', async () => {
    await share('usual');
    for (const [code, expected] of [
      ['server.sendMessage(1, 0)', 'ERR_MESSAGE_TO_SELF'],
      ['server.sendMessage(1, 3)', 'ERR_WORKER_ID'],
      ['server.sendMessage(1, -1)', 'ERR_WORKER_ID'],
      ['server.sendMessage(1, "1")', 'ERR_WORKER_ID'],
      ['server.sendMessage(() => {}, 1)', 'ERR_DATA_NOT_CLONEABLE'],
    ]) {
      expect((await runToFail(at(0), code as string)).code, code).toBe(expected);
    }
  });
});

describe('a process of the user', () => {
  const title = ': process own';
  const own = (): { pid: number }[] => server.tree().filter((process) => process.title.includes(title));

  /** One that takes its time to finish. */
  const shareOwn = (): Promise<void> =>
    share('own', {}, 1, {
      PROCESS: `say('begins'); server.tick(10, () => {});
        await new Promise((resolve) => signal.addEventListener('abort', () => setTimeout(resolve, 200)));
        say('finished')`,
    });
  const begun = (): Promise<Line> => server.waitFor('it begins', () => server.events('begins').at(-1));

  it('is replaced at a reload, and the old one has finished before the new one runs', async () => {
    await shareOwn();
    const first = await begun();
    server.signal('SIGUSR1');
    await since.waitForEvent('afterReload');
    const second = await since.waitForEvent('begins', ({ pid }) => pid !== first.pid);
    const finished = await since.waitForEvent('finished', ({ pid }) => pid === first.pid);
    expect(finished.at).toBeLessThanOrEqual(second.at);
    expect(own()).toHaveLength(1);
  });

  it('is started again when it is killed, and told to finish at the end', async () => {
    await shareOwn();
    const { pid } = await begun();
    expect(own()).toMatchObject([{ pid }]);
    server.signal('SIGKILL', pid);
    await since.waitForEvent('begins', (line) => line.pid !== pid);
    expect(since.events('workerError')).toMatchObject([{ signal: 'SIGKILL', signalNumber: 9, workerId: 2 }]);
    await end();
    expect(since.events('finished')).toHaveLength(1);
    await lasting.stop('own');
  });

  it('that throws is started again, with its error in the log', async () => {
    await start({ PROCESS: "say('runs'); throw new Error('out of order')" }, { taskWorkerNum: 0 }, 1);
    await poll('it ran twice', () => server.events('runs').length >= 2);
    expect(server.stderr).toContain('out of order');
    await end();
  });
});
