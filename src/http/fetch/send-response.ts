import type { Exchange, FieldList } from '../exchange.js';
import { testOf } from './coded.js';
import { isDecodedBody, OF_CODED_BODY, untrueOfFetched } from './fetched.js';
import { fieldsOf, LightResponse, withoutFields } from './light-response.js';

/**
 * Sends the result of a handler. Strings and bytes go at once (undefined comes back); everything else by its stream,
 * at the pace of the client. The exchange does the framing; `content-encoding` leaves here only if it is true.
 */
export function sendResponse(exchange: Exchange, response: Response): undefined | Promise<void> {
  const plain = LightResponse.plainBodyOf(response);
  const body = plain === undefined ? response.body : null;
  if (body?.locked || response.bodyUsed) throw new TypeError('The body of the Response is locked, or was read already');
  if (exchange.isGone) return body === null ? undefined : cancel(body);
  if (response.status < 200) throw new RangeError(`A response with status ${response.status} cannot be sent`);
  const fields = LightResponse.plainFieldsOf(response) ?? sendableFields(response, body);
  if (body !== null) return sendStream(exchange, response, fields, body);
  if (exchange.method === 'HEAD' && !plain?.length) {
    // Not `respond`: its `content-length` would announce 0 bytes for GET.
    exchange.begin(response.status, response.statusText, fields);
    exchange.end();
  } else exchange.respond(response.status, response.statusText, trueOf(plain ?? '', fields), plain ?? '');
  return undefined;
}

function sendableFields(response: Response, body: Stream | null): FieldList {
  const fields = fieldsOf(response.headers);
  if (response.url !== '') return withoutFields(fields, untrueOfFetched(response.headers));
  return body !== null && isDecodedBody(body) ? withoutFields(fields, OF_CODED_BODY) : fields;
}

/** The fields, without a `content-encoding` that is not the body's. */
function trueOf(body: string | Uint8Array, fields: FieldList): FieldList {
  const coding = codingIn(fields);
  const isCoded = coding === undefined ? undefined : testOf(coding);
  if (isCoded === undefined || body.length === 0) return fields;
  // Text is in none of these codings: it would not be UTF-8.
  return typeof body !== 'string' && isCoded(body, true) ? fields : withoutFields(fields, OF_CODED_BODY);
}

function codingIn(fields: FieldList): string | undefined {
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    if (name.length === 16 && name.toLowerCase() === 'content-encoding') return fields[i + 1];
  }
  return undefined;
}

async function sendStream(exchange: Exchange, response: Response, fields: FieldList, body: Stream): Promise<void> {
  if (exchange.method === 'HEAD') {
    exchange.begin(response.status, response.statusText, fields);
    exchange.end();
    return cancel(body);
  }
  const reader = body.getReader();
  const stop = () => reader.cancel(new Error('The client has gone')).catch(() => {});
  const beginning = new Beginning(reader);
  const isCoded = testOf(codingIn(fields) ?? '');
  if (isCoded === undefined) {
    exchange.begin(response.status, response.statusText, fields);
    exchange.onGone(stop);
  } else {
    exchange.onGone(stop);
    const isTrue = await beginning.passes(isCoded);
    exchange.begin(response.status, response.statusText, isTrue ? fields : withoutFields(fields, OF_CODED_BODY));
  }
  for (let next = await beginning.read(); !next.done; next = await beginning.read()) {
    if (exchange.isGone) return void stop();
    if (!exchange.write(bytes(next.value))) await exchange.drain();
  }
  if (!exchange.isGone) exchange.end();
}

type Stream = NonNullable<Response['body']>;
interface Next {
  readonly done: boolean;
  readonly value?: unknown;
}
interface Reader {
  read(): Promise<Next>;
}

/** Fewer bytes of text may look like a coding that has no mark of its own. */
const TELLING_BYTES = 256;
/** The head waits this long for more bytes, when some are there. */
const WAIT_MS = 10;

/** A stream whose beginning was inspected before the head of its answer. */
class Beginning {
  readonly #reader: Reader;
  readonly #taken: Promise<Next>[] = [];

  constructor(reader: Reader) {
    this.#reader = reader;
  }

  read(): Promise<Next> {
    return this.#taken.shift() ?? this.#reader.read();
  }

  /** Whether the body is in the coding of its field, by its first bytes. An empty one passes. */
  async passes(isCoded: NonNullable<ReturnType<typeof testOf>>): Promise<boolean> {
    const first = await this.#ahead();
    if (first.done) return true;
    const piece = bytes(first.value);
    if (piece.length >= TELLING_BYTES) return isCoded(piece, false);
    const second = await Promise.race([this.#ahead(), later()]);
    return isCoded(piece, second?.done === true);
  }

  #ahead(): Promise<Next> {
    const next = this.#reader.read();
    next.catch(() => {}); // its reader gets the error
    this.#taken.push(next);
    return next;
  }
}

function later(): Promise<undefined> {
  return new Promise((resolve) => void setTimeout(() => resolve(undefined), WAIT_MS));
}

function bytes(piece: unknown): Uint8Array {
  if (piece instanceof Uint8Array) return piece;
  throw new TypeError(`The body of a Response must be a stream of Uint8Array, and has ${typeof piece}`);
}

async function cancel(body: Stream): Promise<void> {
  // Errors of a stream that is discarded are ignored.
  if (!body.locked) await body.cancel().catch(() => {});
}
