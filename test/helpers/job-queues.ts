import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type ConnectionOptions, createPostgresBackend, createRedisBackend, Queue } from 'bullmq';
import { openJobQueue } from '../../src/cluster/jobs/bull.js';
import type { JobQueue, JobQueueOptions } from '../../src/cluster/jobs/queue.js';
import { DEADLINE_MS } from './deadline.js';

const FIXTURES = fileURLToPath(new URL('../fixtures/', import.meta.url));

/** Queues and processes of one test: closed after it, whatever became of them. */
export class JobQueues {
  readonly problems: Error[] = [];
  readonly #queues: JobQueue[] = [];
  readonly #readers: Queue[] = [];
  readonly #children: ChildProcess[] = [];

  async open(options: JobQueueOptions): Promise<JobQueue> {
    const queue = await openJobQueue({ onProblem: (error) => this.problems.push(error), ...options });
    this.#queues.push(queue);
    return queue;
  }

  async openMany(count: number, options: JobQueueOptions): Promise<JobQueue[]> {
    return await Promise.all(Array.from({ length: count }, () => this.open(options)));
  }

  /** The queue as the engine has it, read by BullMQ itself. */
  async reader(url: string, name: string): Promise<Queue> {
    const isRedis = url.startsWith('redis');
    const connection = isRedis ? { url } : { connectionString: url, schema: 'tswoole_jobs', max: 1 };
    const factory = isRedis ? createRedisBackend : createPostgresBackend;
    const queue = new Queue(
      name,
      { connection: connection as ConnectionOptions, prefix: 'tswoole:jobs' },
      factory as never,
    );
    this.#readers.push(queue);
    await queue.waitUntilReady();
    return queue;
  }

  /** A process that works on the queue `name`; it takes as long for a job as its data says. */
  async spawn(url: string, name: string, leaseMs: number): Promise<JobProcess> {
    const started = this.spawnScript('job-worker.js', [url, name, `${leaseMs}`]);
    await started.line('ready');
    return started;
  }

  spawnScript(fixture: string, args: readonly string[]): JobProcess {
    const child = spawn(process.execPath, [FIXTURES + fixture, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#children.push(child);
    return new JobProcess(child);
  }

  async close(): Promise<void> {
    for (const child of this.#children.splice(0)) child.kill('SIGKILL');
    await Promise.all(this.#readers.splice(0).map((queue) => queue.close()));
    await Promise.all(this.#queues.splice(0).map((queue) => queue.close(0)));
  }
}

/** Its lines: `ready`, `began ID`, `ended ID`, `stats JSON` at each change. */
export class JobProcess {
  readonly child: ChildProcess;
  readonly lines: string[] = [];
  readonly #waiting = new Set<() => void>();

  constructor(child: ChildProcess) {
    this.child = child;
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      this.lines.push(line);
      for (const look of this.#waiting) look();
    });
  }

  /** Resolves with the first line that begins so. */
  line(start: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no line "${start}" in ${this.lines}`)), DEADLINE_MS);
      const look = () => {
        const found = this.lines.find((line) => line.startsWith(start));
        if (found === undefined) return;
        clearTimeout(timer);
        this.#waiting.delete(look);
        resolve(found);
      };
      this.#waiting.add(look);
      look();
    });
  }
}
