/**
 * Follows the bytes of one answer that Node's server writes. Node sends the length that a handler declares for a
 * body, true or not, and a client takes excess bytes for the next answer; the guard checks it against the actual
 * bytes. Pure. Costs some 1 µs of the 50 that Node's server takes for a request.
 */
import type { ServerError } from '../../errors/index.js';
import { connectionOptions, statusHasBody, wrongLength } from '../framing-fields.js';

type Encoding = 'latin1' | 'utf8';
/** The bytes that may be sent, or why none may. */
export type Passed =
  | { readonly data: Uint8Array | string; readonly encoding: Encoding }
  | { readonly fault: ServerError };

const STATUS_LINE = /^HTTP\/1\.[01] (\d{3})/;
const FRAMING = /\r\n(content-length|transfer-encoding|connection|upgrade):[ \t]*([^\r\n]*)/gi;
const HEAD_END = '\r\n\r\n';
/** Node writes a head in one piece. */
const MAX_HEAD_CHARS = 1024 * 1024;

/** Bytes of the body are not counted: it is chunked, or ends with the connection. */
const UNCOUNTED = -1;

export class AnswerGuard {
  readonly #isHead: boolean;
  readonly #closes: boolean;
  /** Of a head that is not complete. */
  #held = '';
  #isBody = false;
  #left = UNCOUNTED;
  #declared = '';
  /** Bytes beyond an interim answer were let through. */
  hasBegun = false;
  /** Only the end of the connection ends this answer. */
  endsWithConnection = false;

  /** @param closes the connection ends behind the answer, whatever Node writes */
  constructor(isHead: boolean, closes: boolean) {
    this.#isHead = isHead;
    this.#closes = closes;
  }

  /** To be asked when the answer has ended; undefined: it has the declared length. */
  get shortFault(): ServerError | undefined {
    if (this.#left <= 0) return undefined;
    return wrongLength(this.#declared, `${Number(this.#declared) - this.#left} bytes`);
  }

  /** @param encoding of a text */
  pass(data: Uint8Array | string, encoding: Encoding): Passed {
    if (!this.#isBody) return this.#passHead(data, encoding);
    if (this.#left === UNCOUNTED) return { data, encoding };
    const bytes = typeof data === 'string' ? Buffer.byteLength(data, encoding) : data.length;
    return this.#count(bytes) ?? { data, encoding };
  }

  #count(bytes: number): { readonly fault: ServerError } | undefined {
    if (bytes > this.#left) {
      const total = Number(this.#declared) - this.#left + bytes;
      return { fault: wrongLength(this.#declared, `${total} bytes`) };
    }
    this.#left -= bytes;
    return undefined;
  }

  #passHead(data: Uint8Array | string, encoding: Encoding): Passed {
    const isWhole = typeof data === 'string' && this.#held === '';
    // As latin1, bytes of any encoding stay as they are.
    const text = isWhole ? data : this.#held + latin1Of(data, encoding);
    this.#held = '';
    let out = '';
    let at = 0;
    while (!this.#isBody) {
      const end = text.indexOf(HEAD_END, at);
      if (end === -1) return this.#hold(text.slice(at), out);
      const head = this.#readHead(text.slice(at, end));
      if (typeof head !== 'string') return head;
      out += head + HEAD_END;
      at = end + HEAD_END.length;
    }
    const rest = text.slice(at);
    const fault =
      this.#left === UNCOUNTED ? undefined : this.#count(Buffer.byteLength(rest, isWhole ? encoding : 'latin1'));
    if (fault !== undefined) return fault;
    this.hasBegun = true;
    return { data: out + rest, encoding: isWhole ? encoding : 'latin1' };
  }

  #hold(text: string, out: string): Passed {
    if (text.length > MAX_HEAD_CHARS) return { fault: wrongLength('nothing', 'a head without an end') };
    this.#held = text;
    return { data: out, encoding: 'latin1' };
  }

  /** @returns the head as it may be sent */
  #readHead(head: string): string | { readonly fault: ServerError } {
    const said = saidOf(head);
    const isInterim = said.status >= 100 && said.status < 200;
    this.#isBody = !isInterim;
    if (isInterim) return without(head, 'content-length', 'transfer-encoding');
    const framed = this.#frame(head, said);
    return typeof framed === 'string' && said.hasUpgrade ? this.#withUpgrade(framed, said) : framed;
  }

  #frame(head: string, { status, lengths, coding }: Said): string | { readonly fault: ServerError } {
    const [length] = lengths;
    const hasNone = this.#isHead || !statusHasBody(status);
    if (hasNone) this.#left = 0;
    if (coding !== '' || status === 204) return this.#frameByCoding(head, coding, hasNone);
    if (length === undefined) {
      this.endsWithConnection = !hasNone;
      return head;
    }
    const isOne = /^\d{1,15}$/.test(length) && lengths.every((other) => other === length);
    if (!isOne) return { fault: wrongLength(lengths.join(', '), 'no number of bytes') };
    if (!hasNone) {
      this.#declared = length;
      this.#left = Number(length);
    }
    return lengths.length === 1 ? head : `${without(head, 'content-length')}\r\nContent-Length: ${length}`;
  }

  /** A coding comes before a length (RFC 9112, 6.3): both together are a trap for an intermediary. */
  #frameByCoding(head: string, coding: string, hasNone: boolean): string {
    const isChunked = /(^|,)[ \t]*chunked$/.test(coding);
    this.endsWithConnection = !isChunked && !hasNone;
    if (isChunked && (this.#isHead || !hasNone)) return without(head, 'content-length');
    const bare = without(head, 'content-length', 'transfer-encoding');
    return this.endsWithConnection ? `${without(bare, 'connection')}\r\nConnection: close` : bare;
  }

  /** `Upgrade` never goes without `Connection: upgrade` (RFC 9110, 7.8), nor that without the end that is to come. */
  #withUpgrade(head: string, { status, connection }: Said): string {
    const options = connectionOptions(connection);
    const isMeant = options.includes('upgrade') || status === 426;
    if (!isMeant) return without(head, 'upgrade');
    const missing = [
      ...(this.#closes && !options.includes('close') ? ['close'] : []),
      ...(options.includes('upgrade') ? [] : ['upgrade']),
    ];
    if (missing.length === 0) return head;
    const kept = options.filter((option) => !(this.#closes && option === 'keep-alive'));
    return `${without(head, 'connection')}\r\nConnection: ${[...kept, ...missing].join(', ')}`;
  }
}

interface Said {
  readonly status: number;
  readonly lengths: readonly string[];
  /** '' for none. */
  readonly coding: string;
  readonly connection: string;
  readonly hasUpgrade: boolean;
}

function saidOf(head: string): Said {
  const values: Record<string, string[]> = Object.create(null);
  for (const [, name = '', value = ''] of head.matchAll(FRAMING)) {
    const lower = name.toLowerCase();
    values[lower] ??= [];
    values[lower].push(value.trim());
  }
  return {
    status: Number(STATUS_LINE.exec(head)?.[1] ?? 0),
    lengths: values['content-length'] ?? [],
    coding: (values['transfer-encoding'] ?? []).join(', ').toLowerCase(),
    connection: (values['connection'] ?? []).join(', '),
    hasUpgrade: values['upgrade'] !== undefined,
  };
}

function latin1Of(data: Uint8Array | string, encoding: Encoding): string {
  if (typeof data === 'string' && encoding === 'latin1') return data;
  const bytes = typeof data === 'string' ? Buffer.from(data) : Buffer.from(data.buffer, data.byteOffset, data.length);
  return bytes.toString('latin1');
}

function without(head: string, ...names: string[]): string {
  if (!names.some((name) => head.toLowerCase().includes(`\r\n${name}:`))) return head;
  return head
    .split('\r\n')
    .filter((line) => !names.some((name) => line.toLowerCase().startsWith(`${name}:`)))
    .join('\r\n');
}
