/**
 * What the broker process and its master have to say to each other: how this node is in its cluster, reloads of nodes, of
 * which the master knows the end and the engine the way, and what operators want of durable jobs. Runs in the broker process.
 */
import { ServerError, serializeError } from '../../errors/index.js';
import type { ClusterRecord } from '../../memory/cluster-record.js';
import { monotonicMs } from '../../util/clock.js';
import { pause } from '../../util/pause.js';
import type { JobInfo, JobSchedule } from '../jobs/queue.js';
import type {
  DeadJob,
  FromMaster,
  PresentChange,
  PresentPage,
  ShownJob,
  ShownSchedule,
  ToMaster,
} from '../messages.js';
import { Questions } from '../questions.js';
import type { Broker } from './broker.js';
import { packValue } from './node-messages.js';
import type { PresentMaster } from './present.js';
import { Reporter } from './reporter.js';
import { toDeadJob, toShownJob, toShownSchedule } from './shown-job.js';

export interface MasterLinkParts {
  readonly self: string;
  readonly record: ClusterRecord;
  tell(message: ToMaster): void;
  /** How long the master may take to replace all workers. */
  readonly reloadTimeoutMs: number;
}

/** To the master, at once: of reloads that other nodes ask for together it makes one. */
const MOST_QUESTIONS = 100;
/** For each page: this node joins without what a master does not tell. */
const PRESENT_MS = 1500;
/** A broker process that was killed is started again at once, and joins. */
const BACK_MS = 5000;
const LOOK_MS = 200;

export class MasterLink implements PresentMaster {
  readonly #broker: Broker;
  readonly #parts: MasterLinkParts;
  readonly #reporter: Reporter;
  readonly #questions = new Questions(MOST_QUESTIONS);

  constructor(broker: Broker, parts: MasterLinkParts) {
    this.#broker = broker;
    this.#parts = parts;
    this.#reporter = new Reporter(broker, parts);
  }

  /** The state or the nodes have changed. */
  changed(): void {
    this.#reporter.report();
  }

  /** The start of the server waits for it. @param refused the id of this node belongs to another server */
  tried(refused?: ServerError): void {
    this.#reporter.report(); // by then the master knows why it has not joined
    this.#parts.tell({ say: 'tried', ...(refused !== undefined && { refused: serializeError(refused) }) });
  }

  /** @returns false: it is none of the master's */
  onMessage(message: { readonly say: string }): boolean {
    if (!isOfMaster(message)) return false;
    if (message.say === 'ofMaster') this.#questions.answered(message.answer);
    else void this.#answer(message);
    return true;
  }

  /** Resolves when all workers of this node are new. @throws ServerError ERR_RELOAD, ERR_CLUSTER_TIMEOUT */
  async reloadHere(): Promise<void> {
    const { self, tell, reloadTimeoutMs } = this.#parts;
    await this.#questions.ask(self, reloadTimeoutMs, (id) => tell({ say: 'reload', id }));
  }

  tellPresent(changes: readonly PresentChange[]): void {
    this.#parts.tell({ say: 'presentChanges', changes });
  }

  async presentBefore(page: number): Promise<PresentPage> {
    const { self, tell } = this.#parts;
    return (await this.#questions.ask(self, PRESENT_MS, (id) =>
      tell({ say: 'presentBefore', id, page }),
    )) as PresentPage;
  }

  /** This node leaves: another one that waits for its reload is told so. */
  close(): void {
    this.#reporter.close();
    this.#questions.failAll(new ServerError('ERR_SHUTTING_DOWN', {}));
  }

  async #answer(question: MasterQuestion): Promise<void> {
    const { tell } = this.#parts;
    const { id } = question;
    try {
      tell({ say: 'answer', id, value: await this.#find(question) });
    } catch (error) {
      tell({ say: 'failed', id, error: serializeError(error) });
    }
  }

  #find(question: MasterQuestion): Promise<unknown> | undefined {
    const { jobs } = this.#broker;
    switch (question.say) {
      case 'reloadNode':
        return this.#askToReload(question.node, question.timeoutMs);
      case 'countJobs':
        return jobs?.count();
      case 'findJob':
        return this.#findJob(question.job);
      case 'deadJobs':
        return this.#deadJobs(question);
      case 'retryJob':
        return jobs?.answer({ method: 'retry', args: [question.job] });
      case 'jobSchedules':
        return this.#schedules(question);
      case 'unschedule':
        return jobs?.answer({ method: 'unschedule', args: [question.name, question.key] });
      case 'removeJob':
        return jobs?.answer({ method: 'remove', args: [question.job] });
      case 'removeDeadJobs':
        return jobs?.answer({ method: 'removeDead', args: [question.name] });
    }
  }

  async #findJob(id: string): Promise<ShownJob | undefined> {
    const job = (await this.#broker.jobs?.answer({ method: 'find', args: [id] })) as JobInfo | undefined;
    return job && toShownJob(job);
  }

  async #deadJobs({ name, page }: Extract<MasterQuestion, { say: 'deadJobs' }>): Promise<DeadJob[]> {
    const jobs = await this.#broker.jobs?.answer({ method: 'dead', args: [name, page] });
    return ((jobs ?? []) as readonly JobInfo[]).map(toDeadJob);
  }

  async #schedules({ name, page }: Extract<MasterQuestion, { say: 'jobSchedules' }>): Promise<ShownSchedule[]> {
    const all = await this.#broker.jobs?.answer({ method: 'schedules', args: [name, page] });
    return ((all ?? []) as readonly JobSchedule[]).map(toShownSchedule);
  }

  /**
   * A broker process that ends meanwhile has a successor, which knows nothing of the question: it is asked again.
   * @returns false: it leaves, or has ended. One that was lost may serve on with its old workers, so that is a failure
   * @throws ServerError ERR_NODE_LOST, ERR_CLUSTER_TIMEOUT, ERR_RELOAD
   */
  async #askToReload(node: string, timeoutMs: number): Promise<boolean> {
    const { driver, lostNodes } = this.#broker;
    const until = monotonicMs() + timeoutMs;
    let left = timeoutMs;
    while (this.#isThere(node)) {
      try {
        await driver.request(node, packValue({ ask: 'reload' }), { timeoutMs: left });
        return true;
      } catch (error) {
        if (isOfStoppingServer(error)) return false;
        left = until - monotonicMs();
        if (!isOfEndedProcess(error) || left <= 0) throw error;
        if (isShuttingDown(error)) await this.#waitUntil(() => !this.#isThere(node));
        await this.#waitUntil(() => this.#isThere(node));
        left = Math.max(1, until - monotonicMs());
      }
    }
    if (lostNodes.has(node)) throw new ServerError('ERR_NODE_LOST', { node });
    return false;
  }

  #isThere(node: string): boolean {
    return this.#broker.driver.nodes().some(({ id }) => id === node);
  }

  /** But not for longer than `BACK_MS`. */
  async #waitUntil(isSo: () => boolean): Promise<void> {
    const until = monotonicMs() + BACK_MS;
    while (!isSo() && monotonicMs() < until) await pause(LOOK_MS);
  }
}

function isOfEndedProcess(error: unknown): boolean {
  if (!(error instanceof ServerError)) return false;
  return error.is('ERR_NODE_LOST') || error.is('ERR_NODE_RESTARTED') || isShuttingDown(error);
}

/** Its broker process ends: as its server does, or alone, because another one takes its place. */
function isShuttingDown(error: unknown): boolean {
  return error instanceof ServerError && error.is('ERR_SHUTTING_DOWN');
}

/** Its master, or its manager, says that the server ends. */
function isOfStoppingServer(error: unknown): boolean {
  return error instanceof ServerError && error.is('ERR_RELOAD') && STOPPING.test(error.detail.why);
}

const STOPPING = /^the server (is shutting down|is ended|has shut down)$/;

/** What the broker process answers. */
type MasterQuestion = Exclude<FromMaster, { say: 'ofMaster' }>;

const ofMaster: readonly string[] = [
  'reloadNode',
  'countJobs',
  'findJob',
  'deadJobs',
  'retryJob',
  'jobSchedules',
  'unschedule',
  'removeJob',
  'removeDeadJobs',
  'ofMaster',
] satisfies FromMaster['say'][];

function isOfMaster(message: { readonly say: string }): message is FromMaster {
  return ofMaster.includes(message.say);
}
