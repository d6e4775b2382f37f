/** A reactor's HTTP/1 on fakes: one client, and a worker by hand. */
import { AnswerFlag, BodyFlag, Event, Request, RequestBit, RequestFlag } from '../../src/ipc/frame.js';
import { bitsOf, headBytesOf, methodOf, takenPayload, targetEndOf, targetStartOf } from '../../src/ipc/frames/http.js';
import { methods } from '../../src/protocol/http/methods.js';
import type { Connection } from '../../src/reactor/connection.js';
import type { HttpOptions } from '../../src/reactor/context.js';
import type { TlsStream } from '../../src/reactor/transport/tls-stream.js';
import type { FromClient } from './fake-transport.js';
import { ReactorWorld, someHttp, type TakenFrame, type WorldOptions } from './reactor-world.js';

/** A request, as its worker finds it. */
export interface TakenRequest {
  readonly exchange: number;
  readonly method: string;
  readonly target: string;
  /** Names of RequestBit. */
  readonly bits: readonly string[];
  readonly head: string;
  readonly body: string;
  readonly bodyFollows: boolean;
}

export const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';
export const get = (path: string, fields = ''): string => `GET ${path} HTTP/1.1\r\nhost: a\r\n${fields}\r\n`;
export const post = (fields: string, body = ''): string => `POST / HTTP/1.1\r\nhost: a\r\n${fields}\r\n${body}`;
export const sized = (body: string): string => post(`content-length: ${body.length}\r\n`, body);
export const chunked = (body: string, fields = ''): string => post(`transfer-encoding: chunked\r\n${fields}`, body);

const PREFIX_BYTES = 8;

export class Http1World extends ReactorWorld {
  readonly connection: Connection;
  /** What its worker has found beside requests. */
  readonly others: TakenFrame[] = [];

  /** @param secure where the client has shaken hands */
  constructor(
    http: Partial<HttpOptions> = {},
    { port, ...options }: WorldOptions = {},
    secure: TlsStream | null = null,
  ) {
    super({ ...options, port: { ...port, http: { ...someHttp, ...http } } });
    this.connection = this.connect(0, secure);
  }

  /** The client sends and the reactor reads. */
  asks(...text: (string | FromClient)[]): void {
    this.clientSends(this.connection, ...text);
  }

  /** Requests that the workers find; what else they find is in `others`. */
  heardRequests(): TakenRequest[] {
    const frames = this.takeAll();
    this.turn();
    this.others.push(...frames.filter(({ type }) => type !== Event.request));
    return frames.filter(({ type }) => type === Event.request).map(readRequest);
  }

  /** Types, flags and texts of what was found beside requests, and forgets them. */
  found(): (readonly [type: number, flags: number, text: string])[] {
    this.others.push(...this.takeAll());
    this.turn();
    return this.others.splice(0).map(({ type, flags, text }) => [type, flags, text] as const);
  }

  /** Of a body, as it was given so far. */
  bodySoFar(): string {
    const isBytes = ({ type, flags }: TakenFrame): boolean => type === Event.body && (flags & BodyFlag.trailers) === 0;
    this.others.push(...this.takeAll());
    this.turn();
    return this.others
      .filter(isBytes)
      .map(({ text }) => text)
      .join('');
  }

  /** The worker of the connection answers. @param flags AnswerFlag */
  answers(exchange: number, payload = OK, flags: number = AnswerFlag.last, peer?: number): void {
    this.sends(this.connection, [{ type: Request.answer, detail: exchange, flags, payload }], peer);
  }

  /** The worker has taken so many bytes of the body. */
  takesBody(exchange: number, bytes: number): void {
    this.sends(this.connection, [{ type: Request.taken, detail: exchange, payload: takenPayload(bytes) }]);
  }

  /** Time passes, and the reactor looks at deadlines. */
  ticks(ms: number): void {
    this.pass(ms);
    this.protocols.ofPort(0).tick();
    this.turn();
  }

  get got(): string {
    return this.client(this.connection).got;
  }

  /** Of all answers that the client has got, in order. */
  get statuses(): number[] {
    return [...this.got.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
  }
}

function readRequest({ detail, flags, text }: TakenFrame): TakenRequest {
  const bytes = Buffer.from(text, 'latin1');
  const [first, second] = [bytes.readInt32LE(0), bytes.readInt32LE(4)];
  const payload = text.slice(PREFIX_BYTES);
  return {
    exchange: detail,
    method: methods[methodOf(first)] ?? '',
    target: payload.slice(targetStartOf(second), targetEndOf(second)),
    bits: Object.entries(RequestBit).flatMap(([name, bit]) => ((bitsOf(first) & bit) === 0 ? [] : [name])),
    head: payload.slice(0, headBytesOf(first)),
    body: payload.slice(headBytesOf(first)),
    bodyFollows: (flags & RequestFlag.bodyFollows) !== 0,
  };
}
