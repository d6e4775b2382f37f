import { untrueOfCopy } from './fetched.js';
import { NativeResponse, standFor, unusable } from './natives.js';

type Real = InstanceType<typeof NativeResponse>;
type Body = ConstructorParameters<typeof NativeResponse>[0];
type Init = ConstructorParameters<typeof NativeResponse>[1];
/** Bodies that are sent without a stream. */
export type PlainBody = string | Uint8Array | null;

const TEXT = 'text/plain;charset=UTF-8';
const TOKEN = /^[\w!#$%&'*+.^`|~-]+$/;
/**
 * Values that `Headers` takes as they are: printable ASCII without blanks around it. It handles all others itself.
 */
const PLAIN_VALUE = /^[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?$/;
const NO_FIELDS: readonly string[] = [];

/**
 * A `Response` that keeps its arguments and becomes one of Node's when an unusual member is used: handlers nearly
 * always return a string with a few fields, and Node's own class makes a stream of it (measured: 6 µs against
 * 0.2). It replaces the global one. A copy of a fetched answer, `new Response(body, fetched)`, has no fields that
 * are not true of its body any more (`fetched.ts`). Runs in a worker.
 */
export class LightResponse {
  readonly #body: PlainBody;
  readonly #status: number;
  readonly #statusText: string;
  /** Name, value, name, value … as given; null once `#headers` holds them. */
  #fields: readonly string[] | null;
  #headers: Headers | null = null;
  #real: Real | null;
  #isUsed = false;

  constructor(body?: Body, init?: Init) {
    const plain = plainBody(body);
    const fields = plain === undefined ? undefined : plainFields(init?.headers, body);
    if (plain === undefined || fields === undefined || !isPlainInit(init, plain)) {
      // Node checks and converts everything else, and throws its errors.
      const real = new NativeResponse(...([body, init] as ConstructorParameters<typeof NativeResponse>));
      if (init?.headers instanceof Headers) {
        for (const name of untrueOfCopy(init.headers, body)) real.headers.delete(name);
      }
      this.#body = null;
      this.#status = real.status;
      this.#statusText = real.statusText;
      this.#fields = null;
      this.#headers = real.headers;
      this.#real = real;
      return;
    }
    this.#body = plain;
    this.#status = init?.status ?? 200;
    this.#statusText = init?.statusText ?? '';
    this.#fields = fields;
    this.#real = null;
  }

  static error(): Real {
    return NativeResponse.error();
  }

  static redirect(...args: Parameters<typeof NativeResponse.redirect>): Real {
    return NativeResponse.redirect(...args);
  }

  static json(data: unknown, init?: Init): LightResponse {
    const text = JSON.stringify(data) as string | undefined;
    if (text === undefined) throw new TypeError('Value is not JSON serializable');
    const headers = new Headers(init?.headers);
    if (!headers.has('content-type')) headers.set('content-type', 'application/json');
    return new LightResponse(text, { ...statusOf(init), headers });
  }

  /** A body that can be sent as it is; undefined: by the stream of `body`. */
  static plainBodyOf(response: object): PlainBody | undefined {
    if (!(#body in response)) return undefined;
    if (response.#isUsed) throw unusable();
    return response.#real === null ? response.#body : undefined;
  }

  /** Fields of a response whose `headers` were never used. */
  static plainFieldsOf(response: object): readonly string[] | null {
    return #body in response ? response.#withType() : null;
  }

  get status(): number {
    return this.#status;
  }

  get statusText(): string {
    return this.#statusText;
  }

  get ok(): boolean {
    return this.#status >= 200 && this.#status < 300;
  }

  get headers(): Headers {
    if (this.#headers === null) {
      this.#headers = new Headers(pairsOf(this.#withType() ?? NO_FIELDS));
      this.#fields = null;
    }
    return this.#headers;
  }

  get type(): string {
    return 'default';
  }

  get url(): string {
    return '';
  }

  get redirected(): boolean {
    return false;
  }

  get body(): Real['body'] {
    return this.#body === null && this.#real === null ? null : this.#become().body;
  }

  get bodyUsed(): boolean {
    return this.#isUsed || this.#real?.bodyUsed === true;
  }

  async text(): Promise<string> {
    return typeof this.#body === 'string' && this.#real === null ? this.#takeText(this.#body) : this.#become().text();
  }

  async json(): Promise<unknown> {
    return this.#real === null ? JSON.parse(await this.text()) : this.#real.json();
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return this.#become().arrayBuffer();
  }

  async bytes(): Promise<Uint8Array<ArrayBuffer>> {
    return new Uint8Array(await this.#become().arrayBuffer());
  }

  async blob(): Promise<Blob> {
    return this.#become().blob() as Promise<Blob>;
  }

  async formData(): Promise<FormData> {
    return this.#become().formData();
  }

  clone(): Real {
    if (this.bodyUsed) throw unusable();
    const copy = this.#become().clone();
    // The fields as they are now: those of the real one may be older.
    return new NativeResponse(copy.body, { status: this.#status, statusText: this.#statusText, headers: this.headers });
  }

  get [Symbol.toStringTag](): string {
    return 'Response';
  }

  #takeText(body: string): string {
    if (this.#isUsed) throw unusable();
    this.#isUsed = true;
    return body.toWellFormed();
  }

  /** A string sets its content type, unless the fields do. */
  #withType(): readonly string[] | null {
    const fields = this.#fields;
    if (fields === null || typeof this.#body !== 'string') return fields;
    for (let i = 0; i < fields.length; i += 2) {
      if (fields[i]!.length === 12 && fields[i]!.toLowerCase() === 'content-type') return fields;
    }
    return fields.length === 0 ? ['content-type', TEXT] : [...fields, 'content-type', TEXT];
  }

  #become(): Real {
    if (this.#real === null) {
      const init = { status: this.#status, statusText: this.#statusText, headers: this.headers };
      this.#real = new NativeResponse(this.#body, init);
      if (this.#isUsed) this.#real.body?.cancel().catch(() => {});
    }
    return this.#real;
  }
}
Object.setPrototypeOf(LightResponse.prototype, NativeResponse.prototype);
standFor(LightResponse, NativeResponse);
Object.defineProperty(LightResponse, 'name', { value: 'Response' });

/** undefined: not plain. Bytes are copied, as the standard requires: the caller may go on writing into them. */
function plainBody(body: Body): PlainBody | undefined {
  if (typeof body === 'string') return body;
  if (body === null || body === undefined) return null;
  if (body instanceof Uint8Array) return new Uint8Array(body);
  return body instanceof ArrayBuffer ? new Uint8Array(body.slice(0)) : undefined;
}

function isPlainInit(init: Init, body: PlainBody): boolean {
  if (init === undefined || init === null) return true;
  const { status, statusText } = init;
  if (statusText !== undefined && (typeof statusText !== 'string' || !/^[\x20-\x7e]*$/.test(statusText))) return false;
  if (status === undefined) return true;
  if (!Number.isInteger(status) || status < 200 || status > 599) return false;
  return body === null || (status !== 204 && status !== 205 && status !== 304);
}

/** Of a record with strings that need no conversion; undefined: `Headers` decides. */
function plainFields(headers: unknown, body: Body): readonly string[] | undefined {
  if (headers === undefined) return NO_FIELDS;
  if (headers instanceof Headers) return withoutFields(fieldsOf(headers), untrueOfCopy(headers, body));
  if (typeof headers !== 'object' || headers === null || Symbol.iterator in headers) return undefined;
  const fields: string[] = [];
  for (const name of Object.keys(headers)) {
    const value: unknown = (headers as Record<string, unknown>)[name];
    if (typeof value !== 'string' || !PLAIN_VALUE.test(value) || !TOKEN.test(name)) return undefined;
    fields.push(name, value);
  }
  return fields;
}

/** Each Set-Cookie on its own. */
export function fieldsOf(headers: Headers): string[] {
  const fields: string[] = [];
  for (const [name, value] of headers) fields.push(name, value);
  return fields;
}

/** @param names in lower case, as those of `Headers` are */
export function withoutFields(fields: readonly string[], names: readonly string[]): readonly string[] {
  if (names.length === 0) return fields;
  const kept: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    if (!names.includes(fields[i]!.toLowerCase())) kept.push(fields[i]!, fields[i + 1]!);
  }
  return kept;
}

function pairsOf(fields: readonly string[]): [string, string][] {
  const pairs: [string, string][] = [];
  for (let i = 0; i < fields.length; i += 2) pairs.push([fields[i]!, fields[i + 1]!]);
  return pairs;
}

function statusOf(init: Init): { status?: number; statusText?: string } {
  return {
    ...(init?.status === undefined ? {} : { status: init.status }),
    ...(init?.statusText === undefined ? {} : { statusText: init.statusText }),
  };
}
