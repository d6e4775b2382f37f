import { afterEach, describe, expect, it } from 'vitest';
import { endServers, IS_BASE, poll, type ServerProcess, startServer } from '../helpers/server-process.js';
import { run, runToFail } from '../helpers/tasks.js';
import { TcpClient } from '../helpers/tcp-client.js';

afterEach(endServers);

let server: ServerProcess;
let client: TcpClient;

async function start(options: object = {}, env: Record<string, string> = {}): Promise<void> {
  server = await startServer('tasks.js', { options: { ...options }, env });
  client = await TcpClient.connect(server.port);
}

async function end(): Promise<void> {
  server.signal('SIGTERM');
  expect(await server.exited).toEqual({ code: 0, signal: null });
  server.assertNothingLeft();
}

const settledCounts = { queued: 0, running: 0 };

describe('a task', () => {
  it('runs in a task worker, and its result comes back: by promise, by onFinish, by the finish event', async () => {
    await start({ workerNum: 2, taskWorkerNum: 2 });
    const ids = await run<number[]>(client, 'return Promise.all([1, 2, 3].map(() => server.taskWait({ do: "pid" })))');
    expect(server.taskWorkers.map(({ pid }) => pid)).toEqual(expect.arrayContaining(ids));
    const told = await run(client, 'return [server.workerId, await server.taskWait({ do: "id" })]');
    expect(told).toMatchObject([expect.any(Number), { id: 4 }]);
    const [workerId, seen] = told as [number, { from: number; worker: number }];
    expect(seen.from).toBe(workerId);
    expect([2, 3]).toContain(seen.worker);
    const byCallback = await run(
      client,
      `let id; const got = await new Promise((resolve) => {
         id = server.task({ do: "echo", value: { deep: [1] } }, { onFinish: (...all) => resolve(all) });
       });
       return [id === got[0], got[1], got[2] === undefined]`,
    );
    expect(byCallback).toEqual([true, { deep: [1] }, true]);
    const byEvent = await run<[number, [number, unknown][]]>(
      client,
      `const id = server.task({ do: "echo", value: 5 });
       while (finished.length === 0) await sleep(1);
       return [id, finished]`,
    );
    expect(byEvent[1]).toEqual([[byEvent[0], 5]]);
    await end();
  });

  it('goes to the task worker it names', async () => {
    await start({ taskWorkerNum: 3 });
    const code = 'return Promise.all([1, 2, 3, 3, 2].map((workerId) => server.taskWait({ do: "id" }, { workerId })))';
    const seen = await run<{ worker: number }[]>(client, code);
    expect(seen.map(({ worker }) => worker)).toEqual([1, 2, 3, 3, 2]);
    await end();
  });

  it('several at once give settled results in order', async () => {
    await start();
    const code = `const list = [{ do: "sleep", ms: 30 }, { do: "throw", message: "no" }, { do: "echo", value: "b" }];
      const [a, b, c] = await server.taskWaitMulti(list);
      return [a.status, b.reason.message, c]`;
    expect(await run(client, code)).toEqual(['fulfilled', 'no', { status: 'fulfilled', value: 'b' }]);
    const late = `const list = [{ do: "sleep", ms: 5000 }, { do: "echo", value: 1 }];
      const [a, b] = await server.taskWaitMulti(list, { timeoutMs: 100 });
      return [a.reason.code, b.value]`;
    expect(await run(client, late)).toEqual(['ERR_TASK_TIMEOUT', 1]);
    expect(await run(client, 'return server.taskWaitMulti([])')).toEqual([]);
    await end();
  });

  it('that throws is an error with code, message, stack and cause for its caller', async () => {
    await start();
    const error = await runToFail(client, 'return server.taskWait({ do: "throw", message: "broken" })');
    expect(error).toMatchObject({ name: 'TypeError', code: 'E_TASK', message: 'broken', cause: 'the reason' });
    expect(error.stack).toContain('tasks.js');
    expect((await runToFail(client, 'return server.taskWait({ do: "throwNothing" })')).message).toContain('undefined');
    expect(await runToFail(client, 'return server.taskWait({ do: "function" })')).toMatchObject({
      code: 'ERR_DATA_NOT_CLONEABLE',
    });
    const code = `return new Promise((resolve) => server.task({ do: "throw", message: "m" }, {
      onFinish: (id, result, error) => resolve([typeof id, result === undefined, error.message]) }))`;
    expect(await run(client, code)).toEqual(['number', true, 'm']);
    expect(server.stderr).toBe('');
    await run(client, 'server.task({ do: "throw", message: "unheard" })');
    await poll('it is logged', () => server.stderr.includes('unheard'));
    await end();
  });

  it('wrong in its arguments is refused at the call', async () => {
    await start({ taskWorkerNum: 1 });
    const codes = await run(
      client,
      `const code = (call) => { try { call(); return "none" } catch (error) { return error.code } };
       const later = (promise) => promise.then(() => "none", (error) => error.code);
       return [
         code(() => server.task(() => {})),
         code(() => server.task(1, { workerId: 0 })),
         code(() => server.task(1, { workerId: 2 })),
         code(() => server.task(1, { workerId: "1" })),
         await later(server.taskWait(1, { timeoutMs: 0 })),
         await later(server.taskWait(1, { timeoutMs: "5" })),
         await later(server.taskWait(Symbol())),
         code(() => server.taskWaitMulti("list")),
         (await server.taskWaitMulti([() => {}]))[0].reason.code,
       ]`,
    );
    expect(codes).toEqual([
      'ERR_DATA_NOT_CLONEABLE',
      'ERR_TASK_WORKER_ID',
      'ERR_TASK_WORKER_ID',
      'ERR_TASK_WORKER_ID',
      'ERR_TASK_TIMEOUT_VALUE',
      'ERR_TASK_TIMEOUT_VALUE',
      'ERR_DATA_NOT_CLONEABLE',
      'ERR_TASK_LIST',
      'ERR_DATA_NOT_CLONEABLE',
    ]);
    expect(await run(client, 'return server.stats().tasks.submitted')).toBe(0);
    await end();
  });

  it('needs task workers, and they need a callback', async () => {
    await start({ taskWorkerNum: 0 });
    expect(await runToFail(client, 'server.task(1)')).toMatchObject({ code: 'ERR_NO_TASK_WORKERS' });
    await end();
    const without = await startServer('echo.js', { options: { workerNum: 1, taskWorkerNum: 1 } }).catch((e) => e);
    expect(String(without)).toContain('ERR_CALLBACK_MISSING');
  });

  it('in a task worker must name another one', async () => {
    await start({ taskWorkerNum: 2 });
    expect(await runToFail(client, 'return server.taskWait({ do: "ask" })')).toMatchObject({
      code: 'ERR_TASK_IN_TASK_WORKER',
    });
    const self = 'return server.taskWait({ do: "ask", workerId: 2 }, { workerId: 2 })';
    expect(await runToFail(client, self)).toMatchObject({ code: 'ERR_TASK_IN_TASK_WORKER' });
    const other = await run(client, 'return server.taskWait({ do: "ask", workerId: 2 }, { workerId: 1 })');
    expect(server.taskWorkers.map(({ pid }) => pid)).toContain(other);
    await end();
  });

  it('can be given by the master, the manager and a process of the user', async () => {
    const code = "say('told', { role: server.role, ...(await server.taskWait({ do: 'id' })) })";
    await start({}, { MASTER: code, MANAGER: code, PROCESS: code });
    for (const [role, from] of [
      ['master', -1],
      [IS_BASE ? 'master' : 'manager', -1],
      ['user', 3],
    ]) {
      await server.waitForEvent('told', (line) => line['role'] === role && line['from'] === from);
    }
    await end();
  });
});

describe('scheduling', () => {
  it('gives a task to an idle task worker, never behind a busy one', async () => {
    await start({ taskWorkerNum: 2 });
    const took = await run<number>(
      client,
      `const busy = server.taskWait({ do: "spin", ms: 1500 });
       await sleep(50);
       const began = performance.now();
       for (let i = 0; i < 100; i++) await server.taskWait({ do: "echo", value: i });
       const ms = performance.now() - began;
       await busy;
       return ms`,
    );
    expect(took).toBeLessThan(1000);
    await end();
  });

  it('lets one task worker run taskConcurrency tasks that wait for something', async () => {
    await start({ taskWorkerNum: 1, taskConcurrency: 50 });
    const code = `const began = performance.now();
      await Promise.all(Array.from({ length: 50 }, () => server.taskWait({ do: "sleep", ms: 300 })));
      return performance.now() - began`;
    expect(await run<number>(client, code)).toBeLessThan(2000);
    await end();
  });

  it('is full at taskQueueLimit, says so, and loses nothing that was taken', async () => {
    await start({ taskWorkerNum: 1, taskQueueLimit: 10 });
    const code = `const first = server.taskWait({ do: "sleep", ms: 200 });
      while (server.stats().tasks.running === 0) await sleep(1);
      const all = await Promise.allSettled(Array.from({ length: 15 }, (_, i) => server.taskWait({ do: "echo", value: i })));
      await first;
      return [all.map(({ value, reason }) => value ?? reason.code), server.stats().tasks]`;
    const [results, counts] = await run<[unknown[], object]>(client, code);
    expect(results).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...Array<string>(5).fill('ERR_TASK_QUEUE_FULL')]);
    expect(counts).toMatchObject({ submitted: 11, done: 11, refused: 5, ...settledCounts });
    await end();
  });

  it('tells what each task worker does', async () => {
    await start({ taskWorkerNum: 2 });
    const code = `const busy = server.taskWait({ do: "sleep", ms: 300 }, { workerId: 2 });
      while (server.stats().tasks.running === 0 || server.stats().idleTaskWorkerNum === 0) await sleep(1);
      const now = [server.workers.filter((w) => w.role === "task").map((w) => [w.id, w.state, w.runningTasks]), server.stats().idleTaskWorkerNum];
      await busy;
      return now`;
    expect(await run(client, code)).toEqual([
      [
        [1, 'idle', 0],
        [2, 'busy', 1],
      ],
      1,
    ]);
    await end();
  });
});

describe('time', () => {
  it('that is over rejects, aborts the signal, and the late result is dropped and counted', async () => {
    await start();
    const error = await runToFail(client, 'return server.taskWait({ do: "untilAborted" }, { timeoutMs: 100 })');
    expect(error).toMatchObject({ code: 'ERR_TASK_TIMEOUT', detail: { timeoutMs: 100 } });
    await server.waitForEvent('aborted', (line) => line['reason'] === 'ERR_TASK_GIVEN_UP');
    const counts = await poll('it is dropped', async () => {
      const now = await run<{ dropped: number }>(client, 'return server.stats().tasks');
      return now.dropped === 1 ? now : undefined;
    });
    expect(counts).toMatchObject({ submitted: 1, timedOut: 1, done: 0, dropped: 1, ...settledCounts });
    await end();
  });

  it('is the option taskTimeoutMs when the call names none', async () => {
    await start({ taskTimeoutMs: 80 });
    const error = await runToFail(client, 'return server.taskWait({ do: "sleep", ms: 1000 })');
    expect(error).toMatchObject({ code: 'ERR_TASK_TIMEOUT', detail: { timeoutMs: 80 } });
    await end();
  });

  it('of the server that is over aborts what runs', async () => {
    await start();
    await run(client, 'server.task({ do: "untilAborted" }); while (!server.stats().tasks.running) await sleep(1)');
    const began = performance.now();
    await end();
    expect(server.events('aborted')).toMatchObject([{ reason: 'ERR_SHUTTING_DOWN' }]);
    expect(performance.now() - began).toBeLessThan(2500);
  });

  it('lets what a worker is owed be finished before the end', async () => {
    await start({ taskWorkerNum: 1 });
    const other = await TcpClient.connect(server.port);
    const answers = [client, other].map((each, i) =>
      run(each, `return [${i}, await server.taskWait({ do: "sleep", ms: 400 }) > 0]`),
    );
    const probe = await TcpClient.connect(server.port);
    await run(probe, 'while (server.stats().tasks.submitted < 2) await sleep(1)');
    await end();
    expect(await Promise.all(answers)).toEqual([
      [0, true],
      [1, true],
    ]);
  });

  it('of timers is kept by tick, after and clearTimer in every process', async () => {
    await start({ taskWorkerNum: 1 });
    expect(await run(client, 'return server.taskWait({ do: "tick" })')).toEqual([true, true, true, true, false]);
    const code = `const seen = [];
      const never = server.after(20, () => seen.push("never"));
      await new Promise((resolve) => { server.after(30, resolve); server.clearTimer(never); });
      server.after(1, () => { throw new Error("in a timer") });
      await sleep(20);
      const code = (call) => { try { call() } catch (error) { return error.code } };
      return [seen, code(() => server.tick(0, () => {})), code(() => server.tick(5)), server.clearTimer(999)]`;
    expect(await run(client, code)).toEqual([[], 'ERR_TIMER', 'ERR_TIMER', false]);
    expect(server.stderr).toContain('in a timer');
    await end();
  });
});
