/** Durable jobs as operators see and order them. Runs in the master, which asks the broker process. */
import { MOST_REMOVED } from '../cluster/jobs/limits.js';
import type { Answer, FromMaster } from '../cluster/messages.js';
import { Questions } from '../cluster/questions.js';
import type { DeadJob, JobControl, NamedJobs, RemovedDead, ShownJob, ShownSchedule } from '../control/controlled.js';
import { ServerError } from '../errors/index.js';
import type { ClusterRecord } from '../memory/cluster-record.js';
import type { ResolvedClusterOptions } from '../options/cluster.js';

export interface JobOperationParts {
  readonly options: ResolvedClusterOptions;
  readonly record: Pick<ClusterRecord, 'brokerPid' | 'isSilent'>;
  /** The manager passes on what the broker process answers; 0: this process is the manager. */
  managerPid(): number;
  /** Node id. */
  self(): string;
  /** To the broker process. @throws ServerError ERR_MESSAGE_QUEUE_FULL */
  say(message: FromMaster): void;
}

/** Of operators at once. */
const MOST_QUESTIONS = 100;
/** The broker process answers, or says that the engine is late, before it is given up. */
const GRACE_MS = 1000;

export class JobOperation implements JobControl {
  readonly #parts: JobOperationParts;
  readonly #questions = new Questions(MOST_QUESTIONS);

  constructor(parts: JobOperationParts) {
    this.#parts = parts;
  }

  /** @returns false: it was asked elsewhere */
  answered(answer: Answer): boolean {
    return this.#questions.answered(answer);
  }

  async count(): Promise<readonly NamedJobs[]> {
    return (await this.#ask((id) => ({ say: 'countJobs', id }))) as readonly NamedJobs[];
  }

  async find(job: string): Promise<ShownJob | undefined> {
    return (await this.#ask((id) => ({ say: 'findJob', id, job }))) as ShownJob | undefined;
  }

  async dead(name: string, offset: number, limit: number): Promise<readonly DeadJob[]> {
    const page = { offset, limit };
    return (await this.#ask((id) => ({ say: 'deadJobs', id, name, page }))) as readonly DeadJob[];
  }

  async retry(job: string): Promise<void> {
    await this.#ask((id) => ({ say: 'retryJob', id, job }));
  }

  async schedules(name: string, offset: number, limit: number): Promise<readonly ShownSchedule[]> {
    const page = { offset, limit };
    return (await this.#ask((id) => ({ say: 'jobSchedules', id, name, page }))) as readonly ShownSchedule[];
  }

  async unschedule(name: string, key: string): Promise<boolean> {
    return (await this.#ask((id) => ({ say: 'unschedule', id, name, key }))) as boolean;
  }

  async remove(job: string): Promise<boolean> {
    return (await this.#ask((id) => ({ say: 'removeJob', id, job }))) as boolean;
  }

  async removeDead(name: string): Promise<RemovedDead> {
    const removed = (await this.#ask((id) => ({ say: 'removeDeadJobs', id, name }))) as number;
    return { removed, more: removed >= MOST_REMOVED };
  }

  #ask(question: (id: number) => FromMaster): Promise<unknown> {
    const { options, say } = this.#parts;
    const timeoutMs = (options.jobs?.deadlineMs ?? 0) + GRACE_MS;
    return this.#questions.ask(
      () => this.#late(timeoutMs),
      timeoutMs,
      (id) => say(question(id)),
    );
  }

  /** The broker process writes into shared memory all the time: where it does, its answer has not come through. */
  #late(timeoutMs: number): ServerError {
    const { self, record, managerPid } = this.#parts;
    const { brokerPid, isSilent } = record;
    const broker = brokerPid === 0 ? 'the broker process (which has ended)' : `the broker process (pid ${brokerPid})`;
    const isStuckBehind = brokerPid !== 0 && !isSilent && managerPid() !== 0;
    const who = isStuckBehind ? `the manager (pid ${managerPid()}), by which the broker process answers,` : broker;
    return new ServerError('ERR_CLUSTER_TIMEOUT', { node: self(), timeoutMs, who });
  }
}
