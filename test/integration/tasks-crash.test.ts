import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { TaskCounts } from '../../src/messaging/task-queue.js';
import { PACE } from '../helpers/deadline.js';
import { endServers, inProcessMode, poll, type ServerProcess, startServer } from '../helpers/server-process.js';
import { clientPerWorker, run, runToFail } from '../helpers/tasks.js';
import { TcpClient } from '../helpers/tcp-client.js';

afterEach(endServers);

let server: ServerProcess;
let client: TcpClient;

async function start(options: object = {}, env: Record<string, string> = {}): Promise<void> {
  server = await startServer('tasks.js', { options: { logLevel: 'error', ...options }, env });
  client = await TcpClient.connect(server.port);
}

const counts = (): Promise<TaskCounts> => run<TaskCounts>(client, 'return server.stats().tasks');

/** Waits until nothing is queued or running, and checks that every task has ended in one way. */
async function finalCounts(): Promise<TaskCounts> {
  for (;;) {
    const now = await counts();
    if (now.queued + now.running > 0) await sleep(10);
    else {
      expect(now.done + now.failed + now.timedOut).toBe(now.submitted);
      return now;
    }
  }
}

async function end(): Promise<void> {
  server.signal('SIGTERM');
  expect(await server.exited).toEqual({ code: 0, signal: null });
  server.assertNothingLeft();
}

const oneOf = <T>(list: readonly T[]): T | undefined => list[Math.floor(Math.random() * list.length)];

describe('a task worker that dies', () => {
  it('fails the task it ran, with the reason, and nothing else', async () => {
    await start({ taskWorkerNum: 1 });
    const code = `const dead = server.taskWait({ do: "die" });
      const behind = Array.from({ length: 20 }, (_, i) => server.taskWait({ do: "echo", value: i }));
      const error = await dead.catch((e) => e);
      return [error.code, error.detail, await Promise.all(behind)]`;
    const [errorCode, detail, behind] = await run<unknown[]>(client, code);
    expect(errorCode).toBe('ERR_TASK_WORKER_DIED');
    expect(detail).toMatchObject({ workerId: 1, signal: 'SIGKILL', tries: 1 });
    expect(behind).toEqual(Array.from({ length: 20 }, (_, i) => i));
    expect(await runToFail(client, 'return server.taskWait({ do: "exit", code: 3 })')).toMatchObject({
      code: 'ERR_TASK_WORKER_DIED',
      detail: { exitCode: 3, signal: '' },
    });
    expect(await finalCounts()).toMatchObject({ submitted: 22, done: 20, failed: 2, retried: 0 });
    await end();
  });

  it('again and again for the same task is enough after taskRetries', async () => {
    await start({ taskWorkerNum: 2, taskRetries: 2 });
    const error = await runToFail(client, 'return server.taskWait({ do: "die" })');
    expect(error).toMatchObject({ code: 'ERR_TASK_WORKER_DIED', detail: { tries: 3 } });
    expect(await finalCounts()).toMatchObject({ submitted: 1, failed: 1, retried: 2 });
    await end();
  });

  it(
    'at random under 100,000 tasks of 4 workers loses none: each ends once at its caller, counters add up',
    async () => {
      await start({ workerNum: 4, taskWorkerNum: 2, taskRetries: 3 });
      const clients = await clientPerWorker(server.port, 4);
      const each = 25_000;
      const code = `let next = 0; let right = 0; const wrong = [];
      const loop = async () => {
        for (let i = next++; i < ${each}; i = next++) {
          const value = server.workerId * ${each} + i;
          try { if (await server.taskWait({ do: "echo", value }) === value) right++; else wrong.push(value); }
          catch (error) { wrong.push(error.message) }
        }
      };
      await Promise.all(Array.from({ length: 200 }, loop));
      return { worker: server.workerId, right, wrong }`;
      let over = false;
      const all = Promise.all(clients.map((each_) => run(each_, code, 120_000))).finally(() => (over = true));
      let kills = 0;
      while (!over && kills < 40) {
        const victim = oneOf(server.taskWorkers);
        if (victim !== undefined) server.signal('SIGKILL', victim.pid);
        kills++;
        await sleep(150); // the pace of the kills, about the time in which a task worker boots; nothing is waited for
      }
      const results = (await all) as { worker: number; right: number; wrong: unknown[] }[];
      expect(results.map(({ worker }) => worker).sort()).toEqual([0, 1, 2, 3]);
      for (const { right, wrong } of results) expect({ right, wrong }).toEqual({ right: each, wrong: [] });
      expect(kills).toBeGreaterThan(2);
      expect(await finalCounts()).toMatchObject({ submitted: 4 * each, done: 4 * each, failed: 0, dropped: 0 });
      await end();
    },
    150_000 * PACE,
  );
});

describe('a worker that dies', () => {
  it('has what it asked for run to the end, and the results dropped and counted', async () => {
    await start({ workerNum: 1, taskWorkerNum: 1, taskConcurrency: 2 });
    const code = `for (let i = 0; i < 5; i++) server.task({ do: "sleep", ms: 50 });
      while (server.stats().tasks.running < 2) await sleep(1);
      process.kill(process.pid, "SIGKILL")`;
    client.send(`${JSON.stringify(code.replaceAll('\n', ' '))}\n`);
    await poll('it is back', () => server.worker(0) !== undefined && server.events('workerError').length === 1);
    client = await TcpClient.connect(server.port);
    await poll('all have ended', () => counts().then((now) => now.done === 5));
    expect(await finalCounts()).toMatchObject({ submitted: 5, done: 5, dropped: 5 });
    expect(await run(client, 'return server.taskWait({ do: "echo", value: 1 })')).toBe(1);
    await end();
  });
});

describe('the manager that dies', () => {
  inProcessMode('takes all processes with it; tasks that waited are run by the next ones', async () => {
    await start({ taskWorkerNum: 1 });
    await run(
      client,
      `server.task({ do: "sleep", ms: 60000 });
       while (server.stats().tasks.running < 1) await sleep(1);
       for (let i = 0; i < 7; i++) server.task({ do: "echo", value: i })`,
    );
    const before = server.manager?.pid;
    server.signal('SIGKILL', before);
    await poll('it is back', () => server.manager?.pid !== before && server.taskWorkers.length === 1);
    client = await TcpClient.connect(server.port);
    await poll('all have ended', () => counts().then((now) => now.done === 7));
    expect(await finalCounts()).toMatchObject({ submitted: 8, done: 7, failed: 1, dropped: 8 });
    await end();
  });
});

describe('a reload', () => {
  it('of task workers only replaces those, in the middle of 1,000 running tasks, and loses none', async () => {
    await start({ taskWorkerNum: 2, taskConcurrency: 500, maxWaitMs: 20_000 });
    const workers = server.workers.map(({ pid }) => pid);
    const old = server.taskWorkers.map(({ pid }) => pid);
    const code = `const all = Array.from({ length: 1000 }, () => server.taskWait({ do: "sleep", ms: 1500 }));
      while (server.stats().tasks.running < 1000) await sleep(5);
      say("running");
      const pids = await Promise.all(all);
      return [...new Set(pids)]`;
    const answer = run<number[]>(client, code, 30_000);
    await server.waitForEvent('running');
    server.signal('SIGUSR2');
    await server.waitForEvent('afterReload');
    expect([...(await answer)].sort()).toEqual([...old].sort());
    expect(await finalCounts()).toMatchObject({ submitted: 1000, done: 1000 });
    expect(server.workers.map(({ pid }) => pid)).toEqual(workers);
    expect(server.taskWorkers.filter(({ pid }) => old.includes(pid))).toEqual([]);
    await end();
  });

  it('leaves the only task worker ready for the next task, when the old one has ended its last one beside it', async () => {
    await start({ workerNum: 1, taskWorkerNum: 1, maxWaitMs: 60_000 });
    const [old] = server.taskWorkers.map(({ pid }) => pid);
    const answer = run<number>(client, 'say("asked"); return server.taskWait({ do: "sleep", ms: 4000 })', 30_000);
    await server.waitForEvent('asked');
    server.signal('SIGUSR2');
    const starts = () => server.events('workerStart').filter(({ role }) => role === 'task');
    await poll('its successor is there', () => starts().length === 2);
    expect(await answer).toBe(old);
    await server.waitForEvent('afterReload');
    const [successor] = server.taskWorkers.map(({ pid }) => pid);
    const next = await TcpClient.connect(server.port);
    expect(await run<number>(next, 'return server.taskWait({ do: "pid" })')).toBe(successor);
    await end();
  });

  it('under load, of everything and of task workers, again and again, loses none', async () => {
    await start({ workerNum: 2, taskWorkerNum: 2 });
    const code = `let n = 0; const end = performance.now() + 2500;
      const loop = async () => { while (performance.now() < end) if (await server.taskWait({ do: "echo", value: 7 }) === 7) n++; };
      await Promise.all(Array.from({ length: 20 }, loop));
      return n`;
    const answers = [
      run<number>(client, code, 20_000),
      run<number>(await TcpClient.connect(server.port), code, 20_000),
    ];
    for (const signal of ['SIGUSR2', 'SIGUSR1', 'SIGUSR2'] as const) {
      const done = server.events('afterReload').length;
      server.signal(signal);
      await poll('the reload is done', () => server.events('afterReload').length > done, 20_000);
    }
    for (const answer of answers) expect(await answer).toBeGreaterThan(100);
    const { failed, timedOut } = await finalCounts();
    expect({ failed, timedOut }).toEqual({ failed: 0, timedOut: 0 });
    await end();
  });

  it('fires workerStart, workerExit and workerStop in task workers', async () => {
    await start({ workerNum: 1, taskWorkerNum: 1 });
    server.signal('SIGUSR2');
    await server.waitForEvent('afterReload');
    const ofTasks = (event: string): number => server.events(event).filter((line) => line['role'] === 'task').length;
    expect(['workerStart', 'workerExit', 'workerStop'].map(ofTasks)).toEqual([2, 1, 1]);
    await end();
  });
});

describe('taskMaxRequest', () => {
  it('replaces a task worker after so many tasks, without a gap', async () => {
    await start({ taskWorkerNum: 1, taskMaxRequest: 50 });
    const code = `const pids = [];
      for (let i = 0; i < 2000 && new Set(pids).size < 3; i++) { pids.push(await server.taskWait({ do: "pid" })); await sleep(1); }
      return [...new Set(pids)].map((pid) => pids.filter((each) => each === pid).length)`;
    const [first, second] = await run<number[]>(client, code, 30_000);
    expect(first).toBeGreaterThanOrEqual(50);
    expect(second).toBeGreaterThanOrEqual(50);
    expect(server.events('workerError')).toEqual([]);
    await end();
  });
});

describe('large data', () => {
  it(
    'of 200 MiB goes to a task and back intact, and small tasks flow meanwhile',
    async () => {
      await start({ workerNum: 2, taskWorkerNum: 2 });
      const [one, two] = await clientPerWorker(server.port, 2);
      const large = `const { randomFillSync } = await import("node:crypto");
      const data = randomFillSync(Buffer.allocUnsafe(200 * 2 ** 20));
      say("large");
      const back = await server.taskWait({ do: "echo", value: data });
      return back.length === data.length && hash(back) === hash(data)`;
      const small = `let flowed = 0;
      for (let i = 0; i < 300; i++) {
        if (await server.taskWait({ do: "echo", value: i }) === i) flowed++;
        await sleep(1);
      }
      return flowed`;
      const answer = run(one as TcpClient, large, 60_000);
      await server.waitForEvent('large');
      expect(await run(two as TcpClient, small, 60_000)).toBe(300);
      expect(await answer).toBe(true);
      await end();
    },
    90_000 * PACE,
  );

  it('is given back: what many large tasks have used is free again', async () => {
    await start({ taskWorkerNum: 1 });
    const code = `const { statSync } = await import("node:fs");
      const data = Buffer.alloc(8 * 2 ** 20, 5);
      for (let i = 0; i < 20; i++) await server.taskWait({ do: "echo", value: data });
      return statSync("/proc/self/fd/5").blocks * 512`;
    expect(await run<number>(client, code, 30_000)).toBeLessThan(2 ** 20);
    await end();
  });
});
