/** Redis 6.2 or newer, and what speaks as it does, over ioredis: one connection for commands, one for subscriptions. */

import { isIP } from 'node:net';
import type { Redis, RedisOptions } from 'ioredis';
import { ServerError } from '../../errors/index.js';
import { hostOf, type ResolvedDriverOptions } from '../../options/cluster.js';
import { MIB } from '../../options/size.js';
import { importModule } from '../../util/import-module.js';
import { withAdvice } from '../certificate-advice.js';
import type { ConfigEntry } from '../driver.js';
import { loadPeer } from '../load-peer.js';
import { withoutSecrets } from '../without-secrets.js';
import {
  type Channel,
  type Engine,
  isPublication,
  type Link,
  type LinkEvents,
  Outstanding,
  OutstandingTurn,
  type PutResult,
} from './engine.js';
import { whatListens } from './what-listens.js';

const NEEDED = { version: '6.2', major: 6, minor: 2 };

/** Redis ends a subscriber that has 32 MiB waiting (client-output-buffer-limit): one message stays well below. */
const MAX_PAYLOAD = 8 * MIB;

/** Of one command: a node with many rooms subscribes in several. */
const MOST_NAMES = 1000;

/** Compare, set and count in one step. Returns whether it has written, and the version there is now. */
const PUT_IF_VERSION = `
local found = tonumber(redis.call('HGET', KEYS[1], 'version') or '0')
if ARGV[2] ~= '' and tonumber(ARGV[2]) ~= found then return {0, found} end
redis.call('HSET', KEYS[1], 'version', found + 1, 'value', ARGV[1])
return {1, found + 1}`;

class RedisLink implements Link {
  readonly maxPayload = MAX_PAYLOAD;
  readonly hasConfig = true;
  readonly #commands: Redis;
  readonly #subscriber: Redis;
  /** Of keys. */
  readonly #prefix: string;
  /** Of channels. */
  readonly #channelPrefix: string;
  readonly #events: LinkEvents;
  readonly #outstanding = new Outstanding();
  #turn: { readonly channel: Channel; readonly data: Buffer }[] = [];
  #turnOutstanding = new OutstandingTurn();
  #isClosed = false;

  constructor(
    clients: readonly [commands: Redis, subscriber: Redis],
    options: ResolvedDriverOptions,
    events: LinkEvents,
  ) {
    [this.#commands, this.#subscriber] = clients;
    this.#prefix = `${options.prefix}:`;
    this.#channelPrefix = channelPrefix(options);
    this.#events = events;
    this.#subscriber.on('messageBuffer', (channel: Buffer, data: Buffer) => {
      events.message(channel.toString().slice(this.#channelPrefix.length) as Channel, data);
    });
    for (const client of clients) {
      const which = client === this.#commands ? 'commands' : 'subscriptions';
      const lost = () => this.#lost(`the connection for ${which} has ended`);
      client.once('end', lost);
      if (client.status !== 'ready') queueMicrotask(lost);
    }
  }

  get bufferedBytes(): number {
    return this.#outstanding.bytes;
  }

  send(channel: Channel, data: Buffer): void {
    this.#outstanding.add(channel, data);
    this.#turnOutstanding.add(channel, data);
    if (this.#turn.push({ channel, data }) === 1) setImmediate(() => this.#sendTurn());
  }

  async subscribe(channels: readonly Channel[]): Promise<void> {
    const names = channels.map((channel) => this.#channelPrefix + channel);
    const commands: Promise<unknown>[] = [];
    for (let i = 0; i < names.length; i += MOST_NAMES)
      commands.push(this.#subscriber.subscribe(...names.slice(i, i + MOST_NAMES)));
    try {
      await Promise.all(commands);
    } catch (error) {
      // An ACL, say. A node that may not hear one of its subjects would count as connected, and hear nothing.
      const { name, message } = error as Error;
      if (name === 'ReplyError') this.#lost(message);
      throw error;
    }
  }

  unsubscribe(channel: Channel): void {
    this.#subscriber.unsubscribe(this.#channelPrefix + channel).catch(() => {}); // the link has ended: so has the subscription
  }

  async flush(): Promise<void> {
    if (this.#turn.length > 0) this.#sendTurn();
    await this.#commands.ping();
  }

  /** A primary that was made a replica keeps its connections, and takes publications: its own subscribers alone get them. */
  check(): void {
    this.#commands.info('replication').then(
      (info) => isReplica(info) && this.#lost(REPLICA),
      () => {}, // the link has ended
    );
  }

  async configGet(key: string): Promise<ConfigEntry | undefined> {
    const [value, version] = await this.#commands.hmgetBuffer(this.#configKey(key), 'value', 'version');
    if (value === null || value === undefined || version === null || version === undefined) return undefined;
    return { value, version: Number(version) };
  }

  async configPut(key: string, value: Uint8Array, ifVersion: number | undefined): Promise<PutResult> {
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.length);
    const result = await this.#commands.eval(PUT_IF_VERSION, 1, this.#configKey(key), bytes, ifVersion ?? '');
    const [written, version] = result as [number, number];
    return { written: written === 1, version };
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await Promise.all([endOf(this.#commands), endOf(this.#subscriber)]);
    this.#drop(this.#turnOutstanding);
    this.#turn = [];
  }

  /** Publications of one turn of the loop go out in one write, and are confirmed together. */
  #sendTurn(): void {
    const turn = this.#turn;
    const outstanding = this.#turnOutstanding;
    if (turn.length === 0) return;
    this.#turn = [];
    this.#turnOutstanding = new OutstandingTurn();
    this.#publishAll(turn).then(
      (errors) => {
        this.#outstanding.remove(outstanding);
        const cutOff = new OutstandingTurn();
        for (const [i, error] of errors.entries()) {
          const sent = turn[i];
          if (error === null || sent === undefined) continue;
          // A refusal of Redis (an ACL, no memory) fails its own publication only.
          if (error.name === 'ReplyError') this.#refused(sent, error.message);
          else cutOff.add(sent.channel, sent.data);
        }
        this.#dropped(cutOff);
      },
      () => this.#drop(outstanding),
    );
  }

  /** A pipeline of one would take twice the time of a command. @returns why each was refused; null: it was not */
  async #publishAll(turn: readonly { readonly channel: Channel; readonly data: Buffer }[]): Promise<(Error | null)[]> {
    const [first, ...others] = turn;
    if (first !== undefined && others.length === 0) {
      return [await this.#commands.publish(this.#channelPrefix + first.channel, first.data).then(() => null, asError)];
    }
    const pipeline = this.#commands.pipeline();
    for (const { channel, data } of turn) pipeline.publish(this.#channelPrefix + channel, data);
    return (await pipeline.exec())?.map(([error]) => error) ?? [];
  }

  #drop(outstanding: OutstandingTurn): void {
    this.#outstanding.remove(outstanding);
    this.#dropped(outstanding);
  }

  #refused({ channel, data }: { readonly channel: Channel; readonly data: Buffer }, why: string): void {
    const name = this.#channelPrefix + channel;
    this.#events.refused({ channel, name, isPublication: isPublication(channel, data), why });
  }

  #dropped({ publications, channels }: OutstandingTurn): void {
    if (channels.size > 0) this.#events.dropped(publications, channels);
  }

  #lost(why: string): void {
    if (this.#isClosed) return;
    void this.close();
    this.#events.closed(why);
  }

  #configKey(key: string): string {
    return `${this.#prefix}config:${key}`;
  }
}

export function redisEngine(options: ResolvedDriverOptions): Engine {
  return {
    name: 'Redis',
    address: options.address,
    usual: { maxPayload: MAX_PAYLOAD, config: true },
    async connect(events, abort) {
      const { Redis } = await loadPeer('ioredis', () => importModule<typeof import('ioredis')>('ioredis'));
      const clients = [new Redis(clientOptions(options)), new Redis(clientOptions(options))] as const;
      try {
        await open(clients, options, abort);
      } catch (error) {
        await Promise.all(clients.map(endOf));
        throw error;
      }
      return new RedisLink(clients, options, events);
    },
  };
}

function databaseOf({ url }: ResolvedDriverOptions): number {
  return Number(/^\/(\d+)$/.exec(url.pathname)?.[1] ?? 0);
}

/** Redis passes publications between all its databases, so the number of the database separates clusters by name. */
function channelPrefix(options: ResolvedDriverOptions): string {
  const database = databaseOf(options);
  return database === 0 ? `${options.prefix}:` : `${options.prefix}:${database}:`;
}

/** `Connection` connects anew and subscribes anew: the client must not do either, nor keep commands meanwhile. */
function clientOptions(options: ResolvedDriverOptions): Omit<RedisOptions, 'replyMapping'> {
  const { url, tls, username, password, connectTimeoutMs } = options;
  const host = hostOf(options);
  // Hosted engines share an address and choose the certificate by the name (SNI), which an IP address is not.
  const name = isIP(host) === 0 ? { servername: host } : {};
  return {
    host,
    port: Number(url.port || 6379),
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls === null ? {} : { tls: { ...name, ...tls } }),
    protocol: 2,
    connectTimeout: connectTimeoutMs,
    lazyConnect: true,
    retryStrategy: null,
    enableOfflineQueue: false,
    enableReadyCheck: false,
    autoResubscribe: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: null,
    // A primary that has become a replica: the address leads to another one by now.
    reconnectOnError: ({ message }) => message.includes('READONLY'),
    connectionName: `tswoole:${options.prefix}`,
  };
}

async function open(clients: readonly Redis[], options: ResolvedDriverOptions, abort: AbortSignal): Promise<void> {
  const errors: Error[] = [];
  for (const client of clients) client.on('error', (error) => errors.push(error)); // else the client prints them
  const end = () => {
    for (const client of clients) void endOf(client);
  };
  const timer = setTimeout(() => {
    errors.push(new Error(`no answer within ${options.connectTimeoutMs} ms`));
    end();
  }, options.connectTimeoutMs);
  abort.addEventListener('abort', end, { once: true });
  try {
    abort.throwIfAborted();
    await Promise.all(clients.map((client) => client.connect()));
    // The client itself would go on in database 0, where the number is too high or the user may not select.
    const database = databaseOf(options);
    if (database !== 0) await clients[0]!.select(database);
    refuseOld(await clients[0]!.info('server'), options);
    if (isReplica(await clients[0]!.info('replication'))) throw new Error(REPLICA);
  } catch (cause) {
    if (cause instanceof ServerError) throw cause;
    const error = errors[0] ?? (cause as Error);
    throw connectError(options, error, await otherThanRedis(options, error, abort));
  } finally {
    clearTimeout(timer);
    abort.removeEventListener('abort', end);
  }
}

const asError = (error: Error): Error => error;

const REPLICA = 'it is a replica, and nodes must be together at the primary';
const isReplica = (info: string): boolean => /^role:(slave|replica)\r?$/m.test(info);

function refuseOld(info: string, { address }: ResolvedDriverOptions): void {
  const [, version = 'none', major, minor] = /redis_version:((\d+)\.(\d+)\S*)/.exec(info) ?? [];
  const isNew = Number(major) > NEEDED.major || (Number(major) === NEEDED.major && Number(minor) >= NEEDED.minor);
  if (isNew) return;
  throw new ServerError('ERR_CLUSTER_ENGINE', { engine: 'Redis', address, needed: NEEDED.version, received: version });
}

/** What is known of an engine that is reached, and said nothing that explains it. */
async function otherThanRedis(options: ResolvedDriverOptions, error: Error, abort: AbortSignal): Promise<string> {
  const { code, name } = error as NodeJS.ErrnoException;
  const isExplained = name === 'ReplyError' || (code !== undefined && !/^(?:EPIPE|ECONNRESET|ERR_SSL)/.test(code));
  if (isExplained || error.message === REPLICA || abort.aborted) return '';
  const found = await whatListens({ host: hostOf(options), port: Number(options.url.port || 6379) }, abort);
  if (found !== 'a Redis') return found === undefined ? '' : `; ${found} listens there`;
  return options.tls === null ? '' : '; a Redis without TLS listens there: its URL begins with "redis:"';
}

function connectError(
  { address, password }: ResolvedDriverOptions,
  error: NodeJS.ErrnoException,
  found: string,
): ServerError {
  const why = withoutSecrets(withAdvice(error.message, error.code), [password]) + found;
  return new ServerError('ERR_CLUSTER_CONNECT', { engine: 'Redis', address, why });
}

/** At once: a goodbye to an engine that does not answer would keep the socket for two seconds. */
function endOf(client: Redis): Promise<void> {
  if (client.status === 'end') return Promise.resolve();
  return new Promise((resolve) => {
    client.once('end', () => resolve());
    client.disconnect();
    (client.stream as Redis['stream'] | undefined)?.destroy();
  });
}
