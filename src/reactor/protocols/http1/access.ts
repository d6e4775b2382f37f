/**
 * `accessLog`: notes each request when its head is taken, what leaves for it, and writes its line when the client's kernel
 * has the whole answer, or it was broken off. Runs in the reactor, so answers of the server itself are logged as those of
 * workers are.
 */
import type { AccessLog } from '../../../access-log/access-log.js';
import type { Reply } from '../../../ipc/reply.js';
import { ProxyTrust } from '../../../protocol/http/forwarded.js';
import { monotonicMs } from '../../../util/clock.js';
import { readLatin1 } from '../../../util/latin1.js';
import type { Connection } from '../../connection.js';
import { Life } from '../../life.js';
import { FilePart } from '../../out-queue.js';
import { AccessRecord } from './access-record.js';
import type { Cursor } from './cursor.js';
import type { HttpState } from './http-state.js';
import { LazyFields } from './lazy-fields.js';
import type { Http1Parts } from './parts.js';

const HEAD_END = Buffer.from('\r\n\r\n');
const END = HEAD_END.length;
const CR = 0x0d;
const LF = 0x0a;
/** Of `HTTP/1.1 200`. */
const STATUS_AT = 9;
const ZERO = 0x30;
/** As nginx has it: the client has gone before there was an answer. */
const CLIENT_GONE = 499;
/** What is shown of a request line that is none. */
const ODD_LINE_BYTES = 256;
/** Records that wait for a request: of those that came and went together. */
const MOST_SPARE = 256;

export class Access {
  readonly #log: AccessLog;
  readonly #parts: Http1Parts;
  readonly #trust: ProxyTrust | undefined;
  readonly #spare: AccessRecord[] = [];
  readonly #showsHost: boolean;
  /** `Referer` and `User-Agent`. */
  readonly #showsFields: boolean;

  constructor(log: AccessLog, parts: Http1Parts) {
    this.#log = log;
    this.#parts = parts;
    this.#showsHost = log.format === 'json';
    this.#showsFields = log.format !== 'common';
    const { trustProxy } = parts.options;
    this.#trust = trustProxy === null ? undefined : new ProxyTrust(trustProxy);
  }

  /** The head at the cursor is taken. */
  begin(cursor: Cursor): void {
    const { connection, http, bytes, at, head } = cursor;
    http.access ??= this.#fresh();
    const record = http.access;
    record.isSkipped =
      this.#log.skipsPaths && this.#log.skips(readLatin1(bytes, at + head.targetStart, at + head.targetEnd));
    if (record.isSkipped) return;
    const peer = this.#peerOf(connection, http);
    const client = this.#trust === undefined ? peer : this.#clientOf(cursor, this.#trust, peer);
    record.begin(client, record.since || this.#parts.context.now); // its body may have been waited for
    const { request } = record;
    let end = request.take(0, bytes, at + head.lineStart, at + head.linesStart - 2);
    request.lineEnd = end;
    if (this.#showsHost) end = request.take(end, bytes, at + head.hostStart, at + head.hostEnd);
    request.hostEnd = end;
    if (this.#showsFields) end = request.take(end, bytes, at + head.refererStart, at + head.refererEnd);
    request.refererEnd = end;
    if (this.#showsFields) end = request.take(end, bytes, at + head.userAgentStart, at + head.userAgentEnd);
    request.userAgentEnd = end;
  }

  #fresh(): AccessRecord {
    return this.#spare.pop() ?? new AccessRecord();
  }

  /** What was sent is no request: as much of its first line is shown as there is. */
  beginOdd({ connection, http, bytes, at, to }: Cursor): void {
    http.access = this.#unread(connection, http, firstLine(bytes, at, to));
  }

  #unread(connection: Connection, http: HttpState, requestLine: string): AccessRecord {
    const texts = { requestLine: requestLine === '' ? '-' : requestLine, host: '', referer: '', userAgent: '' };
    const record = this.#fresh();
    record.isSkipped = false;
    record.request.set(texts);
    record.begin(this.#peerOf(connection, http), this.#parts.context.now);
    return record;
  }

  #peerOf({ sessionId }: Connection, http: HttpState): string {
    http.peer ??= this.#parts.context.table.info(sessionId)?.remoteAddress ?? '';
    return http.peer;
  }

  #clientOf({ bytes, at, head, headBytes }: Cursor, trust: ProxyTrust, peer: string): string {
    const fields = new LazyFields(bytes, at + head.linesStart, at + headBytes - 2);
    return trust.read(peer, (name) => fields.get(name))?.client?.remoteAddress ?? peer;
  }

  /** Bytes of the answer are on their way to the client. */
  sent({ access }: HttpState, bytes: Uint8Array, at: number, length: number): void {
    if (access === null || access.isSkipped) return;
    if (access.headEnd === END) access.bytes += length;
    else this.#headSent(access, bytes, at, at + length);
  }

  /** A part of it is a text, or lies with a worker. */
  replied(http: HttpState, reply: Reply): void {
    const { access } = http;
    if (access === null || access.isSkipped) return;
    const { head, text, body, tail } = reply;
    if (access.headEnd === END) {
      access.bytes += reply.bytes;
      return;
    }
    if (head !== null) this.#headIs(access, head);
    if (text !== '') this.#textSent(access, text);
    if (body !== null) this.sent(http, body, 0, body.length);
    if (tail !== '') this.#textSent(access, tail);
  }

  /** The whole head of an answer. */
  #headIs(access: AccessRecord, head: Uint8Array): void {
    access.status = statusIn(head, STATUS_AT);
    access.headEnd = END;
  }

  /** Behind the head. */
  sentBody({ access }: HttpState, bytes: number): void {
    if (access !== null && !access.isSkipped) access.bytes += bytes;
  }

  #textSent(access: AccessRecord, text: string): void {
    if (access.headEnd === END) {
      access.bytes += text.length;
      return;
    }
    const end = access.headEnd === 0 ? text.indexOf('\r\n\r\n') : -1;
    if (end === -1) {
      const bytes = Buffer.from(text, 'latin1');
      return this.#headSent(access, bytes, 0, bytes.length);
    }
    if (access.status === 0) access.status = statusInText(text);
    access.headEnd = END;
    access.bytes += text.length - end - END;
  }

  #headSent(access: AccessRecord, bytes: Uint8Array, at: number, to: number): void {
    if (access.status === 0 && to - at >= STATUS_AT + 3) access.status = statusIn(bytes, at + STATUS_AT);
    let { headEnd } = access;
    let end = headEnd === 0 ? emptyLineIn(bytes, at, to) : at;
    for (; end < to && headEnd < END; end++) {
      if (bytes[end] === HEAD_END[headEnd]) headEnd++;
      else headEnd = bytes[end] === CR ? 1 : 0;
    }
    access.headEnd = headEnd;
    access.bytes += to - end;
  }

  /**
   * The server answers by itself: to be called before the answer is sent, and `done` behind it.
   * @param text the head, and what else is a text @param bytes behind it
   */
  own(connection: Connection, http: HttpState, text: string, bytes = 0): void {
    const { input } = connection;
    http.access ??= this.#unread(connection, http, input === null ? '' : firstLine(input.bytes, input.from, input.to));
    if (http.access.isSkipped) return;
    this.#textSent(http.access, text);
    http.access.bytes += bytes;
    http.access.isDone = true;
  }

  /** The answer is whole. Answers of a batch that are held leave together at the end of the turn. */
  done(connection: Connection, http: HttpState): void {
    if (http.access === null) return;
    if (http.access.isSkipped || connection.isFlushed || connection.out?.isHeld === true) this.end(http, true);
    else http.access.isDone = true;
  }

  /** The client has taken all that was queued for it. */
  flushed(http: HttpState): void {
    if (http.access?.isDone === true) this.end(http, true);
  }

  /** The worker's work for the connection is over; what is queued may still leave. */
  lost(connection: Connection, http: HttpState): void {
    const { access } = http;
    if (access === null) return;
    if (access.isSkipped) return this.end(http, false);
    const { isClosed } = connection;
    if (!isClosed) access.unsent = unsentOf(connection);
    const isFlushed = !isClosed && access.unsent === 0;
    if (!isClosed && !isFlushed && access.isDone && connection.life === Life.closing) return;
    access.bytes = Math.max(0, access.bytes - access.unsent);
    this.end(http, access.isDone && isFlushed);
  }

  /** @param isWhole false: the answer will never be whole */
  end(http: HttpState, isWhole: boolean): void {
    const { access } = http;
    http.access = null;
    if (access === null) return;
    if (!access.isSkipped) this.#write(access, isWhole);
    access.since = 0;
    if (access.request.isSmall && this.#spare.length < MOST_SPARE) this.#spare.push(access);
  }

  #write(access: AccessRecord, isWhole: boolean): void {
    const now = monotonicMs(); // in BASE mode a handler may have taken its time within the turn
    if (access.status === 0) access.status = CLIENT_GONE;
    access.ms = Math.max(0, Math.round(now - access.since));
    access.isCut = !isWhole;
    this.#log.write(access, now);
  }
}

function firstLine(bytes: Buffer, at: number, to: number): string {
  const text = readLatin1(bytes, at, Math.min(to, at + ODD_LINE_BYTES)).trimStart();
  return /^[^\r\n]*/.exec(text)?.[0] ?? '';
}

/** Bytes that its client has not taken. */
function unsentOf({ out }: Connection): number {
  let bytes = 0;
  for (const item of out?.items ?? []) bytes += item instanceof FilePart ? item.left : item.end - item.start;
  return bytes;
}

/** @returns where the empty line behind a head begins, or where it may have begun: its last bytes, and no more, are there */
function emptyLineIn(bytes: Uint8Array, from: number, to: number): number {
  let last = from + END - 1;
  while (last < to) {
    const byte = bytes[last];
    if (byte === LF && bytes[last - 1] === CR && bytes[last - 2] === LF && bytes[last - 3] === CR) return last - 3;
    last += byte === LF ? 2 : byte === CR ? 1 : END;
  }
  return Math.max(from, to - END + 1);
}

/** @param text that begins with the whole head of an answer */
function statusInText(text: string): number {
  const digit = (place: number): number => text.charCodeAt(STATUS_AT + place) - ZERO;
  return digit(0) * 100 + digit(1) * 10 + digit(2);
}

/** @param at of three digits */
function statusIn(bytes: Uint8Array, at: number): number {
  const digit = (place: number): number => (bytes[at + place] as number) - ZERO;
  return digit(0) * 100 + digit(1) * 10 + digit(2);
}
