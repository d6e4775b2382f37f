/** HTTP/2 by hand: frames as they stand in RFC 9113, so that a client can do what no library lets it. */

import { once } from 'node:events';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { DEADLINE_MS } from './deadline.js';

export const Frame = {
  data: 0,
  headers: 1,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
} as const;
export const END_STREAM = 1;
const END_HEADERS = 4;
const ACK = 1;
const HEADER_BYTES = 9;
const INITIAL_WINDOW_SIZE = 4;
export const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

export interface ReceivedFrame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

export interface Given {
  /** What each stream may send before WINDOW_UPDATE. */
  readonly window?: number;
  readonly tls?: boolean;
  /** The address that the server is to see. */
  readonly from?: string;
}

export class RawHttp2Client {
  readonly socket: Duplex;
  readonly frames: ReceivedFrame[] = [];
  isClosed = false;
  readonly closed: Promise<void>;
  #received: Buffer = Buffer.alloc(0);
  #nextStream = 1;
  readonly #listeners = new Set<() => void>();

  private constructor(socket: Duplex) {
    this.socket = socket;
    socket.on('data', (data: Buffer) => this.#take(data));
    socket.on('error', () => {});
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.isClosed = true;
        resolve();
        this.#changed();
      });
    });
  }

  static async connect(
    port: number,
    { window = 65_535, tls = false, from = '127.0.0.1' }: Given = {},
  ): Promise<RawHttp2Client> {
    const socket = tls
      ? connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['h2'] })
      : connect({ port, host: '127.0.0.1', localAddress: from });
    await once(socket, tls ? 'secureConnect' : 'connect');
    return RawHttp2Client.over(socket, window);
  }

  /** @param socket connected */
  static over(socket: Duplex, window = 65_535): RawHttp2Client {
    const client = new RawHttp2Client(socket);
    const settings = Buffer.alloc(6);
    settings.writeUInt16BE(INITIAL_WINDOW_SIZE, 0);
    settings.writeUInt32BE(window, 2);
    socket.write(PREFACE);
    client.send(Frame.settings, 0, 0, settings);
    return client;
  }

  send(type: number, flags: number, stream: number, payload: Uint8Array = Buffer.alloc(0)): this {
    const head = Buffer.alloc(HEADER_BYTES);
    head.writeUIntBE(payload.length, 0, 3);
    head[3] = type;
    head[4] = flags;
    head.writeUInt32BE(stream, 5);
    this.socket.write(Buffer.concat([head, payload]));
    return this;
  }

  /** Opens a stream. @param fields beyond the four pseudo fields @returns its number */
  request(path: string, method = 'GET', { ends = true, fields = {} as Record<string, string> } = {}): number {
    const stream = this.#nextStream;
    this.#nextStream += 2;
    const all = { ':method': method, ':scheme': 'http', ':path': path, ':authority': 'a', ...fields };
    const block = Buffer.concat(Object.entries(all).map(([name, value]) => literal(name, value)));
    this.send(Frame.headers, END_HEADERS | (ends ? END_STREAM : 0), stream, block);
    return stream;
  }

  ping(): this {
    return this.send(Frame.ping, 0, 0, Buffer.alloc(8));
  }

  /** Answers a PING of the server. */
  pong({ payload }: ReceivedFrame): this {
    return this.send(Frame.ping, ACK, 0, payload);
  }

  /** The last streams that the server's GOAWAYs name. */
  get lastStreams(): number[] {
    return this.frames.filter(({ type }) => type === Frame.goaway).map(({ payload }) => payload.readUInt32BE(0));
  }

  /** A PING of the server, not the answer to one. */
  pinged(): Promise<ReceivedFrame> {
    return this.until('PING', () => this.frames.find(({ type, flags }) => type === Frame.ping && flags === 0));
  }

  /** @param stream 0: the connection */
  grant(stream: number, bytes: number): this {
    const payload = Buffer.alloc(4);
    payload.writeUInt32BE(bytes);
    return this.send(Frame.windowUpdate, 0, stream, payload);
  }

  of(stream: number, type: number): ReceivedFrame[] {
    return this.frames.filter((frame) => frame.stream === stream && frame.type === type);
  }

  dataBytes(stream: number): number {
    return this.of(stream, Frame.data).reduce((sum, { payload }) => sum + payload.length, 0);
  }

  /** The code of its RST_STREAM; undefined: there was none. */
  resetCode(stream: number): number | undefined {
    return this.of(stream, Frame.rstStream)[0]?.payload.readUInt32BE();
  }

  /** The status of its answer, once it is there. Only for those that HPACK has in its table, or as a literal. */
  async status(stream: number): Promise<number> {
    const { payload } = await this.until('an answer', () => this.of(stream, Frame.headers)[0]);
    return statusOf(payload);
  }

  /** The first thing that `look` finds, now or when something has come. */
  until<T>(what: string, look: () => T | undefined | false, deadlineMs = DEADLINE_MS): Promise<T> {
    return new Promise((resolve, reject) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#listeners.delete(again);
      };
      const timer = setTimeout(() => {
        end();
        reject(new Error(`not within ${deadlineMs} ms: ${what}`));
      }, deadlineMs);
      const again = (): void => {
        const seen = look();
        if (seen === undefined || seen === false) return;
        end();
        resolve(seen);
      };
      this.#listeners.add(again);
      again();
    });
  }

  reset(stream: number): Promise<number> {
    return this.until('RST_STREAM', () => this.resetCode(stream));
  }

  close(): Promise<void> {
    this.socket.destroy();
    return this.closed;
  }

  #take(data: Buffer): void {
    this.#received = Buffer.concat([this.#received, data]);
    for (;;) {
      if (this.#received.length < HEADER_BYTES) break;
      const length = HEADER_BYTES + this.#received.readUIntBE(0, 3);
      if (this.#received.length < length) break;
      const [type = 0, flags = 0] = this.#received.subarray(3, 5);
      const stream = this.#received.readUInt32BE(5) & 0x7fffffff;
      const payload = this.#received.subarray(HEADER_BYTES, length);
      this.#received = this.#received.subarray(length);
      this.frames.push({ type, flags, stream, payload });
      if (type === Frame.settings && (flags & ACK) === 0) this.send(Frame.settings, ACK, 0);
    }
    this.#changed();
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

/** HPACK, RFC 7541 6.2.2: a literal with a literal name, in nobody's table. */
function literal(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0]), text(name), text(value)]);
}

/** Up to 126 bytes. */
function text(value: string): Buffer {
  return Buffer.concat([Buffer.from([value.length]), Buffer.from(value, 'latin1')]);
}

/** The answer begins with its status, indexed (RFC 7541, appendix A), or by a name of the table and Huffman's digits. */
function statusOf(block: Buffer): number {
  const indexed = [200, 204, 206, 304, 400, 404, 500];
  let at = 0;
  while (((block[at] ?? 0) & 0xe0) === 0x20) at++; // sizes of the table
  const first = block[at] ?? 0;
  if (first >= 0x88 && first <= 0x8e) return indexed[first - 0x88] ?? 0;
  const length = (block[at + 1] ?? 0) & 0x7f;
  const coded = block.subarray(at + 2, at + 2 + length);
  if (((block[at + 1] ?? 0) & 0x80) === 0) return Number(coded.toString('latin1'));
  return Number(digitsOf(coded));
}

/** Huffman's code of 0 to 9: five bits for 0, 1, 2, six for the others. */
function digitsOf(coded: Buffer): string {
  const bits = [...coded].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  let digits = '';
  for (let at = 0; at + 5 <= bits.length; ) {
    const five = Number.parseInt(bits.slice(at, at + 5), 2);
    const isShort = five < 3;
    const six = Number.parseInt(bits.slice(at, at + 6), 2);
    if (!isShort && (six < 0x19 || six > 0x1f)) break; // the end is filled up with ones
    digits += isShort ? five : six - 0x19 + 3;
    at += isShort ? 5 : 6;
  }
  return digits;
}
