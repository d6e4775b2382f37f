import { randomUUID } from 'node:crypto';
import type { Redis, RedisOptions } from 'ioredis';
import { type Deferred, deferred } from '../../util/deferred.js';
import { importModule } from '../../util/import-module.js';
import { FOR_JOBS, loadPeer } from '../load-peer.js';
import {
  type Bull,
  type BullSettings,
  decoded,
  down,
  type Engine,
  type EngineOptions,
  type EngineState,
  pauseBefore,
  type Unlock,
  whyOf,
} from './engine.js';
import { keepDatabase } from './keep-database.js';

/** Only what is still one's own. */
const UNLOCK = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

/**
 * Two connections for everything but the waiting of workers, which needs one of each worker's own: a command of a producer
 * is refused at once when Redis is gone, one of a worker (the result of a job) waits until it is back.
 */
export class RedisEngine implements Engine {
  readonly name: string;
  readonly #client: typeof Redis;
  readonly #producer: Redis;
  readonly #bull: Bull;
  readonly #options: EngineOptions;
  readonly #ofWorkers = new Set<Redis>();
  #consumer: Redis | undefined;
  #state: EngineState = 'starting';
  #why = 'not connected yet';
  /** Settled by the first state after `starting`. */
  #started: Deferred<void> | undefined;

  static async open(bull: Bull, options: EngineOptions): Promise<RedisEngine> {
    const { Redis } = await loadPeer('ioredis', () => importModule<typeof import('ioredis')>('ioredis'), FOR_JOBS);
    return new RedisEngine(bull, options, Redis);
  }

  private constructor(bull: Bull, options: EngineOptions, client: typeof Redis) {
    this.#bull = bull;
    this.#options = options;
    this.#client = client;
    const producer = keepDatabase(new client(producerSettings(options)));
    this.#producer = producer;
    this.name = `Redis at ${options.url.host}`;
    producer.on('ready', () => this.#enter('up', 'the connection was closed'));
    producer.on('error', (error) => {
      this.#why = whyOf(error, options);
      if (this.#state === 'starting') this.#enter('down', this.#why);
    });
    producer.on('close', () => this.#enter('down', this.#why));
  }

  get state(): EngineState {
    return this.#state;
  }

  async ready(): Promise<void> {
    if (this.#state === 'up') return;
    if (this.#state !== 'starting') throw down(this.name, `down: ${this.#why}`);
    this.#started ??= deferred();
    await this.#started.promise;
    if (this.state !== 'up') throw down(this.name, `down: ${this.#why}`);
  }

  /** The connection tells it by itself. */
  failed(): void {}

  producer(): BullSettings {
    return this.#settings(this.#producer);
  }

  consumer(): BullSettings {
    this.#consumer ??= this.#connectConsumer();
    return this.#settings(this.#consumer);
  }

  async tryLock(key: string, longestMs: number): Promise<Unlock | undefined> {
    // No name of a queue has a colon before it.
    const [name, token] = [`${this.#options.prefix}:jobs-lock:${key}`, randomUUID()];
    if ((await this.#producer.set(name, token, 'PX', longestMs, 'NX')) === null) return undefined;
    return async () => void (await this.#producer.eval(UNLOCK, 1, name, token));
  }

  async close(): Promise<void> {
    this.#enter('closed', 'closed');
    this.#producer.disconnect();
    for (const connection of this.#ofWorkers) connection.disconnect();
  }

  /**
   * BullMQ duplicates it for each worker, to wait for jobs there. It cannot end a connection that is being tried again, so all
   * are remembered; and an error without a listener would end the process. A connection that is cut off without a word is given
   * up and made anew: the kernel waits far longer, and meanwhile no job would be taken, renewed or ended.
   */
  #connectConsumer(): Redis {
    const patient = { enableOfflineQueue: true, autoResendUnfulfilledCommands: true, maxRetriesPerRequest: null };
    const settings = {
      ...{ ...settingsOf(this.#options), ...patient },
      socketTimeout: LONGEST_WAIT_MS + this.#options.deadlineMs + SILENCE_MS,
    };
    const consumer = this.#remember(new this.#client(settings));
    const duplicate = consumer.duplicate.bind(consumer);
    consumer.duplicate = (override) => this.#remember(duplicate(override ?? {}));
    return consumer;
  }

  #remember(connection: Redis): Redis {
    this.#ofWorkers.add(keepDatabase(connection));
    return connection.on('error', () => undefined).on('end', () => this.#ofWorkers.delete(connection));
  }

  #settings(connection: Redis): BullSettings {
    const { prefix } = this.#options;
    return { connection, prefix: `${prefix}:jobs`, factory: this.#bull.createRedisBackend };
  }

  /** @param why the next loss, unless an error says more */
  #enter(state: EngineState, why: string): void {
    if (this.#state === state || this.#state === 'closed') return;
    this.#state = state;
    this.#why = why;
    this.#started?.resolve();
    this.#options.onState(state, why);
  }
}

/** A call has its whole deadline before the connection is given up: timers begin with their turn of the loop, and end early. */
const SILENCE_MS = 100;
/** A worker of BullMQ asks Redis to wait so long for a job. */
const LONGEST_WAIT_MS = 10_000;

/**
 * Nothing of a producer is kept for later: what cannot be sent now rejects now, and a Redis that says nothing loses the
 * connection, or else it would carry out long after what nobody waits for any more.
 */
function producerSettings(options: EngineOptions): RedisSettings {
  const once = { enableOfflineQueue: false, autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 };
  return { ...settingsOf(options), ...once, socketTimeout: options.deadlineMs + SILENCE_MS };
}

type RedisSettings = RedisOptions & { replyMapping: 'legacy' };

function settingsOf({ url, username, password, tls, deadlineMs }: EngineOptions): RedisSettings {
  const user = username ?? decoded(url.username);
  const pass = password ?? decoded(url.password);
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: Number(url.port === '' ? 6379 : url.port),
    db: Number(url.pathname.slice(1) || 0),
    ...(user !== '' && { username: user }),
    ...(pass !== '' && { password: pass }),
    ...((tls !== undefined || url.protocol === 'rediss:') && { tls: { ...tls } }),
    connectTimeout: deadlineMs,
    // BullMQ reads replies as RESP2 has them. A HELLO that is refused, for want of a password say, is answered by a text for developers.
    protocol: 2,
    replyMapping: 'legacy',
    retryStrategy: pauseBefore,
    // After a fail-over the name, or the proxy, leads to the new primary; this connection to the old one stays open.
    reconnectOnError: ({ message }) => message.includes('READONLY'),
  };
}
