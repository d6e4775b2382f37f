import type { Exchange, FieldList, FilePiece, RequestBody } from '../../src/http/exchange.js';
import { deferred } from '../../src/util/index.js';

export interface FakeRequest {
  method?: string;
  target?: string;
  rawHeaders?: readonly string[];
  body?: string | readonly string[];
  isEncrypted?: boolean;
}

/** An exchange that notes what it is told; `canTake` false plays a client that does not keep up. */
export class FakeExchange implements Exchange {
  readonly fd = 7;
  readonly httpVersion = '1.1';
  readonly method: string;
  readonly target: string;
  readonly isEncrypted: boolean;
  readonly rawHeaders: readonly string[];
  readonly body: RequestBody;
  isGone = false;
  canTake = true;
  status = 0;
  reason = '';
  fields: FieldList = [];
  pieces: Buffer[] = [];
  calls: string[] = [];
  readonly #ended = deferred();
  #gone: (() => void)[] = [];
  #drained: (() => void)[] = [];

  constructor(request: FakeRequest = {}) {
    this.method = request.method ?? 'GET';
    this.target = request.target ?? '/';
    this.isEncrypted = request.isEncrypted ?? false;
    this.rawHeaders = request.rawHeaders ?? ['Host', 'example.com'];
    this.body = bodyOf(request.body ?? '');
  }

  /** Resolves when the answer is complete, or given up. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  get text(): string {
    return Buffer.concat(this.pieces).toString();
  }

  values(name: string): string[] {
    return this.fields.filter((_, i) => i % 2 === 1 && this.fields[i - 1]!.toLowerCase() === name);
  }

  detach(): number {
    throw new Error('no test detaches it');
  }

  onLeaving(): void {}

  onHalfClosed(): void {}

  onGone(listener: () => void): void {
    if (this.isGone) listener();
    else this.#gone.push(listener);
  }

  goAway(): void {
    this.isGone = true;
    for (const listener of this.#gone) listener();
    this.letDrain();
  }

  letDrain(): void {
    this.canTake = true;
    for (const resolve of this.#drained.splice(0)) resolve();
  }

  respond(status: number, reason: string, fields: FieldList, body: string | Uint8Array): void {
    this.calls.push('respond');
    Object.assign(this, { status, reason, fields });
    this.pieces.push(Buffer.from(body));
    this.#ended.resolve();
  }

  begin(status: number, reason: string, fields: FieldList): void {
    this.calls.push('begin');
    Object.assign(this, { status, reason, fields });
  }

  write(data: string | Uint8Array): boolean {
    this.calls.push('write');
    this.pieces.push(Buffer.from(data));
    return this.canTake;
  }

  writeFile(_piece: FilePiece): void {
    throw new Error('nobody writes files here');
  }

  end(data?: string | Uint8Array): void {
    this.calls.push('end');
    if (data !== undefined) this.pieces.push(Buffer.from(data));
    this.#ended.resolve();
  }

  inform(status: number): void {
    this.calls.push(`inform ${status}`);
  }

  drain(): Promise<void> {
    return new Promise((resolve) => this.#drained.push(resolve));
  }

  abort(): void {
    this.calls.push('abort');
    this.#ended.resolve();
  }
}

export function bodyOf(content: string | readonly string[], trailers: readonly string[] = []): RequestBody {
  const claim = (): void => {};
  if (typeof content === 'string') return { whole: Buffer.from(content), next: async () => null, claim, trailers };
  const pieces = content.map((piece) => Buffer.from(piece));
  return { whole: null, next: async () => pieces.shift() ?? null, claim, trailers };
}
