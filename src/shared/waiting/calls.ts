/** The calls of one process by key: those for the same key wait, and compute, as one. Each may give up by itself. */
import { deserialize } from 'node:v8';
import { ServerError } from '../../errors/index.js';
import type { TimerHandle } from '../../util/clock.js';
import { clonedBytes } from '../cloned.js';
import type { OnceCells } from '../once.js';
import type { Queue } from './queue.js';

/** One call of `Once.run`. */
export interface CallRequest {
  readonly fn: () => unknown;
  readonly leaseMs: number;
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Of one process. */
export class Calls {
  readonly #cells: OnceCells;
  readonly #groups = new Map<string, Group>();

  constructor(cells: OnceCells) {
    this.#cells = cells;
  }

  /** @throws what `fn` of the one that leads throws; ServerError ERR_SHARED_*; the reason of the signal */
  async run(key: string, request: CallRequest): Promise<unknown> {
    const bytes = this.#cells.checkKey(key);
    const known = this.#groups.get(key);
    if (known !== undefined) return known.join(request);
    const group: Group = new Group(this.#cells.queue, () => this.#remove(key, group));
    this.#groups.set(key, group);
    const answer = group.join(request);
    this.#start(key, bytes, group);
    return answer;
  }

  #start(key: string, bytes: Buffer, group: Group): void {
    this.#cells.run(bytes, group).then(
      (result) => {
        this.#remove(key, group);
        group.succeed(result);
      },
      (error: unknown) => {
        this.#remove(key, group);
        group.fail(error);
      },
    );
  }

  /** Whoever calls from now on begins anew. */
  #remove(key: string, group: Group): void {
    if (this.#groups.get(key) === group) this.#groups.delete(key);
  }
}

/** Those that share one slot of the queue. It leaves the queue when the last of them has given up. */
class Group {
  readonly #queue: Queue;
  readonly #onEmpty: () => void;
  readonly #members = new Set<Member>();
  readonly #abandoned = new AbortController();
  #leader: Member | undefined;
  #value: unknown;

  constructor(queue: Queue, onEmpty: () => void) {
    this.#queue = queue;
    this.#onEmpty = onEmpty;
  }

  get signal(): AbortSignal {
    return this.#abandoned.signal;
  }

  /** Of the one that leads. */
  get leaseMs(): number {
    return this.#leader?.request.leaseMs ?? 0;
  }

  join(request: CallRequest): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const member: Member = new Member(request, this.#queue, (error) => {
        this.#leave(member);
        reject(error);
      });
      member.settle = (result) => {
        member.stopWaiting();
        try {
          resolve(result());
        } catch (error) {
          reject(error);
        }
      };
      this.#members.add(member);
    });
  }

  /** The longest waiting computes; from now on it does not give up. */
  async lead(): Promise<Buffer> {
    const [leader] = this.#members;
    // All have given up in the turn in which it was given to them: it goes on to the next process.
    if (leader === undefined) throw this.signal.reason;
    this.#leader = leader;
    leader.stopWaiting();
    this.#value = await leader.request.fn();
    return clonedBytes(this.#value);
  }

  succeed(result: Buffer): void {
    for (const member of this.#members) {
      member.settle(() => (member === this.#leader ? this.#value : deserialize(result)));
    }
  }

  fail(error: unknown): void {
    for (const member of this.#members) {
      member.settle(() => {
        throw error;
      });
    }
  }

  #leave(member: Member): void {
    this.#members.delete(member);
    if (this.#members.size > 0) return;
    this.#onEmpty();
    this.#abandoned.abort();
  }
}

/** One that waits for the result. */
class Member {
  readonly request: CallRequest;
  settle: (result: () => unknown) => void = () => {};
  readonly #queue: Queue;
  readonly #giveUp: (error: unknown) => void;
  #timer: TimerHandle | undefined;

  constructor(request: CallRequest, queue: Queue, giveUp: (error: unknown) => void) {
    this.request = request;
    this.#queue = queue;
    this.#giveUp = giveUp;
    const { timeoutMs, signal } = request;
    if (timeoutMs !== undefined) this.#timer = queue.waiting.clock.setTimeout(() => this.#onTimeout(), timeoutMs);
    signal?.addEventListener('abort', this.#onAbort);
  }

  stopWaiting(): void {
    if (this.#timer !== undefined) this.#queue.waiting.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    this.request.signal?.removeEventListener('abort', this.#onAbort);
  }

  /** What has come just now is taken: its promises settle before the next timer. */
  #onTimeout(): void {
    const { clock } = this.#queue.waiting;
    this.#timer = clock.setTimeout(() => this.#end(this.#timedOut()), 0);
    this.#queue.waiting.look();
  }

  readonly #onAbort = (): void => this.#end(this.request.signal?.reason);

  #end(error: unknown): void {
    this.stopWaiting();
    this.#giveUp(error);
  }

  #timedOut(): ServerError {
    const { kind, name } = this.#queue.object;
    return new ServerError('ERR_SHARED_TIMEOUT', { kind, name, timeoutMs: this.request.timeoutMs ?? 0 });
  }
}
