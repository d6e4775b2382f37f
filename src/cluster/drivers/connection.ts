import { ServerError } from '../../errors/index.js';
import { type Deferred, deferred } from '../../util/deferred.js';
import { pause } from '../../util/pause.js';
import { within } from '../../util/within.js';
import type { Engine, Link, LinkEvents } from './engine.js';

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5000;

export interface ConnectionEvents extends Pick<LinkEvents, 'message' | 'dropped' | 'refused'> {
  /** Subscribes to everything over the new link and proves it; a rejection ends the link. */
  prepare(link: Link): Promise<void>;
  /** The link given to `prepare` is of no use any more. */
  detach(): void;
  /** It was in use until now; a new one is being made. */
  lost(): void;
  /** An attempt to connect anew has failed; another one follows. */
  attemptFailed(error: Error): void;
  /** A later link is in use. */
  readonly restored: () => void;
}

/** Keeps one proven link to the engine: connects anew after a loss, with growing pauses and jitter, until it is closed. */
export class Connection {
  readonly #engine: Engine;
  readonly #timeoutMs: number;
  readonly #events: ConnectionEvents;
  readonly #abort = new AbortController();
  #link: Link | undefined;
  #reconnecting: Promise<void> | undefined;
  #opening: Promise<void> | undefined;
  /** Ends the proof that is under way. */
  #interrupt = (): void => {};

  constructor(engine: Engine, timeoutMs: number, events: ConnectionEvents) {
    this.#engine = engine;
    this.#timeoutMs = timeoutMs;
    this.#events = events;
  }

  /** The proven link; undefined while there is none. */
  get link(): Link | undefined {
    return this.#link;
  }

  /** One attempt. @throws ServerError ERR_CLUSTER_* */
  open(): Promise<void> {
    this.#opening = this.#establish(() => {});
    return this.#opening;
  }

  /** The link does not work, although the client has not noticed: a half-open connection. */
  lose(): void {
    const link = this.#link;
    if (link === undefined) return;
    this.#closed(link);
    void link.close();
  }

  /** Resolves when no socket and no timer is left. */
  async close(): Promise<void> {
    this.#abort.abort();
    this.#interrupt();
    const link = this.#link;
    this.#link = undefined;
    await link?.close();
    await Promise.allSettled([this.#opening, this.#reconnecting]);
  }

  /** @param proven runs in the same step as the link becomes the one in use: in between it could be lost again */
  async #establish(proven: () => void): Promise<void> {
    const { message, dropped, refused } = this.#events;
    const broken = deferred<never>();
    broken.promise.catch(() => {});
    let gone: string | undefined;
    let link: Link | undefined;
    const closed = (why: string) => {
      gone = why;
      broken.reject(new Error(why));
      if (link !== undefined) this.#closed(link);
    };
    link = await this.#engine.connect({ message, dropped, refused, closed }, this.#abort.signal);
    try {
      await this.#prove(link, broken);
      if (gone !== undefined || this.#abort.signal.aborted) throw new Error(gone ?? 'stopped');
    } catch (cause) {
      this.#events.detach();
      await link.close();
      throw this.#unproven(cause);
    }
    this.#link = link;
    proven();
  }

  async #prove(link: Link, broken: Deferred<never>): Promise<void> {
    const late = new Error(`its subscriptions were not confirmed within ${this.#timeoutMs} ms`);
    const prepared = this.#events.prepare(link).then(() => true);
    prepared.catch(() => {});
    this.#interrupt = () => broken.reject(new Error('stopped'));
    if (this.#abort.signal.aborted) this.#interrupt();
    const done = await within(Promise.race([prepared, broken.promise]), this.#timeoutMs);
    if (done !== true) throw late;
  }

  #unproven(cause: unknown): Error {
    const { name: engine, address } = this.#engine;
    if (this.#abort.signal.aborted) return new ServerError('ERR_CLUSTER_DOWN', { engine, state: 'stopped' });
    if (cause instanceof ServerError) return cause;
    return new ServerError('ERR_CLUSTER_CONNECT', { engine, address, why: (cause as Error).message }, { cause });
  }

  #closed(link: Link): void {
    if (this.#link !== link || this.#abort.signal.aborted) return;
    this.#link = undefined;
    this.#events.detach();
    this.#events.lost();
    this.#reconnecting = this.#reconnect();
  }

  async #reconnect(): Promise<void> {
    for (let attempt = 0; !this.#abort.signal.aborted; attempt++) {
      await pause(pauseMs(attempt), this.#abort.signal);
      if (this.#abort.signal.aborted) return;
      try {
        return await this.#establish(this.#events.restored);
      } catch (error) {
        this.#events.attemptFailed(error as Error);
      }
    }
  }
}

/** 100 ms, doubled up to 5 s, and between half and all of that: nodes that lost it together do not come back together. */
function pauseMs(attempt: number): number {
  const most = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(attempt, 10));
  return most * (0.5 + Math.random() / 2);
}
