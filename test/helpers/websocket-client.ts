/** A WebSocket client that is spoken by hand, on node:net or node:tls: it can send what may not be sent. */
import { createHash } from 'node:crypto';
import { inflateRawSync } from 'node:zlib';
import { type Answer, HttpClient } from './http-client.js';
import { clientFrame, Op, type ReadFrame, readServerFrames } from './websocket-frames.js';

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const ACCEPT = createHash('sha1').update(`${KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
const TAIL = Buffer.from([0, 0, 0xff, 0xff]);

export interface OpeningFields {
  readonly method?: string;
  readonly path?: string;
  readonly version?: string;
  /** Instead of the usual ones of the same name; undefined: the field is left out. Names in lower case. */
  readonly fields?: Readonly<Record<string, string | undefined>>;
}

/** An opening request, right but for what is given. */
export function opening({ method = 'GET', path = '/', version = '1.1', fields = {} }: OpeningFields = {}): string {
  const usual = { host: 'server.test', upgrade: 'websocket', connection: 'Upgrade', 'sec-websocket-version': '13' };
  const all = Object.entries({ ...usual, 'sec-websocket-key': KEY, ...fields });
  const lines = all.flatMap(([name, value]) => (value === undefined ? [] : [`${name}: ${value}`]));
  return `${[`${method} ${path} HTTP/${version}`, ...lines].join('\r\n')}\r\n\r\n`;
}

export class HandClient {
  readonly http: HttpClient;
  readonly localPort: number;
  /** In ms of `performance.now()`: the port was another connection's before. */
  readonly openedAt = performance.now();
  readonly frames: ReadFrame[] = [];
  readonly #listeners = new Set<() => void>();
  #unread = Buffer.alloc(0);
  #taken = 0;
  #error: unknown;

  private constructor(http: HttpClient) {
    this.http = http;
    this.localPort = http.tcp.socket.localPort ?? 0;
  }

  static async connect(port: number): Promise<HandClient> {
    return new HandClient(await HttpClient.connect(port));
  }

  /** Connects and becomes a WebSocket. */
  static async open(port: number, given: OpeningFields = {}): Promise<HandClient> {
    const client = await HandClient.connect(port);
    const answer = await client.ask(given);
    if (answer.status !== 101) throw new Error(`the server has answered ${answer.status}: ${answer.body}`);
    return client;
  }

  /** @param behind sent in the same packet */
  async ask(given: OpeningFields = {}, behind: Buffer = Buffer.alloc(0)): Promise<Answer> {
    this.http.tcp.send(Buffer.concat([Buffer.from(opening(given), 'latin1'), behind]));
    const answer = await this.http.answer();
    if (answer.status !== 101) return answer;
    if (answer.headers['sec-websocket-accept'] !== ACCEPT) throw new Error('the accept key is wrong');
    this.#read(Buffer.from(this.http.tcp.received, 'latin1'));
    this.http.tcp.socket.on('data', (data) => this.#read(data));
    void this.http.tcp.closed.then(() => this.#changed());
    return answer;
  }

  send(...frames: readonly Buffer[]): this {
    if (!this.http.tcp.socket.destroyed) this.http.tcp.send(Buffer.concat(frames));
    return this;
  }

  text(payload: string): this {
    return this.send(clientFrame(Op.text, payload));
  }

  /** The next message, inflated: 't' or 'b', and the payload as latin1. */
  async message(): Promise<string> {
    await this.until('a message', () => this.#taken < this.messages.length);
    return this.messages[this.#taken++]!;
  }

  get messages(): string[] {
    return this.frames.filter(({ opcode }) => opcode < Op.close).map(messageOf);
  }

  get pongs(): string[] {
    return this.frames.filter(({ opcode }) => opcode === Op.pong).map(({ payload }) => payload.toString('latin1'));
  }

  /** Of the Close frame. */
  get closeCode(): number | undefined {
    const { payload } = this.frames.find(({ opcode }) => opcode === Op.close) ?? {};
    return payload === undefined ? undefined : payload.length === 0 ? 1005 : payload.readUInt16BE();
  }

  get closeReason(): string {
    const { payload } = this.frames.find(({ opcode }) => opcode === Op.close) ?? {};
    return payload?.toString('utf8', 2) ?? '';
  }

  /** Resolves when the server has sent its Close frame and ended the connection. */
  async closed(): Promise<void> {
    await this.until('a Close frame', () => this.closeCode !== undefined);
    this.http.tcp.socket.end();
    await this.http.tcp.closed;
    if (this.frames.at(-1)?.opcode !== Op.close) throw new Error('there are frames behind the Close frame');
  }

  close(): Promise<void> {
    return this.http.close();
  }

  async until(what: string, condition: () => boolean): Promise<void> {
    const { tcp } = this.http;
    const isOver = (): boolean => tcp.socket.closed || tcp.end !== undefined;
    await new Promise<void>((resolve, reject) => {
      const fail = (why: unknown): void => {
        end();
        reject(why);
      };
      const timer = setTimeout(() => fail(new Error(`${what} did not come`)), 10_000);
      const end = (): void => {
        clearTimeout(timer);
        this.#listeners.delete(look);
      };
      const look = (): void => {
        if (this.#error !== undefined) fail(this.#error);
        else if (condition()) {
          end();
          resolve();
        } else if (isOver()) fail(new Error(`${what} did not come before the end (${tcp.end})`));
      };
      this.#listeners.add(look);
      look();
    });
  }

  #read(data: Buffer): void {
    const all = Buffer.concat([this.#unread, data]);
    try {
      const { frames, taken } = readServerFrames(all);
      this.frames.push(...frames);
      this.#unread = all.subarray(taken);
    } catch (error) {
      this.#error = error;
    }
    this.#changed();
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

function messageOf({ opcode, payload, rsv }: ReadFrame): string {
  const isDeflated = rsv === 4;
  const data = isDeflated ? inflateRawSync(Buffer.concat([payload, TAIL]), { finishFlush: 2 }) : payload;
  return `${opcode === Op.text ? 't' : 'b'}${data.toString('latin1')}`;
}
