/** What the drivers differ in: one connection to one kind of engine. Everything else is `BrokerDriver`, once for all. */
import type { ConfigEntry } from '../driver.js';
import { Kind } from './envelope.js';

/**
 * - `nodes/`: all nodes announce themselves here; a gap here is one of all subjects.
 * - `node/ID/INCARNATION`: requests and answers for one start of one node.
 * - `subject/SUBJECT`: publications.
 * - `config/KEY`: "the value has changed".
 */
export type Channel = `${'nodes' | 'node' | 'subject' | 'config'}/${string}`;

export interface LinkEvents {
  /** Must not throw. */
  message(channel: Channel, data: Buffer): void;
  /** Publications that the engine refused, or may not have got. @param channels of their subjects */
  dropped(count: number, channels: Iterable<Channel>): void;
  /** One message that the engine does not let this node send; the connection goes on. */
  refused(refusal: Refusal): void;
  /** The connection has ended without `close`; called once, and not before `connect` has resolved. */
  closed(why: string): void;
}

export interface Refusal {
  readonly channel: Channel;
  /** The channel, as the engine calls it. */
  readonly name: string;
  readonly isPublication: boolean;
  /** What the engine has said. */
  readonly why: string;
}

/** One connection, from the first byte to the last: it never connects again by itself. */
export interface Link {
  /** Bytes of one message. */
  readonly maxPayload: number;
  /** Given to `send` and not confirmed by the engine. */
  readonly bufferedBytes: number;
  readonly hasConfig: boolean;
  /** In order per channel. The data must not change afterwards. */
  send(channel: Channel, data: Buffer): void;
  /** Resolves when the engine has confirmed all; rejects when the link ends before. */
  subscribe(channels: readonly Channel[]): Promise<void>;
  unsubscribe(channel: Channel): void;
  /** Resolves when the engine has everything that was sent before; rejects when the link ends before. */
  flush(): Promise<void>;
  /** To be called each heartbeat: ends the link where the engine takes messages, and does not pass them to all nodes any more. */
  check?(): void;
  configGet(key: string): Promise<ConfigEntry | undefined>;
  configPut(key: string, value: Uint8Array, ifVersion: number | undefined): Promise<PutResult>;
  /** At once, without goodbye; resolves when its sockets are gone. */
  close(): Promise<void>;
}

/** The version there is now, and whether this put has made it. */
export interface PutResult {
  readonly written: boolean;
  readonly version: number;
}

export interface Engine {
  /** As people write it: Redis, NATS. */
  readonly name: string;
  /** Host and port, for messages. */
  readonly address: string;
  /** Before `connect` says more. */
  readonly usual: { readonly maxPayload: number; readonly config: boolean };
  /**
   * One attempt, within the time for connecting; an abort ends it earlier where the client can.
   * @throws ServerError ERR_CLUSTER_CONNECT, ERR_CLUSTER_ENGINE, ERR_CLUSTER_PACKAGE
   */
  connect(events: LinkEvents, abort: AbortSignal): Promise<Link>;
}

/** Bytes and publications under way; what a link ends with is lost. */
export class Outstanding {
  bytes = 0;
  publications = 0;

  add(channel: Channel, data: Buffer): void {
    this.bytes += data.length;
    if (isPublication(channel, data)) this.publications++;
  }

  remove(other: Outstanding): void {
    this.bytes -= other.bytes;
    this.publications -= other.publications;
  }
}

/** What is confirmed together. */
export class OutstandingTurn extends Outstanding {
  /** Of publications and gaps. */
  readonly channels = new Set<Channel>();
  /** How many of what was sent there were gaps. */
  readonly #gaps = new Map<Channel, number>();

  override add(channel: Channel, data: Buffer): void {
    super.add(channel, data);
    const isGap = data[0] === Kind.gap;
    if (isOfSubject(channel) || isGap) this.channels.add(channel);
    if (isGap) this.#gaps.set(channel, (this.#gaps.get(channel) ?? 0) + 1);
  }

  /** @returns false: none is left there */
  takeGap(channel: Channel): boolean {
    const left = this.#gaps.get(channel) ?? 0;
    if (left > 0) this.#gaps.set(channel, left - 1);
    return left > 0;
  }
}

const SUBJECT = 'subject/';
export const NODES: Channel = 'nodes/';
/** No publication has this subject; a gap of it is one of all subjects. */
export const EVERY_SUBJECT = '';

export const isOfSubject = (channel: Channel): boolean => channel.startsWith(SUBJECT);
export const isPublication = (channel: Channel, data: Buffer): boolean =>
  isOfSubject(channel) && data[0] === Kind.publication;
export const subjectOfChannel = (channel: Channel): string =>
  channel === NODES ? EVERY_SUBJECT : channel.slice(SUBJECT.length);
/** On which a gap of that subject is said. */
export const channelOfSubject = (subject: string): Channel =>
  subject === EVERY_SUBJECT ? NODES : `${SUBJECT}${subject}`;
