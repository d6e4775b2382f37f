import { ServerError } from '../../errors/index.js';
import type { Clock, TimerHandle } from '../../util/clock.js';

/** A job may be under way here until the engine says otherwise, or the time it was given is up. */
export interface Lease {
  readonly id: string;
  readonly token: string;
  /** Aborted when the lease ends. Made when it is first asked for: it costs 3 µs. */
  readonly signal: AbortSignal;
  /** Why the job is no longer this process's: then nothing of its run is recorded. */
  readonly ended: 'lost' | 'given back' | undefined;
  /** Called at a give-back, with what the signal is aborted with. */
  onGiveBack: (reason: Error) => void;
}

export interface LeasesOptions {
  readonly leaseMs: number;
  readonly clock: Clock;
  /** Prolongs the leases at the engine by `leaseMs`; resolves with the ids of those it refuses. */
  readonly renew: (ids: string[], tokens: string[]) => Promise<string[]>;
  readonly onLost: (lease: Lease) => void;
  /** The engine could not be asked. */
  readonly onProblem: (error: unknown) => void;
}

/** Leases that one command renews. */
const BATCH = 1_000;

/**
 * The leases of one worker, renewed by a timer of the broker process: however long a task worker computes, it cannot keep
 * a lease from being renewed. A lease ends when the engine refuses it, or when its time is up and the engine could not be
 * asked: by then another node may have the job.
 */
export class Leases {
  readonly #held = new Map<string, HeldLease>();
  readonly #o: LeasesOptions;
  #timer: TimerHandle;
  #renewing = false;
  #closed = false;

  constructor(options: LeasesOptions) {
    this.#o = options;
    this.#wait();
  }

  /** A job that comes again while its last run here is under way has lost the lease of that run. */
  take(id: string, token: string): Lease {
    const former = this.#held.get(id);
    if (former !== undefined) this.lose(former);
    const lease = new HeldLease(id, token, this.#o.clock.now());
    this.#held.set(id, lease);
    return lease;
  }

  /** No longer renewed: the end of the job is being recorded, or the run is over. */
  drop(lease: Lease): void {
    if (this.#held.get(lease.id) === lease) this.#held.delete(lease.id);
  }

  /** The engine refused what only the holder may do. */
  lose(lease: Lease): void {
    this.drop(lease);
    if (lease.ended !== undefined) return;
    (lease as HeldLease).end('lost', new ServerError('ERR_JOB_LEASE_LOST', { id: lease.id }));
    this.#o.onLost(lease);
  }

  /** The holder tells the engine. */
  giveBack(lease: Lease): void {
    this.drop(lease);
    (lease as HeldLease).end('given back', new ServerError('ERR_JOB_GIVEN_BACK', { id: lease.id }));
  }

  giveBackAll(): void {
    for (const lease of this.#held.values()) this.giveBack(lease);
  }

  close(): void {
    this.#closed = true;
    this.#o.clock.clearTimeout(this.#timer);
  }

  #wait(): void {
    if (this.#closed) return;
    this.#timer = this.#o.clock.setTimeout(() => this.#look(), this.#o.leaseMs / 6);
  }

  #look(): void {
    const { clock, leaseMs } = this.#o;
    const now = clock.now();
    const held = [...this.#held.values()];
    for (const lease of held) if (now - lease.renewedAt >= leaseMs) this.lose(lease);
    const due = held.filter((lease) => lease.ended === undefined && now - lease.renewedAt >= leaseMs / 3);
    if (due.length > 0 && !this.#renewing) void this.#renewAll(due);
    this.#wait();
  }

  /** A renewal that the engine does not answer is waited for no longer than that: the next one may reach it. */
  async #renewAll(due: readonly HeldLease[]): Promise<void> {
    const { clock, leaseMs, onProblem } = this.#o;
    this.#renewing = true;
    let timer: TimerHandle;
    const late = new Promise<never>((_, reject) => {
      const why = `Leases were not renewed within ${Math.round(leaseMs / 3)} ms`;
      timer = clock.setTimeout(() => reject(new Error(why)), leaseMs / 3);
    });
    try {
      await Promise.race([this.#renewBatches(due), late]);
    } catch (error) {
      onProblem(error);
    } finally {
      clock.clearTimeout(timer);
      this.#renewing = false;
    }
  }

  async #renewBatches(due: readonly HeldLease[]): Promise<void> {
    for (let at = 0; at < due.length; at += BATCH) await this.#renew(due.slice(at, at + BATCH));
  }

  async #renew(batch: readonly HeldLease[]): Promise<void> {
    // The engine counts from when it hears of it, which is later: so none is held longer here than there.
    const now = this.#o.clock.now();
    const refused = new Set(
      await this.#o.renew(
        batch.map(({ id }) => id),
        batch.map(({ token }) => token),
      ),
    );
    for (const lease of batch) {
      // A late answer says nothing of later ones.
      if (!refused.has(lease.id)) lease.renewedAt = Math.max(lease.renewedAt, now);
      // One that was dropped while the engine was asked: its job had ended.
      else if (this.#held.get(lease.id) === lease) this.lose(lease);
    }
  }
}

class HeldLease implements Lease {
  readonly id: string;
  readonly token: string;
  renewedAt: number;
  ended: Lease['ended'];
  onGiveBack: Lease['onGiveBack'] = () => undefined;
  #reason: Error | undefined;
  #abort: AbortController | undefined;

  constructor(id: string, token: string, now: number) {
    this.id = id;
    this.token = token;
    this.renewedAt = now;
  }

  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (this.#reason !== undefined) this.#abort.abort(this.#reason);
    }
    return this.#abort.signal;
  }

  end(ended: NonNullable<Lease['ended']>, reason: Error): void {
    this.ended = ended;
    this.#reason = reason;
    this.#abort?.abort(reason);
    if (ended === 'given back') this.onGiveBack(reason);
  }
}
