import { afterEach, describe, expect, it } from 'vitest';
import { endServers, poll, type ServerProcess, startServer } from '../helpers/server-process.js';
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
