/**
 * A node of several, as operators see and order it: its nodes, and a reload of all of them, one after another. Runs in the
 * master; what needs the engine is done by the broker process, by messages.
 */
import type { NodeInfo } from '../cluster/driver.js';
import type { Answer, FromMaster, NamedCounts, ToMaster } from '../cluster/messages.js';
import { Questions } from '../cluster/questions.js';
import type { ClusterControl, ClusterStatus, JobControl, NodeReload, NodesReload } from '../control/controlled.js';
import { adviceOf, deserializeError, ServerError, serializeError } from '../errors/index.js';
import type { ClusterRecord } from '../memory/cluster-record.js';
import type { ResolvedClusterOptions } from '../options/cluster.js';
import { deferred } from '../util/deferred.js';
import type { Log } from '../util/log.js';
import { within } from '../util/within.js';
import { JobOperation } from './job-operation.js';
import { PresentCopy } from './present-copy.js';

export interface ClusterOperationParts {
  readonly options: ResolvedClusterOptions;
  readonly record: ClusterRecord;
  /** To the broker process. @throws ServerError ERR_MESSAGE_QUEUE_FULL */
  say(message: FromMaster): void;
  /** Resolves when all workers of this node are new. @throws ServerError ERR_RELOAD */
  reloadHere(): Promise<unknown>;
  /** 0: this process is the manager. */
  managerPid(): number;
  /** How long a node may take for that. */
  readonly reloadTimeoutMs: number;
  readonly log: Pick<Log, 'warn'>;
}

type Step = { -readonly [K in keyof NodeReload]: NodeReload[K] };

/** The other node answers, or says that it is late, before it is given up. */
const GRACE_MS = 5000;
const LOOK_AT_BROKER_MS = 500;
const WAS_LOST = 'it was lost before, and may serve on with its old workers';

export class ClusterOperation implements ClusterControl {
  readonly #parts: ClusterOperationParts;
  readonly #questions = new Questions(1);
  readonly #jobs: JobOperation;
  readonly #tried = deferred<void>();
  readonly #present: PresentCopy;
  #self: string;
  #nodes: readonly NodeInfo[] = [];
  #why = '';
  #lost: readonly string[] = [];
  #queues: readonly NamedCounts[] = [];
  #jobsWhy = '';
  #reload: NodesReload | undefined;

  constructor(parts: ClusterOperationParts) {
    this.#parts = parts;
    this.#present = new PresentCopy(parts.log);
    this.#jobs = new JobOperation({ ...parts, self: () => this.#self });
    this.#self = parts.options.nodeId;
    this.#tried.promise.catch(() => {}); // the start may have ended
  }

  /** This one first, as last told. */
  get nodes(): readonly NodeInfo[] {
    return this.#nodes;
  }

  /** The broker process says something. */
  hear(message: ToMaster): void {
    switch (message.say) {
      case 'nodes':
        this.#self = message.self;
        this.#nodes = message.nodes;
        this.#why = message.why;
        this.#lost = message.lost;
        this.#queues = message.queues;
        this.#jobsWhy = message.jobsWhy;
        return;
      case 'tried':
        return message.refused === undefined
          ? this.#tried.resolve()
          : this.#tried.reject(deserializeError(message.refused));
      case 'reload':
        return void this.#reloadFor(message.id);
      case 'presentChanges':
        return this.#present.take(message.changes);
      case 'presentBefore': {
        const value = this.#present.page(message.page);
        return this.#answer({ say: 'answer', id: message.id, value });
      }
      default:
        return void (this.#questions.answered(message) || this.#jobs.answered(message));
    }
  }

  /**
   * A step of the start: resolves when this node has joined, or has not reached its engine, which it then tries again, or
   * neither is known in time.
   * @throws ServerError ERR_CLUSTER_NODE_ID
   */
  async mayServe(timeoutMs: number): Promise<void> {
    await within(this.#tried.promise, timeoutMs);
  }

  status(): ClusterStatus {
    const { driver, resolved, readyNeedsEngine } = this.#parts.options;
    const state = this.#state;
    const nodeId = this.#self;
    return {
      ...{ nodeId, driver, engine: resolved.address, state, readyNeedsEngine },
      why: state === 'up' ? '' : this.#whyNotUp,
      nodes: this.#nodes.map(({ id, incarnation, address, version }) => ({
        ...{ id, incarnation, address, version },
        self: id === nodeId,
      })),
      lost: this.#lost,
      queues: state === 'up' ? this.#queues : [],
      jobsWhy: this.#jobsWhy,
      reload: this.#reload ?? null,
    };
  }

  /** @throws ServerError ERR_NO_JOBS */
  get jobs(): JobControl {
    if (this.#parts.options.jobs === null) throw new ServerError('ERR_NO_JOBS', { method: 'jobs' });
    return this.#jobs;
  }

  async reload(): Promise<NodesReload> {
    const nodeId = this.#self;
    if (this.#reload?.running === true) throw refuse(nodeId, 'another reload of all nodes is running');
    if (this.#state !== 'up') throw refuse(nodeId, `the engine of the cluster is ${this.#state}`);
    const others = this.#nodes.map(({ id }) => id).filter((id) => id !== nodeId);
    const steps = [...others.sort(), nodeId].map((node): Step => ({ node, state: 'waiting', why: '' }));
    const lost = this.#lost.map((node): Step => ({ node, state: 'skipped', why: WAS_LOST }));
    const reload = { running: true, nodes: [...steps, ...lost] };
    this.#reload = reload;
    try {
      for (const step of steps) await this.#take(step, steps);
      return reload;
    } finally {
      reload.running = false;
    }
  }

  /** Until the nodes are known this node is alone. */
  get #state(): ClusterStatus['state'] {
    if (this.#nodes.length === 0) return 'down';
    return this.#parts.record.read()?.state ?? 'down';
  }

  get #whyNotUp(): string {
    const hasBroker = this.#parts.record.brokerPid !== 0;
    return hasBroker ? this.#why : 'the broker process of this node has ended, and is started again';
  }

  async #take(step: Step, steps: readonly Step[]): Promise<void> {
    step.state = 'reloading';
    try {
      step.state = (await this.#reloadNode(step.node)) ? 'reloaded' : 'skipped';
      if (step.state === 'skipped') step.why = 'it has left the cluster, or its server has ended';
    } catch (error) {
      step.state = 'failed';
      step.why = whyOf(error);
      const left = steps.filter(({ state }) => state === 'waiting').map(({ node }) => node);
      throw new ServerError('ERR_NODE_RELOAD', { node: step.node, left: left.join(', '), why: step.why });
    }
  }

  /** @returns false: it is not in the cluster any more, or leaves it */
  async #reloadNode(node: string): Promise<unknown> {
    const { record, say, reloadHere } = this.#parts;
    const timeoutMs = this.#parts.reloadTimeoutMs + GRACE_MS;
    if (node === this.#self) return reloadHere().then(() => true);
    const { brokerPid } = record;
    // It would not know of the question of its predecessor.
    const watch = setInterval(() => {
      if (record.brokerPid === brokerPid) return;
      const state = 'lost: the broker process of this node has ended';
      this.#questions.failAll(new ServerError('ERR_CLUSTER_DOWN', { engine: 'other nodes', state }));
    }, LOOK_AT_BROKER_MS);
    try {
      return await this.#questions.ask(node, timeoutMs + GRACE_MS, (id) =>
        say({ say: 'reloadNode', id, node, timeoutMs }),
      );
    } finally {
      clearInterval(watch);
    }
  }

  /** Another node asks. */
  async #reloadFor(id: number): Promise<void> {
    try {
      await this.#parts.reloadHere();
      this.#answer({ say: 'answer', id });
    } catch (error) {
      this.#answer({ say: 'failed', id, error: serializeError(error) });
    }
  }

  #answer(answer: Answer): void {
    try {
      this.#parts.say({ say: 'ofMaster', answer });
    } catch (error) {
      // No room: the asker has its time limit.
      this.#parts.log.warn('the broker process does not take an answer of the master', { error });
    }
  }
}

const refuse = (node: string, why: string): ServerError => new ServerError('ERR_NODE_RELOAD', { node, left: '', why });

/** Without the advice, and without what ERR_NODE_RELOAD says itself. */
function whyOf(error: unknown): string {
  if (error instanceof ServerError && error.is('ERR_RELOAD') && error.detail.generation === undefined)
    return error.detail.why;
  const { message } = error as Error;
  const advice = error instanceof ServerError ? ` ${adviceOf(error.code, error.detail)}` : '';
  return message.replace(advice, '').replace(/\.$/, '');
}
