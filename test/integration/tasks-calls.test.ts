// What a task promises, whatever the time: `tasks` has what hangs on it.
import { afterEach, describe, expect, it } from 'vitest';
import { endServers, IS_BASE, poll, type ServerProcess, startServer } from '../helpers/server-process.js';
import { sharedServers } from '../helpers/shared-servers.js';
import { run, runToFail } from '../helpers/tasks.js';
import { TcpClient } from '../helpers/tcp-client.js';

afterEach(endServers);

let server: ServerProcess;
let client: TcpClient;
const shared = sharedServers();

async function start(options: object = {}, env: Record<string, string> = {}): Promise<void> {
  server = await startServer('tasks.js', { options: { ...options }, env });
  client = await TcpClient.connect(server.port);
}

/** One worker, and three task workers that have nothing to do. */
async function startShared(): Promise<void> {
  server = await shared('tasks.js', { options: { taskWorkerNum: 3 } });
  client = await TcpClient.connect(server.port);
}

async function end(): Promise<void> {
  server.signal('SIGTERM');
  expect(await server.exited).toEqual({ code: 0, signal: null });
  server.assertNothingLeft();
}

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
    await startShared();
    const code = 'return Promise.all([1, 2, 3, 3, 2].map((workerId) => server.taskWait({ do: "id" }, { workerId })))';
    const seen = await run<{ worker: number }[]>(client, code);
    expect(seen.map(({ worker }) => worker)).toEqual([1, 2, 3, 3, 2]);
    await client.close();
  });

  it('several at once give settled results in order', async () => {
    await start({ maxWaitMs: 300 }); // one of them still sleeps at the end
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
    await startShared();
    const told = server.stderr.length;
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
    expect(server.stderr.slice(told)).toBe('');
    await run(client, 'server.task({ do: "throw", message: "unheard" })');
    await poll('it is logged', () => server.stderr.includes('unheard'));
    await client.close();
  });

  it('wrong in its arguments is refused at the call', async () => {
    await startShared();
    const submitted = await run<number>(client, 'return server.stats().tasks.submitted');
    const codes = await run(
      client,
      `const code = (call) => { try { call(); return "none" } catch (error) { return error.code } };
       const later = (promise) => promise.then(() => "none", (error) => error.code);
       return [
         code(() => server.task(() => {})),
         code(() => server.task(1, { workerId: 0 })),
         code(() => server.task(1, { workerId: 4 })),
         code(() => server.task(1, { workerId: "1" })),
         await later(server.taskWait(1, { timeoutMs: 0 })),
         await later(server.taskWait(1, { timeoutMs: "5" })),
         await later(server.taskWait(Symbol())),
         code(() => server.taskWaitMulti("list")),
         (await server.taskWaitMulti([() => {}]))[0].reason.code,
         ...[5, null, Number.NaN, 0, "", {}].map((onFinish) => code(() => server.task(1, { onFinish }))),
         ...[null, 5, "x", new Map(), () => {}].map((options) => code(() => server.task(1, options))),
         code(() => server.task(1, { onfinish: () => {} })),
         await later(server.taskWait(1, { timeout: 5 })),
         await later(server.taskWait(1, null)),
         code(() => server.taskWaitMulti([1], { workerId: 1 })),
         code(() => server.taskWaitMulti([1], null)),
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
      ...Array(11).fill('ERR_OPTION_TYPE'),
      ...['ERR_OPTION_UNKNOWN', 'ERR_OPTION_UNKNOWN', 'ERR_OPTION_TYPE', 'ERR_OPTION_UNKNOWN', 'ERR_OPTION_TYPE'],
    ]);
    expect(await run(client, 'return server.stats().tasks.submitted')).toBe(submitted);
    expect(await run(client, 'return server.taskWait({ do: "echo", value: 1 }, { timeoutMs: undefined })')).toBe(1);
    await client.close();
  });

  it('is not lost by a reload with wrong options, which replaces nothing', async () => {
    await startShared();
    const workers = (): number[] => [...server.workers, ...server.taskWorkers].map(({ pid }) => pid);
    const before = workers();
    for (const [options, code] of [
      ...['null', '5', '"x"', '[]', '{ tasksOnly: "yes" }', '{ tasksOnly: null }'].map((each) => [
        each,
        'ERR_OPTION_TYPE',
      ]),
      ...['{ bogus: 1 }', '{ tasksonly: true }'].map((each) => [each, 'ERR_OPTION_UNKNOWN']),
    ] as const) {
      expect(await runToFail(client, `server.reload(${options})`), options).toMatchObject({ code });
    }
    expect(await run(client, 'return server.taskWait({ do: "echo", value: 1 })')).toBe(1);
    expect(workers()).toEqual(before);
    await client.close();
  });

  it('needs task workers, and they need a callback', async () => {
    await start({ taskWorkerNum: 0 });
    expect(await runToFail(client, 'server.task(1)')).toMatchObject({ code: 'ERR_NO_TASK_WORKERS' });
    await end();
    const without = await startServer('echo.js', { options: { workerNum: 1, taskWorkerNum: 1 } }).catch((e) => e);
    expect(String(without)).toContain('ERR_CALLBACK_MISSING');
  });

  it('in a task worker must name another one', async () => {
    await startShared();
    expect(await runToFail(client, 'return server.taskWait({ do: "ask" })')).toMatchObject({
      code: 'ERR_TASK_IN_TASK_WORKER',
    });
    const self = 'return server.taskWait({ do: "ask", workerId: 2 }, { workerId: 2 })';
    expect(await runToFail(client, self)).toMatchObject({ code: 'ERR_TASK_IN_TASK_WORKER' });
    const other = await run(client, 'return server.taskWait({ do: "ask", workerId: 2 }, { workerId: 1 })');
    expect(server.taskWorkers.map(({ pid }) => pid)).toContain(other);
    await client.close();
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
