/** A server under load and under operation at once: what the short form in every run, and the long one, have in common. */
import { renameSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CommandLine } from '../helpers/command-line.js';
import { PACE } from '../helpers/deadline.js';
import { residentMiB } from '../helpers/proc.js';
import { Load, type LoadResult } from '../helpers/tcp-client.js';

export interface OperatedParts {
  /** At least; two rounds are made, also where a slow machine takes longer for them. */
  readonly seconds: number;
  /** In each of these a reload, a worker that is killed, a rotation of the log, and more or fewer workers. */
  readonly roundSeconds: number;
  readonly connections: number;
  /** Memory is not looked at before. */
  readonly warmUpSeconds: number;
}

export interface Operated {
  readonly result: LoadResult;
  readonly rounds: number;
  readonly killed: number;
  /** Requests that were never answered. */
  readonly lost: number;
  /** Least squares, MiB per minute. */
  readonly masterSlope: number;
  readonly managerSlope: number;
  readonly restarts: number;
}

/** Longer than any repair may take. */
const LOST_AFTER_MS = 4000 * PACE;

export async function operate({ seconds, roundSeconds, connections, warmUpSeconds }: OperatedParts): Promise<Operated> {
  const line = new CommandLine();
  const { port, pid } = await line.daemon('--max-worker-num', '5', '--worker-num', '3', '--log-file', 'it.log');
  const { status } = await line.report();
  const load = await Load.start(port, connections, 1, 'echo ');
  const memory = { master: new Slope(), manager: new Slope() };
  const begin = performance.now();
  const elapsed = (): number => (performance.now() - begin) / 1000;
  let [rounds, killed, lost] = [0, 0, 0];
  const watch = setInterval(() => {
    lost += load.giveUp(LOST_AFTER_MS);
    if (elapsed() < warmUpSeconds) return;
    memory.master.add(elapsed() / 60, residentMiB(pid));
    memory.manager.add(elapsed() / 60, residentMiB(status.managerPid));
  }, 1000);
  const steps = [
    () => line.must('reload'),
    async () => {
      const { workers } = await line.report();
      const victim = workers[rounds % workers.length];
      if (victim !== undefined && victim.pid !== 0) process.kill(victim.pid, 'SIGKILL');
      killed++;
    },
    async () => {
      renameSync(join(line.folder, 'it.log'), join(line.folder, 'it.log.1'));
      await line.must('logs', '--reopen');
    },
    () => line.must('scale', String([5, 2, 4, 1, 3][rounds % 5])),
  ];
  while (elapsed() < seconds || rounds < 2) {
    for (const [index, step] of steps.entries()) {
      await step();
      const due = (rounds + (index + 1) / steps.length) * roundSeconds;
      await sleep(Math.max(0, (due - elapsed()) * 1000));
    }
    rounds++;
  }
  await sleep(LOST_AFTER_MS);
  clearInterval(watch);
  lost += load.giveUp(LOST_AFTER_MS);
  const result = await load.finish();
  load.close();
  const { stats } = await line.report();
  await line.must('stop');
  const slopes = { masterSlope: memory.master.value, managerSlope: memory.manager.value };
  return { result, rounds, killed, lost, restarts: stats.workerRestarts, ...slopes };
}

/** The slope of a straight line through points, by least squares. */
class Slope {
  #n = 0;
  #x = 0;
  #y = 0;
  #xx = 0;
  #xy = 0;

  add(x: number, y: number): void {
    this.#n++;
    this.#x += x;
    this.#y += y;
    this.#xx += x * x;
    this.#xy += x * y;
  }

  get value(): number {
    const spread = this.#n * this.#xx - this.#x * this.#x;
    return spread === 0 ? 0 : (this.#n * this.#xy - this.#x * this.#y) / spread;
  }
}
