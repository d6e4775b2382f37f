/**
 * Durable jobs over three nodes, while workers, task workers, broker processes and whole nodes are killed at random, and one job
 * spins meanwhile: what the short form and the long one have in common. Every run that is not a job's first must have a reason: a
 * kill that took the process, the lease or the node of the run before.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { ClusterClient } from '../helpers/cluster-client.js';
import { DEADLINE_MS, PACE } from '../helpers/deadline.js';
import type { EngineProcess } from '../helpers/engine-process.js';
import { numbersFrom } from '../helpers/numbers.js';
import { type Line, poll, type ServerProcess, spawnServer } from '../helpers/server-process.js';
import { type Holder, type Kill, type Run, reasonsOf } from './job-runs.js';

export interface JobParts {
  readonly jobs: number;
  readonly seed: number;
  /** So long one job computes without a turn. */
  readonly spinMs: number;
  /** Until all jobs are done. */
  readonly withinMs: number;
}

export interface JobsResult {
  readonly seed: number;
  readonly done: number;
  readonly runs: number;
  /** Ends that are not a job's first: what a handler that is not idempotent has done twice. */
  readonly doneTwice: number;
  readonly killed: Readonly<Record<Holder | 'worker', number>>;
  readonly killedWhileItSpun: number;
  /** Runs that are not a job's first, by what was killed before. */
  readonly reasons: Readonly<Record<Holder, number>>;
  /** From the kill of a broker process or a node to the next run of a job it held. */
  readonly soonestMs: number;
  readonly spinRuns: number;
  /** What must not be, with the history of the job. */
  readonly faults: readonly string[];
}

const LEASE_MS = 3000;
const BATCH = 200;
const NODES = ['a', 'b', 'c'] as const;
/** Runs that one node has under way: its task workers, a job each. */
const PLACES = 2;
const PAUSE_MS = { least: 500, more: 1200 };
/** Jobs that end from one kill to the next at least: a slow machine that only starts processes anew would do none. */
const BETWEEN_KILLS = { share: 1 / 50, most: 50 };
const LEAST_RUN_MS = 5;
const SPIN = 'work:spin';
/** The work lasts so much longer than the spin. */
const LONGER = 1.3;

const KINDS = ['broker process', 'task worker', 'node', 'worker'] as const;
const KINDS_BY_WEIGHT = KINDS.flatMap((kind) =>
  Array.from({ length: { node: 1, worker: 1, 'broker process': 3, 'task worker': 5 }[kind] }, () => kind),
);
const TITLES = { 'broker process': /: process cluster$/, 'task worker': /: task worker/, worker: /: worker/ };

type Below = (limit: number) => number;

/** The clock of the fixture. */
const machineMs = (): number => Number(process.hrtime.bigint()) / 1e6;

/** Ends all clients it has connected; servers and engine are the caller's. */
export async function soakJobs(engine: EngineProcess, parts: JobParts): Promise<JobsResult> {
  return new JobSoak(engine, parts).run();
}

class JobSoak {
  readonly #engine: EngineProcess;
  readonly #parts: JobParts;
  readonly #below: Below;
  readonly #servers = new Map<string, ServerProcess>();
  /** Those that were killed have said something, too. */
  readonly #all: ServerProcess[] = [];
  readonly #kills: Kill[] = [];
  #workersKilled = 0;
  #tries = 0;
  #isOver = false;

  constructor(engine: EngineProcess, parts: JobParts) {
    const numbers = numbersFrom(parts.seed);
    this.#below = (limit) => Math.floor(numbers() * limit);
    [this.#engine, this.#parts] = [engine, parts];
  }

  async run(): Promise<JobsResult> {
    const { spinMs, withinMs, jobs } = this.#parts;
    for (const nodeId of NODES) await this.#start(nodeId);
    const until = machineMs() + withinMs;
    await this.#enqueue([{ ...this.#job('spin', 5), data: { do: 'spin', ms: spinMs } }]);
    await poll('it spins', () => this.#linesOf('begin', SPIN).length > 0);
    let failure: unknown;
    let mayKillAt = 0;
    const enqueuing = this.#enqueueAll().catch((error: unknown) => {
      failure = error;
    });
    try {
      while (this.#ended().size < jobs + 1) {
        if (failure !== undefined) throw failure;
        if (machineMs() > until) {
          console.log(this.#result());
          throw new Error(`${this.#ended().size} of ${jobs + 1} jobs are done`);
        }
        await sleep(PAUSE_MS.least + this.#below(PAUSE_MS.more));
        if (this.#ended().size < mayKillAt) continue;
        mayKillAt = this.#ended().size + Math.min(BETWEEN_KILLS.most, jobs * BETWEEN_KILLS.share);
        await this.#killSomething();
      }
    } finally {
      this.#isOver = true;
      await enqueuing;
    }
    await this.#engineSaysSo();
    await sleep(2 * LEASE_MS); // the run of a lease that was lost would have begun
    await this.#engineSaysSo();
    return this.#result();
  }

  async #start(nodeId: string): Promise<void> {
    const cluster = {
      ...{ driver: 'redis', url: this.#engine.url, nodeId, heartbeatMs: 200, ttlMs: 1500 },
      jobs: { leaseMs: LEASE_MS, drainMs: 1000 },
    };
    const server = spawnServer('jobs.js', { env: { CLUSTER: JSON.stringify(cluster) } });
    // Beside all that is being started anew.
    await server.waitForEvent('up', undefined, 3 * DEADLINE_MS);
    this.#servers.set(nodeId, server);
    this.#all.push(server);
  }

  // ——— enqueueing ———

  async #enqueueAll(): Promise<void> {
    const { jobs, spinMs } = this.#parts;
    const places = NODES.length * PLACES - 1;
    const mostMs = Math.max(10, Math.ceil((2 * LONGER * spinMs * places) / jobs));
    for (let first = 0; first < jobs && !this.#isOver; first += BATCH) {
      const batch = Array.from({ length: Math.min(BATCH, jobs - first) }, (_, i) => ({
        ...this.#job(String(first + i), 20),
        data: { do: 'wait', ms: LEAST_RUN_MS + this.#below(mostMs) },
      }));
      await this.#enqueue(batch);
    }
  }

  /** Kept when it is done, so that it is known when it is enqueued again. */
  #job(id: string, attempts: number): object {
    return { name: 'work', id, attempts, keep: { done: this.#parts.jobs + 1 } };
  }

  /** At whatever node lives, until it is said that the engine has all of them: the same id twice is one job. */
  async #enqueue(batch: readonly object[]): Promise<void> {
    const end = machineMs() + 3 * DEADLINE_MS;
    for (let tries = 0; ; tries++) {
      const ids = await this.#ask(NODES[tries % NODES.length]!, 'enqueueMany', batch);
      if (Array.isArray(ids) && ids.length === batch.length) return;
      if (machineMs() > end || this.#isOver) throw new Error('jobs are not enqueued', { cause: ids });
      await sleep(50);
    }
  }

  /** @returns the answer; an error when the node, its worker or its broker process died */
  async #ask(nodeId: string, method: string, ...args: readonly unknown[]): Promise<unknown> {
    let client: ClusterClient | undefined;
    try {
      client = await ClusterClient.connect(this.#servers.get(nodeId)!.port);
      const asked = client.ask(`${method} ${JSON.stringify(args)}`);
      asked.catch(() => {}); // where the connection closed first
      return await Promise.race([asked, client.closed.then(() => new Error('The connection was closed'))]);
    } catch (error) {
      return error;
    } finally {
      client?.socket.terminate();
    }
  }

  async #engineSaysSo(): Promise<void> {
    let counts: unknown;
    const wanted = { waiting: 0, delayed: 0, running: 0, done: this.#parts.jobs + 1, dead: 0 };
    const isSo = async (): Promise<boolean> => {
      counts = await this.#ask('b', 'counts', 'work');
      return Object.entries(wanted).every(([name, count]) => Reflect.get(Object(counts), name) === count);
    };
    await poll('the engine says so too', isSo).catch((error: unknown) => {
      throw new Error(`the engine says ${JSON.stringify(counts)}`, { cause: error });
    });
  }

  // ——— kills ———

  /** Each kind once; then at random. Not the process that spins, nor those that its lease and its life hang on. */
  async #killSomething(): Promise<void> {
    const spins = this.#spinning();
    const what = KINDS[this.#tries] ?? KINDS_BY_WEIGHT[this.#below(KINDS_BY_WEIGHT.length)]!;
    const isWhole = what === 'node' || what === 'broker process';
    const nodes = NODES.filter((node) => !isWhole || node !== spins?.['node']);
    const nodeId = nodes[this.#below(nodes.length)]!;
    const server = this.#servers.get(nodeId)!;
    if (what === 'node') await this.#killNode(nodeId, server);
    else {
      const victims = server.tree().filter(({ pid, title }) => TITLES[what].test(title) && pid !== spins?.pid);
      const victim = victims[this.#below(Math.max(1, victims.length))];
      if (victim === undefined) return;
      this.#kill(server, victim.pid, what, nodeId);
    }
    this.#tries++;
  }

  async #killNode(node: string, server: ServerProcess): Promise<void> {
    const kill = { what: 'node' as const, node, pid: server.masterPid, from: machineMs() };
    server.signalAll('SIGKILL');
    await poll(`node ${node} has gone`, () => server.tree().length === 0);
    this.#kills.push({ ...kill, to: machineMs() });
    await this.#start(node);
  }

  #kill(server: ServerProcess, pid: number, what: Exclude<Holder, 'node'> | 'worker', node: string): void {
    const from = machineMs();
    try {
      server.signal('SIGKILL', pid);
    } catch {
      return; // it has ended by itself meanwhile
    }
    if (what === 'worker') this.#workersKilled++;
    else this.#kills.push({ what, node, pid, from, to: machineMs() });
  }

  // ——— what was said ———

  #linesOf(event: string, id?: string): Line[] {
    const lines = this.#all.flatMap((server) => server.events(event));
    return id === undefined ? lines : lines.filter((line) => line['id'] === id);
  }

  #ended(): Set<unknown> {
    return new Set(this.#linesOf('end').map(({ id }) => id));
  }

  #spinning(): Line | undefined {
    const hasEnded = this.#linesOf('end', SPIN).length > 0;
    return hasEnded ? undefined : this.#linesOf('begin', SPIN)[0];
  }

  /** By job, in the order in which they began. */
  #runs(): Map<string, Run[]> {
    const ends = new Map<string, number>();
    const keyOf = (line: Line): string => `${line['id']} ${line.pid} ${line['attempt']}`;
    for (const line of this.#linesOf('end')) ends.set(keyOf(line), Number(line['time']));
    const runs = new Map<string, Run[]>();
    for (const line of this.#linesOf('begin')) {
      const end = ends.get(keyOf(line));
      const begin = Number(line['time']);
      const run = { node: String(line['node']), pid: line.pid, attempt: Number(line['attempt']), begin, end };
      const id = String(line['id']);
      runs.set(id, [...(runs.get(id) ?? []), run]);
    }
    for (const those of runs.values()) those.sort((a, b) => a.begin - b.begin);
    return runs;
  }

  #result(): JobsResult {
    const runs = this.#runs();
    const { reasons, soonestMs, faults } = reasonsOf(runs, this.#kills, {
      places: PLACES,
      leaseMs: LEASE_MS,
      pace: PACE,
    });
    const [spin] = runs.get(SPIN) ?? [];
    const isMeanwhile = ({ from }: Kill): boolean =>
      spin !== undefined && from > spin.begin && from < (spin.end ?? Infinity);
    const killed = { worker: this.#workersKilled, 'task worker': 0, 'broker process': 0, node: 0 };
    for (const { what } of this.#kills) killed[what]++;
    const ends = this.#linesOf('end').length;
    return {
      ...{ seed: this.#parts.seed, done: runs.size, runs: this.#linesOf('begin').length },
      ...{ doneTwice: ends - this.#ended().size, killed, killedWhileItSpun: this.#kills.filter(isMeanwhile).length },
      ...{ reasons, soonestMs, spinRuns: runs.get(SPIN)?.length ?? 0, faults },
    };
  }
}

export function expectEachDone(result: JobsResult, jobs: number): void {
  const { killed, reasons } = result;
  expect(result.faults).toEqual([]);
  expect(result.done).toBe(jobs + 1);
  expect(result.spinRuns).toBe(1);
  expect(result.killedWhileItSpun).toBeGreaterThan(0);
  expect(Object.entries(killed).filter(([, count]) => count === 0)).toEqual([]);
  const again = Object.values(reasons).reduce((sum, count) => sum + count, 0);
  expect(result.runs).toBe(jobs + 1 + again);
  expect(result.doneTwice).toBeLessThanOrEqual(again);
  // A task worker takes one run with it. A broker process or a node loses the leases of all that its node has under way.
  expect(reasons['task worker']).toBeLessThanOrEqual(killed['task worker']);
  expect(reasons['broker process']).toBeLessThanOrEqual(PLACES * killed['broker process']);
  expect(reasons.node).toBeLessThanOrEqual(PLACES * killed.node);
}
