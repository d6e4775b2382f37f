/** NATS: core publish and subscribe, and JetStream (where the server has it) for config, over its client. */

import { connect as connectSocket, isIP } from 'node:net';
import type {
  ConnectionOptions,
  NatsConnection,
  PermissionViolationError,
  Subscription,
} from '@nats-io/transport-node';
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
  isOfSubject,
  type Link,
  type LinkEvents,
  Outstanding,
  OutstandingTurn,
  type PutResult,
} from './engine.js';
import { NatsConfig } from './nats-config.js';
import { whatListens } from './what-listens.js';

const DEFAULT_PORT = 4222;

class NatsLink implements Link {
  readonly maxPayload: number;
  readonly hasConfig: boolean;
  readonly #connection: NatsConnection;
  readonly #prefix: string;
  readonly #events: LinkEvents;
  readonly #config: NatsConfig;
  readonly #subscriptions = new Map<Channel, Subscription>();
  readonly #outstanding = new Outstanding();
  #sinceFlush = new OutstandingTurn();
  #flushing = new OutstandingTurn();
  #isFlushing = false;
  #isClosed = false;

  constructor(connection: NatsConnection, config: NatsConfig, prefix: string, events: LinkEvents) {
    this.maxPayload = connection.info?.max_payload ?? MIB;
    this.hasConfig = connection.info?.jetstream === true;
    this.#connection = connection;
    this.#config = config;
    this.#prefix = prefix;
    this.#events = events;
    void connection.closed().then((error) => this.#lost(error));
    this.#watchPermissions().catch((error) => this.#lost(error));
  }

  get bufferedBytes(): number {
    return this.#outstanding.bytes;
  }

  send(channel: Channel, data: Buffer): void {
    this.#outstanding.add(channel, data);
    this.#sinceFlush.add(channel, data);
    if (this.#connection.isClosed()) return; // `close` follows, and counts it as lost
    this.#connection.publish(subjectOf(this.#prefix, channel), data);
    if (!this.#isFlushing) this.#confirm();
  }

  async subscribe(channels: readonly Channel[]): Promise<void> {
    for (const channel of channels) {
      const callback = (error: Error | null, { data }: { data: Uint8Array }) => {
        if (error === null) this.#events.message(channel, Buffer.from(data.buffer, data.byteOffset, data.length));
      };
      this.#subscriptions.set(channel, this.#connection.subscribe(subjectOf(this.#prefix, channel), { callback }));
    }
    await this.flush();
  }

  unsubscribe(channel: Channel): void {
    if (!this.#connection.isClosed()) this.#subscriptions.get(channel)?.unsubscribe();
    this.#subscriptions.delete(channel);
  }

  flush(): Promise<void> {
    return this.#connection.flush();
  }

  configGet(key: string): Promise<ConfigEntry | undefined> {
    return this.#config.get(token(key));
  }

  configPut(key: string, value: Uint8Array, ifVersion: number | undefined): Promise<PutResult> {
    return this.#config.put(token(key), value, ifVersion);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#connection.close();
    const { publications } = this.#outstanding;
    const channels = new Set([...this.#flushing.channels, ...this.#sinceFlush.channels]);
    if (channels.size > 0) this.#events.dropped(publications, channels);
    this.#outstanding.remove(this.#outstanding);
  }

  /** One PING is under way at a time: its PONG says that everything before it has arrived. */
  #confirm(): void {
    this.#isFlushing = true;
    setImmediate(async () => {
      const arrived = this.#sinceFlush;
      this.#flushing = arrived;
      this.#sinceFlush = new OutstandingTurn();
      try {
        await this.#connection.flush();
      } catch {
        return; // the link has ended, and `close` counts the publications under way
      }
      if (this.#isClosed) return;
      this.#outstanding.remove(arrived);
      this.#isFlushing = false;
      if (this.#sinceFlush.bytes > 0) this.#confirm();
    });
  }

  /**
   * A node that may not hear one of its subjects would count as connected, and hear nothing. One that may not publish to
   * one of them goes on: NATS refuses each message by itself, before it confirms what was sent with it.
   */
  async #watchPermissions(): Promise<void> {
    for await (const status of this.#connection.status()) {
      if (status.type !== 'error') continue;
      const { operation, subject } = status.error as Partial<PermissionViolationError>;
      if (subject === undefined || !subject.startsWith(`${this.#prefix}.`)) continue;
      if (operation === 'subscription') this.#lost(status.error);
      else if (operation === 'publish') this.#refused(subject, status.error.message);
    }
  }

  #refused(name: string, why: string): void {
    const channel = channelOf(this.#prefix, name);
    if (channel === undefined) return; // of config, which tells it to its caller
    const isGap = this.#flushing.takeGap(channel) || this.#sinceFlush.takeGap(channel);
    this.#events.refused({ channel, name, isPublication: isOfSubject(channel) && !isGap, why });
  }

  #lost(error: unknown): void {
    if (this.#isClosed) return;
    void this.close();
    this.#events.closed(error instanceof Error ? error.message : 'the connection has ended');
  }
}

export function natsEngine(options: ResolvedDriverOptions): Engine {
  return {
    name: 'NATS',
    address: options.address,
    usual: { maxPayload: MIB, config: true },
    async connect(events, abort) {
      const nats = await loadPeer('@nats-io/transport-node', () =>
        importModule<typeof import('@nats-io/transport-node')>('@nats-io/transport-node'),
      );
      try {
        await greeted(options, abort).catch(async (error: Error) => {
          throw error instanceof Ungreeted ? await otherThanNats(options, error, abort) : error;
        });
        const connection = await nats.connect(clientOptions(options));
        const config = new NatsConfig(connection, nats.headers, options.prefix);
        return new NatsLink(connection, config, options.prefix, events);
      } catch (error) {
        throw connectError(options, error as Error);
      }
    },
  };
}

/** `Connection` connects anew and subscribes anew: the client must not. */
function clientOptions(options: ResolvedDriverOptions): ConnectionOptions {
  const { tls, username, password, connectTimeoutMs, prefix } = options;
  const host = hostOf(options);
  // By itself the client would look for "localhost" in the certificate of a server that is given by its IP address.
  const identity = isIP(host) === 0 ? {} : { host };
  return {
    servers: [hostAndPort(options)],
    name: `tswoole:${prefix}`,
    ...(username === undefined ? {} : { user: username }),
    ...(password === undefined ? {} : { pass: password }),
    ...(tls === null ? {} : { tls: { ...tls, ...identity } }),
    timeout: connectTimeoutMs,
    reconnect: false,
    ignoreClusterUpdates: true,
  };
}

function hostAndPort({ url }: ResolvedDriverOptions): string {
  return `${url.hostname}:${url.port || DEFAULT_PORT}`;
}

/** Something is there, and does not greet as NATS does. */
class Ungreeted extends Error {}

async function otherThanNats(options: ResolvedDriverOptions, error: Error, abort: AbortSignal): Promise<Error> {
  const found = await whatListens({ host: hostOf(options), port: Number(options.url.port || DEFAULT_PORT) }, abort);
  return found === undefined || found === 'a NATS server'
    ? error
    : new Error(`${error.message}; ${found} listens there`);
}

/**
 * Resolves when a server greets at that address. The client keeps the socket of an attempt that timed out for ever, and
 * cannot be stopped: so this looks first, whether it would wait.
 */
function greeted(options: ResolvedDriverOptions, abort: AbortSignal): Promise<void> {
  const { url, connectTimeoutMs } = options;
  return new Promise((resolve, reject) => {
    const socket = connectSocket({ host: hostOf(options), port: Number(url.port || DEFAULT_PORT) });
    const stop = () => socket.destroy(new Error('stopped'));
    socket.setTimeout(connectTimeoutMs, () =>
      socket.destroy(new Ungreeted(`no greeting within ${connectTimeoutMs} ms`)),
    );
    socket.once('data', (data) => {
      if (data.toString('latin1').startsWith('INFO ')) socket.destroy();
      else socket.destroy(new Ungreeted('what answers is not a NATS server'));
    });
    let failure: Error | undefined;
    let isGreeted = false;
    socket.once('data', () => (isGreeted = true));
    socket.on('error', (error) => (failure = error));
    socket.once('close', () => {
      abort.removeEventListener('abort', stop);
      if (failure === undefined && isGreeted) resolve();
      else reject(failure ?? new Ungreeted('it closed the connection without a greeting'));
    });
    if (abort.aborted) stop();
    else abort.addEventListener('abort', stop, { once: true });
  });
}

function connectError({ address, password }: ResolvedDriverOptions, error: Error): ServerError {
  if (error instanceof ServerError) return error;
  const { code } = (error.cause ?? error) as NodeJS.ErrnoException;
  const said = withAdvice(error.message === '' ? error.name : error.message, code);
  const why = withoutSecrets(said, [password]);
  return new ServerError('ERR_CLUSTER_CONNECT', { engine: 'NATS', address, why });
}

/** `subject/a b.c` becomes `PREFIX.subject.a=20b=2Ec`. */
function subjectOf(prefix: string, channel: Channel): string {
  const slash = channel.indexOf('/');
  return `${prefix}.${channel.slice(0, slash)}.${token(channel.slice(slash + 1))}`;
}

const kinds: readonly string[] = ['nodes', 'node', 'subject', 'config'];

/** @returns undefined: no channel has that name */
function channelOf(prefix: string, name: string): Channel | undefined {
  const [kind = '', tokenOfName = ''] = name.slice(prefix.length + 1).split('.');
  if (!kinds.includes(kind)) return undefined;
  const bytes = tokenOfName.replace(/=([\dA-F]{2})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
  return `${kind}/${tokenOfName === '=' ? '' : Buffer.from(bytes, 'latin1').toString()}` as Channel;
}

/** One token of a NATS subject: a dot, a star or a space would mean something there. Different names stay different. */
function token(name: string): string {
  if (/^[\w-]+$/.test(name)) return name;
  if (name === '') return '=';
  return Array.from(Buffer.from(name), (byte) => {
    const character = String.fromCharCode(byte);
    return /[\w-]/.test(character) ? character : `=${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }).join('');
}
