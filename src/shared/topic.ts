/** Messages to the subscribers of all processes. */
import { describe, ServerError, told } from '../errors/index.js';
import type { SharedObject } from './arena.js';
import type { SharedBetweenNodes } from './between-nodes.js';
import { clonedBytes } from './cloned.js';
import type { Figures } from './figures.js';
import { attach } from './objects.js';
import { MessageRing, topicBytes } from './topic/message-ring.js';
import { Subscriptions } from './topic/subscriptions.js';
import { callable, checkDeclaration, optionsObject, whole } from './waiting/check.js';
import { ourWaiting, type Waiting } from './waiting/waiting.js';

const LEAST_BYTES = 4096;
const MOST_BYTES = 2 ** 30;
const BYTES = 1_048_576;
const VALUE_BYTES = 65_536;
const SUBSCRIBERS = 256;
const MOST_SUBSCRIBERS = 65_536;

/** What a `Topic` is declared with, the same in every process. */
export interface TopicOptions {
  /** The same in each process. Default: the order of declaration. */
  readonly name?: string;
  /** Room for messages, a multiple of 16. A subscriber that is behind by more misses the oldest. Default 1 MiB. */
  readonly bytes?: number;
  /** Longest value, as node:v8 serialises it, up to half of `bytes`. Default 65,536, or a quarter of `bytes` if that is less. */
  readonly maxValueBytes?: number;
  /** Processes that subscribe at a time. Default 256; 8 bytes each. */
  readonly subscribers?: number;
}

/** How a subscription learns what it has missed. */
export interface SubscribeOptions {
  /** Messages came faster than this process has read: it missed so many, and goes on with the oldest there is. */
  readonly onGap?: (gap: TopicGap) => void;
}

/** What a subscriber that was overtaken is told. */
export interface TopicGap {
  /** Messages that it did not get. */
  readonly missed: number;
}

/**
 * A value that one process publishes reaches the subscribers of all processes, in one order that is the same for all. Messages
 * stay in memory until later ones need the room, and are not kept for those that subscribe later. A publisher waits for no
 * subscriber: a slow one is overtaken, and told. A publisher that dies leaves no half message.
 */
export class Topic<T = unknown> {
  readonly #ring: MessageRing;
  readonly #subscriptions: Subscriptions<T>;
  #toOtherNodes: ((bytes: Uint8Array) => void) | undefined;

  /** @throws ServerError ERR_OPTION_RANGE, ERR_OPTION_TYPE, ERR_SHARED_NAME, ERR_SHARED_SCHEMA, ERR_SHARED_LIMIT */
  constructor(options: TopicOptions = {}) {
    checkDeclaration(options, ['bytes', 'maxValueBytes', 'subscribers']);
    const bytes = ringBytes(options.bytes);
    const fallback = Math.min(VALUE_BYTES, bytes / 4);
    const maxValueBytes = whole('maxValueBytes', options.maxValueBytes, [1, bytes / 2], fallback);
    const subscribers = whole('subscribers', options.subscribers, [1, MOST_SUBSCRIBERS], SUBSCRIBERS);
    const shape = { bytes, maxValueBytes, subscribers };
    const schema = `a topic of ${bytes} bytes, values of ${maxValueBytes} bytes, for ${subscribers} subscribers`;
    this.#ring = new MessageRing(attach({ kind: 'topic', name: options.name, schema, bytes: topicBytes(shape) }));
    this.#subscriptions = new Subscriptions(this.#ring);
  }

  /**
   * Gives the value to all subscribers, those of this process too: to each in a later turn of its event loop. They get a copy.
   * @throws ServerError ERR_SHARED_VALUE_SIZE, ERR_SHARED_STUCK, ERR_CLUSTER_PAYLOAD (other nodes do not get it), ERR_DATA_NOT_CLONEABLE
   */
  publish(value: T): void {
    const bytes = clonedBytes(value);
    this.#publishHere(bytes);
    this.#toOtherNodes?.(bytes);
  }

  /** @internal For `cluster.share`. @param send called with what is published here @returns how to publish here what comes from there */
  shareBetweenNodes(send: (bytes: Uint8Array) => void): SharedBetweenNodes {
    this.#toOtherNodes = send;
    return { kind: 'topic', name: this.#ring.object.name, take: (bytes) => this.#publishHere(Buffer.from(bytes)) };
  }

  #publishHere(bytes: Buffer): void {
    const { owners } = this.#ring.object;
    for (const word of this.#ring.publish(bytes)) ourWaiting.ring(owners, word);
  }

  /**
   * Calls `fn` with each value that is published from now on. Subscribers of one process get the same copy. What `fn` throws is
   * an uncaught exception, and the others are called nevertheless. A subscription does not keep the process running.
   * @returns ends the subscription
   * @throws ServerError ERR_SHARED_WAITERS, ERR_SHARED_STUCK
   */
  subscribe(fn: (value: T) => void, options: SubscribeOptions = {}): () => void {
    callable('fn', fn);
    optionsObject(options, ['onGap']);
    if (options.onGap !== undefined) callable('onGap', options.onGap);
    return this.#subscriptions.add({ call: fn, onGap: options.onGap });
  }
}

/** From the shared memory alone. `gaps`: how often a process was overtaken. `unreadable`: and could not read one. `subscribers`: processes. */
export function topicFigures(object: SharedObject): Figures {
  const { published, gaps, unreadable, subscribers } = new MessageRing(object);
  return { bytes: object.memory.byteLength, published, gaps, unreadable, subscribers };
}

/** Called in the manager once it has reaped a process. One that died after its message was whole may have rung nobody. */
export function settleDeadTopic(object: SharedObject, waiting: Waiting = ourWaiting): void {
  const ring = new MessageRing(object);
  ring.settle();
  for (const word of ring.subscribed) waiting.ring(object.owners, word);
}

function ringBytes(value: unknown): number {
  const bytes = whole('bytes', value, [LEAST_BYTES, MOST_BYTES], BYTES);
  if (bytes % 16 === 0) return bytes;
  throw told(
    new ServerError('ERR_OPTION_RANGE', { name: 'bytes', expected: 'a multiple of 16', received: describe(value) }),
  );
}
