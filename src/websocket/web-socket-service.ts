/**
 * The worker's half of WebSocket: takes messages out of the ring and calls `message`; answers closes. Runs in a
 * worker.
 */

import { isUtf8 } from 'node:buffer';
import { ClosingFlag, detailOf, Event, flagsOf, MessageFlag, PieceFlag, Request, typeOf } from '../ipc/frame.js';
import { requestFrame } from '../ipc/request-frame.js';
import type { RingReader } from '../ipc/ring.js';
import { copyBytes } from '../util/copy-bytes.js';
import { readLatin1 } from '../util/latin1.js';
import { isThenable } from '../util/thenable.js';
import { readUtf8 } from '../util/utf8.js';
import type { CalledConnection, FrameService, ServiceHost } from '../worker/service.js';
import { Inflater } from './deflate.js';
import type { ReceivedText } from './received-text.js';
import type { WebSocketConnection } from './web-socket-connection.js';

export interface SocketCallbacks {
  readonly message: ((conn: WebSocketConnection, data: string | Buffer) => unknown) | undefined;
}

export interface WebSocketServiceParts {
  /** Of a connection's listen port. */
  callbacksOf(fd: number): SocketCallbacks;
  readonly maxMessageBytes: number;
  readonly closings: Closings;
  readonly received: ReceivedText;
}

/** How a WebSocket ends. */
export interface SocketClose {
  readonly code: number;
  readonly reason: string;
  readonly initiator: 'client' | 'server';
}

/** By session: told before the connection's `close`. */
export type Closings = Map<number, SocketClose>;

/** RFC 6455 7.4.1. */
const NOT_UTF8 = 1007;
const TOO_LONG = 1009;

export class WebSocketService implements FrameService<string | Buffer> {
  readonly types = [Event.message, Event.closing];
  readonly #host: ServiceHost;
  readonly #parts: WebSocketServiceParts;
  /** Of messages of which a part has come. */
  readonly #pieces = new Map<number, Buffer[]>();
  #inflater: Inflater | undefined;
  /** Whose `close` follows; −1: nobody's. */
  #endsNext = -1;
  /** Of the frame that was taken. */
  #type = 0;
  #flags = 0;
  #fd = 0;
  #code = 0;
  #bytes = 0;

  constructor(host: ServiceHost, parts: WebSocketServiceParts) {
    this.#host = host;
    this.#parts = parts;
  }

  get isIncomplete(): boolean {
    return this.#pieces.size > 0 || this.#endsNext >= 0;
  }

  take(ring: RingReader): string | Buffer {
    const { word, bytes, payloadAt, length } = ring;
    this.#type = typeOf(word);
    this.#flags = flagsOf(word);
    this.#fd = ring.sessionId;
    const end = payloadAt + length;
    if (this.#type === Event.closing) {
      this.#code = detailOf(word);
      return readUtf8(bytes, payloadAt, end);
    }
    const at = payloadAt + detailOf(word);
    this.#bytes = end - at;
    const flags = this.#flags;
    if (flags === MessageFlag.ascii) return readLatin1(bytes, at, end);
    if (flags === 0) return readUtf8(bytes, at, end);
    return copyBytes(bytes, at, end);
  }

  deliver(data: string | Buffer): boolean {
    if (this.#type === Event.closing) {
      this.#closing(data as string);
      return false;
    }
    const flags = this.#flags;
    const fd = this.#fd;
    if ((flags & (PieceFlag.more | PieceFlag.continued)) !== 0) return this.#piece(fd, data as Buffer, flags);
    this.#whole(fd, data, flags, this.#bytes);
    return false;
  }

  /** @returns true: the next piece follows at once */
  #piece(fd: number, piece: Buffer, flags: number): boolean {
    const isFirst = (flags & PieceFlag.continued) === 0;
    const pieces = isFirst ? [] : this.#pieces.get(fd);
    const more = (flags & PieceFlag.more) !== 0;
    if (pieces === undefined) return more; // its beginning went to a process that has died
    pieces.push(piece);
    if (more) {
      this.#pieces.set(fd, pieces);
      return true;
    }
    this.#pieces.delete(fd);
    const data = Buffer.concat(pieces);
    const isText = (flags & (MessageFlag.binary | MessageFlag.deflated)) === 0;
    this.#whole(fd, isText ? readUtf8(data, 0, data.length) : data, flags, data.length);
    return false;
  }

  /** @param bytes that the client has sent */
  #whole(fd: number, data: string | Buffer, flags: number, bytes: number): void {
    const { table, connections, figures } = this.#host;
    // What the client had sent before the server closed the connection is dropped.
    if (table.isClosedByServer(fd)) return;
    figures.countRequest(bytes);
    const message = (flags & MessageFlag.deflated) !== 0 ? this.#inflate(fd, data as Buffer, flags) : data;
    if (message !== undefined) this.#call(connections.of(fd), message);
  }

  #inflate(fd: number, data: Buffer, flags: number): string | Buffer | undefined {
    this.#inflater ??= new Inflater();
    const limit = this.#parts.maxMessageBytes;
    const inflated = this.#inflater.inflate(data, limit);
    if (inflated === 'tooLong') return this.#refuse(fd, TOO_LONG, `a message has more than ${limit} bytes`);
    if (inflated === 'broken') return this.#refuse(fd, NOT_UTF8, 'a message cannot be inflated');
    if ((flags & MessageFlag.binary) !== 0) return inflated;
    if (!isUtf8(inflated)) return this.#refuse(fd, NOT_UTF8, 'a text is not UTF-8');
    const text = readUtf8(inflated, 0, inflated.length);
    if (this.#inflater.wasUsual) this.#parts.received.keep(text, data, inflated.length);
    return text;
  }

  #refuse(fd: number, code: number, why: string): undefined {
    this.#host.outbox.request(requestFrame(Request.disconnect, fd, 0, code, Buffer.from(why)));
    this.#host.table.markClosedByServer(fd);
  }

  #call(connection: CalledConnection, data: string | Buffer): void {
    const { calls } = this.#host;
    const user = connection.user as WebSocketConnection;
    const { message } = this.#parts.callbacksOf(user.fd);
    try {
      const result = connection.ended ? undefined : message?.(user, data);
      if (isThenable(result)) return this.#await(connection, result);
    } catch (error) {
      calls.failedFor(connection, error, 'message');
    }
    calls.ended();
  }

  #await(connection: CalledConnection, promise: PromiseLike<unknown>): void {
    const { calls } = this.#host;
    const startedAt = calls.begin(connection);
    const settled = (): void => calls.settled(connection, startedAt);
    promise.then(settled, (error: unknown) => {
      calls.failedFor(connection, error, 'message');
      settled();
    });
  }

  #closing(reason: string): void {
    const fd = this.#fd;
    this.#pieces.delete(fd);
    const initiator = this.#flags & ClosingFlag.byClient ? 'client' : 'server';
    this.#parts.closings.set(fd, { code: this.#code, reason, initiator });
    if (this.#flags & ClosingFlag.closeFollows) this.#endsNext = fd;
    if (this.#flags & ClosingFlag.awaitsAnswer) {
      this.#host.outbox.request(requestFrame(Request.disconnect, fd, 0, this.#code));
    }
  }

  connectionEnded(fd: number): void {
    this.#pieces.delete(fd);
    if (fd === this.#endsNext) this.#endsNext = -1;
  }

  /** WebSockets are handed off as they are. */
  dismiss(_deadlineMs: number, done: () => void): void {
    done();
  }

  drain(): void {}

  poll(): void {}
}
