import type { Exchange, FieldList, FilePiece, RequestBody } from '../../src/http/exchange.js';

/** What an exchange was told, in order; bodies as text where they are valid UTF-8, else as they are. */
export type Told =
  | {
      readonly respond: number;
      readonly reason: string;
      readonly fields: FieldList;
      readonly body: string | Uint8Array;
    }
  | { readonly begin: number; readonly reason: string; readonly fields: FieldList }
  | { readonly write: string | Uint8Array }
  | { readonly writeFile: FilePiece }
  | { readonly end: string | Uint8Array | undefined; readonly trailers: FieldList | undefined }
  | { readonly inform: number; readonly fields: FieldList }
  | { readonly abort: true };

export interface FakeExchangeOptions {
  readonly method?: string;
  readonly target?: string;
  readonly httpVersion?: '1.0' | '1.1' | '2.0';
  readonly isEncrypted?: boolean;
  readonly headers?: readonly string[];
  /** An array comes in pieces. */
  readonly body?: string | Buffer | readonly (string | Buffer)[];
  readonly trailers?: readonly string[];
}

/** Body whose pieces the test gives. */
export class FakeBody implements RequestBody {
  readonly whole: Buffer | null;
  trailers: readonly string[] = [];
  /** How many pieces were asked for. */
  asked = 0;
  readonly #pieces: (Buffer | null)[] = [];
  #waiting: { resolve: (piece: Buffer | null) => void; reject: (error: unknown) => void } | undefined;
  #error: unknown;

  constructor(whole: Buffer | null) {
    this.whole = whole;
  }

  /** @param piece null: the end */
  push(piece: string | Buffer | null): void {
    const bytes = typeof piece === 'string' ? Buffer.from(piece) : piece;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) this.#pieces.push(bytes);
    else waiting.resolve(bytes);
  }

  fail(error: unknown): void {
    this.#error = error;
    this.#waiting?.reject(error);
  }

  claim(): void {}

  next(): Promise<Buffer | null> {
    this.asked += 1;
    const piece = this.#pieces.shift();
    if (piece !== undefined) return Promise.resolve(piece);
    if (this.#error !== undefined) return Promise.reject(this.#error);
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }
}

export class FakeExchange implements Exchange {
  readonly fd = 7;
  readonly httpVersion: '1.0' | '1.1' | '2.0';
  readonly method: string;
  readonly target: string;
  readonly isEncrypted: boolean;
  readonly rawHeaders: readonly string[];
  readonly body: FakeBody;
  readonly told: Told[] = [];
  /** What `write` answers. */
  hasRoom = true;
  isGone = false;
  /** How often `onGone` was called. */
  listened = 0;
  readonly #goneListeners: (() => void)[] = [];
  #draining: (() => void)[] = [];
  #endListeners: (() => void)[] = [];

  constructor(options: FakeExchangeOptions = {}) {
    this.httpVersion = options.httpVersion ?? '1.1';
    this.method = options.method ?? 'GET';
    this.target = options.target ?? '/';
    this.isEncrypted = options.isEncrypted ?? false;
    this.rawHeaders = options.headers ?? ['host', 'example.com'];
    const { body = '' } = options;
    const isWhole = typeof body === 'string' || Buffer.isBuffer(body);
    this.body = new FakeBody(isWhole ? Buffer.from(body) : null);
    this.body.trailers = options.trailers ?? [];
    if (!isWhole) for (const piece of [...body, null]) this.body.push(piece);
  }

  detach(): number {
    throw new Error('no test detaches it');
  }

  onLeaving(): void {}

  onHalfClosed(): void {}

  onGone(listener: () => void): void {
    this.listened += 1;
    if (this.isGone) listener();
    else this.#goneListeners.push(listener);
  }

  /** The client goes away. */
  goAway(error?: unknown): void {
    this.isGone = true;
    for (const listener of this.#goneListeners.splice(0)) listener();
    if (error !== undefined) this.body.fail(error);
    this.flow();
  }

  /** The client keeps up again. */
  flow(): void {
    this.hasRoom = true;
    for (const resolve of this.#draining.splice(0)) resolve();
  }

  /** Resolves when the answer has ended. */
  get ended(): Promise<void> {
    if (this.told.some((it) => 'respond' in it || 'end' in it || 'abort' in it)) return Promise.resolve();
    return new Promise((resolve) => this.#endListeners.push(resolve));
  }

  /** The bytes of the body that was sent. */
  get sent(): Buffer {
    const parts = this.told.map((it) =>
      'respond' in it ? it.body : 'write' in it ? it.write : 'end' in it ? it.end : '',
    );
    return Buffer.concat(parts.map((part) => Buffer.from(part ?? '')));
  }

  /** Fields of the head that was sent. */
  get fields(): FieldList {
    const head = this.told.find((it) => 'respond' in it || 'begin' in it);
    return head !== undefined && 'fields' in head ? head.fields : [];
  }

  respond(status: number, reason: string, fields: FieldList, body: string | Uint8Array): void {
    this.told.push({ respond: status, reason, fields: [...fields], body });
    this.#hasEnded();
  }

  begin(status: number, reason: string, fields: FieldList): void {
    this.told.push({ begin: status, reason, fields: [...fields] });
  }

  write(data: string | Uint8Array): boolean {
    this.told.push({ write: data });
    return this.hasRoom;
  }

  writeFile(piece: FilePiece): void {
    this.told.push({ writeFile: piece });
  }

  end(data?: string | Uint8Array, trailers?: FieldList): void {
    this.told.push({ end: data, trailers });
    this.#hasEnded();
  }

  inform(status: number, fields: FieldList): void {
    this.told.push({ inform: status, fields });
  }

  drain(): Promise<void> {
    if (this.hasRoom || this.isGone) return Promise.resolve();
    return new Promise((resolve) => this.#draining.push(resolve));
  }

  abort(): void {
    this.told.push({ abort: true });
    this.#hasEnded();
  }

  #hasEnded(): void {
    for (const resolve of this.#endListeners.splice(0)) resolve();
  }
}
