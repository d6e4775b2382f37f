import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { endServers, poll, type ServerProcess, startServer } from '../helpers/server-process.js';
import { run } from '../helpers/tasks.js';
import { TcpClient } from '../helpers/tcp-client.js';

afterEach(endServers);

const SECONDS = Number(process.env['SOAK_TASK_SECONDS'] ?? 60);
/** So long the manager lives at least: one that dies young is started again after a pause. */
const MANAGER_MS = 7000;
const oneOf = <T>(list: readonly T[]): T | undefined => list[Math.floor(Math.random() * list.length)];

/** Gives tasks of all kinds until it is killed, or the kills are over; nobody counts but the server. */
const giveUntil = (unixMs: number): string => `
  const kinds = [
    () => server.taskWait({ do: "echo", value: { i: 1 } }),
    () => server.taskWait({ do: "echo", value: Buffer.alloc(20000) }),
    () => server.taskWait({ do: "sleep", ms: 20 }, { timeoutMs: 10 }),
    () => server.taskWait({ do: "throw", message: "x" }),
    () => server.task({ do: "sleep", ms: 5 }, { onFinish() {} }),
  ];
  const loop = async () => {
    while (Date.now() < ${unixMs}) await Promise.resolve(kinds[Math.floor(Math.random() * 5)]()).catch(() => sleep(1));
  };
  for (let i = 0; i < 20; i++) void loop()`;

it(
  'random kills of every kind of process under tasks of every kind leave every count exact',
  async () => {
    const options = { workerNum: 2, taskWorkerNum: 2, taskConcurrency: 3, taskRetries: 1, logLevel: 'silent' };
    const server: ServerProcess = await startServer('tasks.js', { options });
    const end = performance.now() + SECONDS * 1000;
    const give = giveUntil(Date.now() + SECONDS * 1000);
    let managerKilledAt = performance.now();
    const given = new Set<number>();
    const keepGiving = async (): Promise<void> => {
      for (const { pid } of server.workers) {
        if (given.has(pid)) continue;
        const client = await TcpClient.connect(server.port);
        const answer = run<number>(client, `${give}; return process.pid`).catch(() => 0);
        given.add(await answer);
      }
    };
    const kill = (): void => {
      if (Math.random() < 0.1 && performance.now() - managerKilledAt > MANAGER_MS) {
        managerKilledAt = performance.now();
        server.signal('SIGKILL', server.manager?.pid);
      } else if (Math.random() < 0.1) server.signal('SIGUSR2');
      else {
        const victim = oneOf([...server.workers, ...server.taskWorkers]);
        if (victim !== undefined) server.signal('SIGKILL', victim.pid);
      }
    };
    let kills = 0;
    while (performance.now() < end) {
      await keepGiving();
      kill();
      kills++;
      await sleep(Math.random() * 400);
    }
    await poll('it is whole', () => server.workers.length === 2 && server.taskWorkers.length === 2, 40_000);
    const client = await TcpClient.connect(server.port);
    const counts = await poll(
      'all has ended',
      async () => {
        const now = await run<Record<string, number>>(client, 'return server.stats().tasks');
        return now['queued'] === 0 && now['running'] === 0 ? now : undefined;
      },
      40_000,
    );
    const { submitted, done, failed, timedOut } = counts as Record<
      'submitted' | 'done' | 'failed' | 'timedOut',
      number
    >;
    expect(kills).toBeGreaterThan(SECONDS);
    expect(submitted).toBeGreaterThan(1000);
    expect(done + failed + timedOut).toBe(submitted);
    server.signal('SIGTERM');
    expect(await server.exited).toEqual({ code: 0, signal: null });
    server.assertNothingLeft();
  },
  (SECONDS + 120) * 1000,
);
