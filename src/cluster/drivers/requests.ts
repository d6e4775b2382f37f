import { deserializeError, ServerError, serializeError } from '../../errors/index.js';
import type { NodeId, NodeInfo } from '../driver.js';
import type { Channel } from './engine.js';
import { type AskedFor, decodeNodeMessage, encodeAsk, encodeNumbered, Kind, type NodeMessage } from './envelope.js';

/** Handlers that run here at one time. The next asker is told to slow down. */
const MOST_RUNNING = 10_000;
/** Asks of this node without an answer yet. */
const MOST_WAITING = 100_000;

export interface RequestEvents {
  /** @throws ServerError ERR_CLUSTER_DOWN, ERR_CLUSTER_FULL */
  send(channel: Channel, bytes: Buffer): void;
  /** Answers what another node, or this one, asks. */
  answer(to: number, data: Buffer, from: NodeId): Promise<Uint8Array>;
}

type Start = Pick<NodeInfo, 'id' | 'incarnation'>;

interface Waiting {
  readonly node: Start;
  readonly resolve: (answer: Buffer) => void;
  readonly reject: (reason: Error) => void;
  readonly timer: NodeJS.Timeout;
}

/** Where one start of a node listens: a message for an earlier start never reaches a later one. */
export function inboxOf({ id, incarnation }: Start): Channel {
  return `node/${id}/${incarnation}`;
}

/** Questions to single nodes, and the answers to theirs. */
export class Requests {
  readonly #self: NodeInfo;
  readonly #events: RequestEvents;
  readonly #waiting = new Map<number, Waiting>();
  #running = 0;
  #lastNumber = 0;
  #whenIdle: (() => void) | undefined;

  constructor(self: NodeInfo, events: RequestEvents) {
    this.#self = self;
    this.#events = events;
  }

  ask(node: NodeInfo, to: AskedFor, data: Uint8Array, timeoutMs: number): Promise<Buffer> {
    if (this.#waiting.size >= MOST_WAITING) throw full('requests under way', MOST_WAITING);
    const number = this.#nextNumber();
    const { id: from, incarnation } = this.#self;
    this.#events.send(inboxOf(node), encodeAsk({ from, incarnation, number, to }, data));
    return this.#wait(
      number,
      node,
      timeoutMs,
      () => new ServerError('ERR_CLUSTER_TIMEOUT', { node: node.id, timeoutMs }),
    );
  }

  /** Sends a message to this node itself over the engine, and resolves when it has come back. */
  async echo(send: (channel: Channel, bytes: Buffer) => void, timeoutMs: number): Promise<void> {
    const number = this.#nextNumber();
    const { id } = this.#self;
    send(inboxOf(this.#self), encodeNumbered(Kind.echo, id, number, Buffer.alloc(0)));
    await this.#wait(number, this.#self, timeoutMs, () => new Error('an echo on an own subject did not come back'));
  }

  heard(bytes: Buffer): void {
    const message = decodeNodeMessage(bytes);
    if (message === undefined) return;
    if (message.kind === Kind.ask) return void this.#run(message);
    const waiting = this.#waiting.get(message.number);
    // A stranger at the engine, or a late answer whose number another ask has now.
    if (waiting === undefined || waiting.node.id !== message.from) return;
    this.#forget(message.number, waiting);
    if (message.kind === Kind.failure) waiting.reject(readFailure(message.payload));
    else waiting.resolve(message.payload);
  }

  nodeGone(id: NodeId): void {
    this.#rejectWhere(
      ({ node }) => node.id === id,
      () => new ServerError('ERR_NODE_LOST', { node: id }),
    );
  }

  /** Its broker process is another one, which knows nothing of what it was asked before. */
  nodeRestarted(id: NodeId): void {
    this.#rejectWhere(
      ({ node }) => node.id === id,
      () => new ServerError('ERR_NODE_RESTARTED', { node: id }),
    );
  }

  /** What is said there does not arrive: nobody waits for an answer. */
  refused(inbox: Channel, error: Error): void {
    this.#rejectWhere(
      ({ node }) => inboxOf(node) === inbox,
      () => error,
    );
  }

  engineGone(error: () => Error): void {
    this.#rejectWhere(() => true, error);
  }

  /** Resolves when no handler runs. */
  idle(): Promise<void> {
    if (this.#running === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#whenIdle = resolve;
    });
  }

  #nextNumber(): number {
    do this.#lastNumber = (this.#lastNumber + 1) >>> 0;
    while (this.#waiting.has(this.#lastNumber));
    return this.#lastNumber;
  }

  #wait(number: number, node: Start, timeoutMs: number, late: () => Error): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(number);
        reject(late());
      }, timeoutMs);
      this.#waiting.set(number, { node, resolve, reject, timer });
    });
  }

  #forget(number: number, { timer }: Waiting): void {
    clearTimeout(timer);
    this.#waiting.delete(number);
  }

  #rejectWhere(matches: (waiting: Waiting) => boolean, error: () => Error): void {
    for (const [number, waiting] of this.#waiting) {
      if (!matches(waiting)) continue;
      this.#forget(number, waiting);
      waiting.reject(error());
    }
  }

  async #run(ask: NodeMessage & { readonly kind: typeof Kind.ask }): Promise<void> {
    if (this.#running >= MOST_RUNNING) return this.#answer(ask, full('handlers running on that node', MOST_RUNNING));
    this.#running++;
    try {
      this.#answer(ask, await this.#events.answer(ask.to, ask.payload, ask.from));
    } catch (error) {
      this.#answer(ask, error);
    } finally {
      if (--this.#running === 0) this.#whenIdle?.();
    }
  }

  /** An answer that cannot be sent becomes an error; an error that cannot, the asker's time-out. */
  #answer(ask: NodeMessage & { readonly kind: typeof Kind.ask }, result: unknown): void {
    const { id } = this.#self;
    const send = (kind: typeof Kind.answer | typeof Kind.failure, payload: Uint8Array) =>
      this.#events.send(
        inboxOf({ id: ask.from, incarnation: ask.incarnation }),
        encodeNumbered(kind, id, ask.number, payload),
      );
    try {
      if (result instanceof Uint8Array) send(Kind.answer, result);
      else send(Kind.failure, writeFailure(asError(result)));
    } catch (error) {
      if (result instanceof Uint8Array) this.#answer(ask, error);
    }
  }
}

function asError(result: unknown): unknown {
  const isBytes = result === undefined || result === null || typeof result === 'string';
  return isBytes ? new TypeError(`A request must be answered with a Uint8Array, not with ${String(result)}`) : result;
}

function full(what: string, most: number): ServerError {
  return new ServerError('ERR_CLUSTER_FULL', { what, most });
}

function writeFailure(error: unknown): Buffer {
  return Buffer.from(JSON.stringify(serializeError(error)));
}

function readFailure(payload: Buffer): Error {
  try {
    return deserializeError(JSON.parse(payload.toString()));
  } catch {
    return new Error('The other node failed, and its error could not be read');
  }
}
