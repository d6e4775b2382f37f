/**
 * A stream of HTTP/2 as a request of HTTP/1, for apps in the manner of Node: whichever protocol a client speaks, an app gets
 * the messages that it was written for. Runs in a worker. Why not Node's compatibility API:
 * docs/decisions/0040-apps-get-http1.md.
 */
import { ChunkedDecoder, type ChunkedLimits } from '../../protocol/http/chunked.js';
import type { FieldList, RequestBody } from '../exchange.js';
import { FieldKind, kindOfField, statusHasBody } from '../framing-fields.js';
import type { NodeHttpBridge } from '../node/index.js';
import type { RawExchange, Tunnel } from '../node/raw-exchange.js';
import type { Peer } from '../request.js';
import type { RequestSpan } from '../request-span.js';
import type { Http2Exchange } from './http2-exchange.js';

/**
 * The bridge to Node's server knows connections by numbers. Each stream under way is one, by a number that no session has, and
 * the next stream of the same client takes the place of one that has ended.
 */
export class Http1Streams {
  readonly #bridge: Pick<NodeHttpBridge, 'handle' | 'gone'>;
  readonly #remote: (fd: number) => Peer;
  /** Of each connection those that wait for a stream. */
  readonly #free = new Map<number, number[]>();
  #last = 0;

  constructor(bridge: Pick<NodeHttpBridge, 'handle' | 'gone'>, remote: (fd: number) => Peer) {
    this.#bridge = bridge;
    this.#remote = remote;
  }

  serve(exchange: Http2Exchange): void {
    const { fd } = exchange;
    const free = this.#free.get(fd) ?? [];
    this.#free.set(fd, free);
    const place = free.pop() ?? --this.#last;
    this.#bridge.handle(new AsHttp1(exchange, place, this.#remote(fd), () => this.#ended(fd, place)));
  }

  /** The connection has ended. */
  closed(fd: number): void {
    for (const place of this.#free.get(fd) ?? []) this.#bridge.gone(place);
    this.#free.delete(fd);
  }

  #ended(fd: number, place: number): void {
    const free = this.#free.get(fd);
    if (free === undefined) this.#bridge.gone(place);
    else free.push(place);
  }
}

const CRLF = '\r\n';
const HEAD_END = '\r\n\r\n';
/** Node has written it. */
const NO_LIMITS: ChunkedLimits = {
  ...{ bodyBytes: Number.MAX_SAFE_INTEGER, extensionBytes: 0 },
  ...{ trailerBytes: Number.MAX_SAFE_INTEGER, trailerCount: Number.MAX_SAFE_INTEGER },
};
const UNTIL_THE_END = Number.POSITIVE_INFINITY;

export class AsHttp1 implements RawExchange {
  readonly fd: number;
  readonly head: string;
  readonly isChunked: boolean;
  readonly isUpgrade = false;
  readonly mustClose = false;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly #exchange: Http2Exchange;
  readonly #ended: () => void;
  #hasBegun = false;
  /** Bytes of the body of the answer that are still to come. */
  #left = UNTIL_THE_END;
  #decoder: ChunkedDecoder | undefined;
  /** The rest of the answer may be on its way in this turn; without it the length in the head is wrong. */
  #held: { readonly status: number; readonly fields: FieldList; readonly rest: Buffer } | undefined;

  /** @param ended the place is free again */
  constructor(exchange: Http2Exchange, place: number, { remoteAddress, remotePort }: Peer, ended: () => void) {
    this.#exchange = exchange;
    this.#ended = ended;
    this.fd = place;
    this.remoteAddress = remoteAddress;
    this.remotePort = remotePort;
    const { lines, hasLength } = linesOf(exchange.rawHeaders);
    this.isChunked = exchange.body.whole === null && !hasLength;
    const framing = this.isChunked ? `transfer-encoding: chunked${CRLF}` : '';
    this.head = `${exchange.method} ${exchange.target} HTTP/1.1${CRLF}${lines}${framing}${CRLF}`;
  }

  get isEncrypted(): boolean {
    return this.#exchange.isEncrypted;
  }

  get body(): RequestBody {
    return this.#exchange.body;
  }

  get hasWholeBody(): boolean {
    return this.#exchange.hasWholeBody;
  }

  get span(): RequestSpan | undefined {
    return this.#exchange.span;
  }

  /** Behind the whole answer nobody is there either: a client that still sends is told to stop. */
  get isGone(): boolean {
    return this.#exchange.isGone || this.#exchange.isEnded;
  }

  onGone(listener: () => void): void {
    this.#exchange.onGone(listener);
  }

  sendContinue(): void {
    this.#exchange.inform(100, []);
  }

  leaveContinue(): void {
    this.#exchange.leaveContinue();
  }

  writeRaw(data: Uint8Array | string, encoding: 'latin1' | 'utf8' = 'latin1'): boolean {
    if (this.#exchange.isEnded) return true;
    if (this.#hasBegun) {
      this.#release();
      return this.#write(bytesOf(data, encoding));
    }
    // Heads come whole, and as texts.
    const text = typeof data === 'string' ? data : Buffer.from(data).toString('latin1');
    let at = 0;
    while (!this.#hasBegun) {
      const end = text.indexOf(HEAD_END, at);
      if (end === -1) return true;
      const head = text.slice(at, end);
      at = end + HEAD_END.length;
      this.#take(head, bytesOf(text.slice(at), encoding));
    }
    return true;
  }

  finish(close: boolean): void {
    this.#release();
    if (this.#hasBegun) this.#end();
    else this.#exchange.abort();
    if (!close) this.#ended();
  }

  drain(): Promise<void> {
    return this.#exchange.drain();
  }

  abort(): void {
    if (this.#held === undefined) return this.#exchange.abort();
    this.#held = undefined;
    this.#exchange.respond(500, '', ['content-type', 'text/plain; charset=utf-8'], 'Internal Server Error\n');
  }

  tunnel(): Tunnel {
    throw new Error('a stream of HTTP/2 does not become a tunnel');
  }

  /** @param rest behind the head: all of the body, its beginning, or the next head */
  #take(head: string, rest: Buffer): void {
    const [statusLine = '', ...lines] = head.split(CRLF);
    const status = Number(statusLine.slice('HTTP/1.1 '.length).slice(0, 3));
    const fields = fieldsOf(lines);
    if (status < 200) return this.#exchange.inform(status, fields);
    this.#hasBegun = true;
    this.#frame(status, fields);
    const isWhole = this.#decoder === undefined && this.#left === rest.length;
    // Of a request that is still read the answer does not end before its reader has it all.
    if (isWhole && this.hasWholeBody) return this.#exchange.respond(status, '', fields, rest);
    this.#held = { status, fields, rest };
    if (this.#left === UNTIL_THE_END) this.#release();
    else setImmediate(() => this.#release());
  }

  #release(): void {
    const held = this.#held;
    this.#held = undefined;
    if (held === undefined || this.#exchange.isEnded) return;
    this.#exchange.begin(held.status, '', held.fields);
    this.#write(held.rest);
  }

  #frame(status: number, fields: FieldList): void {
    const last = (name: string): string | undefined => {
      const at = fields.findLastIndex((field, i) => i % 2 === 0 && field.toLowerCase() === name);
      return at === -1 ? undefined : fields[at + 1];
    };
    const length = last('content-length');
    if (this.#exchange.method === 'HEAD' || !statusHasBody(status)) this.#left = 0;
    else if (last('transfer-encoding') !== undefined) this.#decoder = new ChunkedDecoder(NO_LIMITS);
    else if (length !== undefined) this.#left = Number(length);
  }

  #write(bytes: Buffer): boolean {
    if (this.#decoder !== undefined) return this.#decode(bytes, this.#decoder);
    this.#left -= bytes.length;
    if (this.#left > 0) return bytes.length === 0 || this.#exchange.write(bytes);
    this.#exchange.end(bytes);
    return true;
  }

  #decode(bytes: Buffer, decoder: ChunkedDecoder): boolean {
    let hasRoom = true;
    const taken = decoder.decode(bytes, 0, bytes.length, (start, end) => {
      hasRoom = this.#exchange.write(bytes.subarray(start, end));
    });
    if (taken < 0) this.#exchange.abort();
    else if (decoder.isDone) this.#end(fieldsOf(decoder.trailers.split(CRLF)));
    return hasRoom;
  }

  #end(trailers: FieldList = []): void {
    this.#exchange.end('', trailers);
  }
}

/** Fields of connections are no fields of HTTP/2; they would frame the request otherwise than its stream does. */
function linesOf(fields: FieldList): { readonly lines: string; readonly hasLength: boolean } {
  let lines = '';
  let hasLength = false;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    if (name === 'content-length') hasLength = true;
    else if (name === 'transfer-encoding' || kindOfField(name) === FieldKind.connection) continue;
    lines += `${name}: ${fields[i + 1]}${CRLF}`;
  }
  return { lines, hasLength };
}

/** Name, value, name, value …, of lines as Node writes them. */
function fieldsOf(lines: readonly string[]): string[] {
  return lines.flatMap((line) => {
    const colon = line.indexOf(':');
    return colon <= 0 ? [] : [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
}

function bytesOf(data: Uint8Array | string, encoding: 'latin1' | 'utf8'): Buffer {
  if (typeof data === 'string') return Buffer.from(data, encoding);
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}
