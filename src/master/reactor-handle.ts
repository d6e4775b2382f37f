/** A reactor thread as the master's main thread holds it. */
import { Worker } from 'node:worker_threads';
import { REACTOR_ENTRY } from '../entries.js';
import type { Overload } from '../ipc/overload.js';
import type { RefusedClient } from '../ipc/refused-client.js';
import { type DoorbellDescriptors, ringDoorbell } from '../os/doorbell.js';
import { type Deferred, deferred } from '../util/deferred.js';

// The shapes of reactor/thread-message.ts; a parent and its child exchange messages only.
type FromReactor =
  | { type: 'ready' }
  | { type: 'quiet' }
  | { type: 'closed' }
  | { type: 'withheld' }
  | { type: 'rebound' }
  | { type: 'renewed' }
  | ({ type: 'refused' } & RefusedClient)
  | { type: 'overload'; overload: Overload }
  | { type: 'notRenewed'; why: string }
  | { type: 'tlsFellBack'; why: string }
  | { type: 'brokenSender'; worker: number };
type Answer = 'ready' | 'quiet' | 'closed' | 'withheld' | 'rebound';

export interface ReactorHandleEvents {
  brokenSender(worker: number): void;
  /** Clients were disconnected because of what they sent. */
  refused(client: RefusedClient): void;
  /** It reads no client, or reads on. */
  overload(overload: Overload): void;
  /** Certificates could not be read again. */
  notRenewed(why: string): void;
  /** Node's `tls` does the work of OpenSSL. */
  tlsFellBack(why: string): void;
  /** The thread has ended without an order to. */
  failed(error: unknown): void;
}

/**
 * A reactor's garbage is small and dies at once. Without a limit V8 lets this part of the heap grow with the
 * number of connections that have come and gone (measured: 30 MiB per reactor after 200,000).
 */
const YOUNG_GENERATION_MIB = 6;
/** How long the exit of the process may wait for a reactor to close its poll handle. */
const EXIT_WAIT_MS = 500;
const ENDED = 'the reactor thread has ended';

export class ReactorHandle {
  readonly id: number;
  readonly #thread: Worker;
  readonly #bell: DoorbellDescriptors;
  readonly #exitFlag: Int32Array;
  readonly #waiting = new Map<Answer, Deferred<void>>();
  /** Whoever waits for new certificates to be read, in the order of the orders. */
  #renewals: Deferred<string | undefined>[] = [];
  readonly #gone = deferred<void>();
  #isGone = false;
  #stopping = false;

  constructor(id: number, bell: DoorbellDescriptors, workerData: object, title: string, events: ReactorHandleEvents) {
    this.id = id;
    this.#bell = bell;
    const exitFlag = new SharedArrayBuffer(8);
    this.#exitFlag = new Int32Array(exitFlag);
    this.#thread = new Worker(REACTOR_ENTRY, {
      name: `${title} reactor ${id}`,
      workerData: { ...workerData, id, exitFlag },
      env: { ...process.env },
      execArgv: [],
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MIB },
    });
    this.#thread.on('message', (message: FromReactor) => {
      if (message.type === 'brokenSender') events.brokenSender(message.worker);
      else if (message.type === 'refused') events.refused(message);
      else if (message.type === 'overload') events.overload(message.overload);
      else if (message.type === 'notRenewed') this.#notRenewed(message.why, events);
      else if (message.type === 'renewed') this.#renewals.shift()?.resolve(undefined);
      else if (message.type === 'tlsFellBack') events.tlsFellBack(message.why);
      else this.#waiting.get(message.type)?.resolve();
    });
    this.#thread.once('error', (error) => this.#failed(events, error));
    this.#thread.once('exit', () => {
      this.#gone.resolve();
      this.#isGone = true;
      for (const renewal of this.#renewals.splice(0)) renewal.resolve(ENDED);
      if (!this.#stopping) this.#failed(events, new Error(`reactor thread ${id} has ended`));
    });
  }

  get ready(): Promise<void> {
    return this.#answer('ready');
  }

  /** Takes nothing more in. */
  quiesce(): Promise<void> {
    this.#thread.postMessage({ type: 'quiesce' });
    return this.#answer('quiet');
  }

  /** Has the certificates read again. Resolves when they are in force. @returns why the old ones stay; undefined: they do not */
  renew(): Promise<string | undefined> {
    if (this.#isGone) return Promise.resolve(ENDED);
    const renewal = deferred<string | undefined>();
    this.#renewals.push(renewal);
    this.#thread.postMessage({ type: 'renewTls' });
    return renewal.promise;
  }

  closeAll(deadlineMs: number): Promise<void> {
    this.#thread.postMessage({ type: 'closeAll', deadlineMs });
    return this.#answer('closed');
  }

  useWorkers(workerNum: number): void {
    this.#thread.postMessage({ type: 'useWorkers', workerNum });
  }

  withhold(from: number): Promise<void> {
    this.#waiting.delete('withheld');
    this.#thread.postMessage({ type: 'withhold', from });
    return this.#answer('withheld');
  }

  rebind(): Promise<void> {
    this.#waiting.delete('rebound');
    this.#thread.postMessage({ type: 'rebind' });
    return this.#answer('rebound');
  }

  stop(): Promise<void> {
    this.#stopping = true;
    this.#thread.postMessage({ type: 'stop' });
    return this.#gone.promise;
  }

  /**
   * The process is exiting now: a poll handle that fires in a thread being torn down would abort it (SIGABRT).
   * Blocks until the thread has closed it, or the time is up.
   */
  stopAtOnce(): void {
    if (this.#stopping) return;
    this.#stopping = true;
    Atomics.store(this.#exitFlag, 0, 1);
    ringDoorbell(this.#bell);
    if (Atomics.load(this.#exitFlag, 1) === 0) Atomics.wait(this.#exitFlag, 1, 0, EXIT_WAIT_MS);
  }

  #answer(type: Answer): Promise<void> {
    const known = this.#waiting.get(type) ?? deferred<void>();
    this.#waiting.set(type, known);
    return known.promise;
  }

  #notRenewed(why: string, events: ReactorHandleEvents): void {
    events.notRenewed(why);
    this.#renewals.shift()?.resolve(why);
  }

  #failed(events: ReactorHandleEvents, error: unknown): void {
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    if (!this.#stopping) events.failed(error);
    this.#stopping = true;
  }
}
