/** Server-sent events, as the HTML standard has them. */
import { describe, ServerError } from '../errors/index.js';
import { checkRoomName } from '../memory/room-name.js';
import { isPlainObject, refuse } from '../options/check.js';
import type { Exchange } from './exchange.js';

/** One event, as the HTML standard has it. */
export interface ServerSentEvent {
  /** Its type, one line; the browser dispatches it under this name. Missing: `message`. */
  readonly event?: string | undefined;
  /** One line; the browser sends the last one back as `last-event-id` when it connects again. */
  readonly id?: string | undefined;
  /** Milliseconds until the client connects again. */
  readonly retry?: number | undefined;
  /** Its text; may have line breaks. */
  readonly data?: string | undefined;
}

/** Receiver of the events. */
export interface EventSink {
  write(text: string): boolean;
  end(): boolean;
  drain(): Promise<void>;
}

/** What an event stream receives from its request and its answer. */
interface EventRequest {
  onAnswered(listener: () => void): void;
  onGone(listener: () => void): void;
}

/** The event stream of an answer that has begun. */
export function eventsOn(
  sink: EventSink,
  request: EventRequest,
  exchange: Pick<Exchange, 'onHalfClosed' | 'onLeaving' | 'join'>,
): EventStream {
  const closed = new AbortController();
  const abort = (): void => closed.abort();
  request.onAnswered(abort);
  request.onGone(abort);
  const events = new EventStream(sink, closed.signal, exchange);
  // A client that has gone answers the comment with a reset; one that has only ended its side does not notice.
  exchange.onHalfClosed(() => events.comment());
  // Browsers reconnect by themselves, to a process that stays.
  exchange.onLeaving(() => events.close());
  return events;
}

const LINE_BREAK = /\r\n|\r|\n/;

/** A stream of server-sent events, as `res.sse()` begins it. Used in the worker that answers. */
export class EventStream {
  readonly #sink: EventSink;
  readonly #member: Pick<Exchange, 'join'>;
  /** Aborts when the stream has ended, from whichever side. */
  readonly closed: AbortSignal;

  constructor(sink: EventSink, closed: AbortSignal, member: Pick<Exchange, 'join'>) {
    this.#sink = sink;
    this.closed = closed;
    this.#member = member;
  }

  /**
   * @returns false: the client does not keep up (wait for `drain()`), or has gone
   * @throws ServerError ERR_HTTP_SSE, ERR_OPTION_TYPE
   */
  send(event: ServerSentEvent): boolean {
    return this.#write(encodeEvent(event));
  }

  /**
   * From here on the stream gets what is published to the room (`server.publish` of a `WebSocketServer`), each text as an
   * event. Events that it is sent itself may have at most 16 KiB then. Over HTTP/1 only.
   * @returns false: the stream has ended, or the server has no rooms @throws ServerError ERR_ROOM_NAME, ERR_HTTP_SSE
   */
  join(room: string): boolean {
    checkRoomName(room);
    if (this.#member.join === undefined) throw wrong('join', 'a request over HTTP/1', room);
    return !this.closed.aborted && this.#member.join(room);
  }

  /**
   * A comment, which clients ignore: keeps a connection open through proxies that close idle ones, and finds out
   * whether the client is there.
   */
  comment(text = ''): boolean {
    if (typeof text !== 'string') throw wrong('comment', 'a string', text);
    return this.#write(`${lines(':', text)}\n`);
  }

  /** Resolves when more can be sent, or the stream has ended. */
  drain(): Promise<void> {
    return this.#sink.drain();
  }

  /** Ends the stream, and with it the answer. */
  close(): void {
    this.#sink.end();
  }

  #write(text: string): boolean {
    return !this.closed.aborted && this.#sink.write(text);
  }
}

/** @throws ServerError ERR_HTTP_SSE, ERR_OPTION_TYPE */
export function encodeEvent(given: ServerSentEvent): string {
  if (!isPlainObject(given)) refuse('ERR_OPTION_TYPE', 'event', 'an object with event, id, retry, data', given);
  const { event, id, retry, data } = given;
  let text = '';
  if (event !== undefined) text += `event: ${line('event', event)}\n`;
  if (id !== undefined) text += `id: ${line('id', id)}\n`;
  if (retry !== undefined) text += `retry: ${milliseconds(retry)}\n`;
  if (data !== undefined) {
    if (typeof data !== 'string') throw wrong('data', 'a string', data);
    text += lines('data: ', data);
  }
  return `${text}\n`;
}

function line(field: string, value: unknown): string {
  const isLine = typeof value === 'string' && !LINE_BREAK.test(value) && !value.includes('\0');
  if (!isLine) throw wrong(field, 'a string without line breaks', value);
  return value;
}

function lines(prefix: string, text: string): string {
  return text
    .split(LINE_BREAK)
    .map((one) => `${prefix}${one}\n`)
    .join('');
}

function milliseconds(retry: unknown): number {
  if (Number.isSafeInteger(retry) && (retry as number) >= 0) return retry as number;
  throw wrong('retry', 'whole milliseconds', retry);
}

function wrong(field: string, expected: string, received: unknown): ServerError {
  return new ServerError('ERR_HTTP_SSE', { field, expected, received: describe(received) });
}
