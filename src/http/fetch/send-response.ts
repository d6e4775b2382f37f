import type { Exchange, FieldList } from '../exchange.js';
import { fieldsOf, LightResponse } from './light-response.js';

/** Of one hop only: the connection to the client has its own. */
const OF_ONE_HOP = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade']);
/** What `fetch` has decoded on the way, so that it is not true of the body any more. */
const OF_DECODED_BODY = new Set(['content-encoding', 'content-length']);

/**
 * Sends what a handler returned. Strings and bytes go at once (undefined comes back); everything else by its stream, at
 * the pace of the client.
 */
export function sendResponse(exchange: Exchange, response: Response): undefined | Promise<void> {
  const plain = LightResponse.plainBodyOf(response);
  const body = plain === undefined ? response.body : null;
  if (body?.locked || response.bodyUsed) throw new TypeError('The body of the Response is locked, or was read already');
  if (exchange.isGone) return body === null ? undefined : cancel(body);
  if (response.status < 200) throw new RangeError(`A response with status ${response.status} cannot be sent`);
  const fields = LightResponse.plainFieldsOf(response) ?? sendableFields(response);
  if (body !== null) return sendStream(exchange, response, fields, body);
  if (exchange.method === 'HEAD' && !plain?.length) {
    // Not `respond`: it would say that GET gets nothing.
    exchange.begin(response.status, response.statusText, fields);
    exchange.end();
  } else exchange.respond(response.status, response.statusText, fields, plain ?? '');
  return undefined;
}

function sendableFields(response: Response): string[] {
  const fields = fieldsOf(response.headers);
  const isFetched = response.url !== '';
  const isDecoded = isFetched && response.headers.has('content-encoding');
  if (!isFetched && !response.headers.has('transfer-encoding')) return fields;
  const sent: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i]!;
    const isLeftOut = (isFetched && OF_ONE_HOP.has(name)) || (isDecoded && OF_DECODED_BODY.has(name));
    if (name !== 'transfer-encoding' && !isLeftOut) sent.push(name, fields[i + 1]!);
  }
  return sent;
}

async function sendStream(exchange: Exchange, response: Response, fields: FieldList, body: Stream) {
  if (exchange.method === 'HEAD') {
    exchange.begin(response.status, response.statusText, fields);
    exchange.end();
    return cancel(body);
  }
  const reader = body.getReader();
  const stop = () => reader.cancel(new Error('The client has gone')).catch(() => {});
  exchange.begin(response.status, response.statusText, fields);
  exchange.onGone(stop);
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    if (exchange.isGone) return void stop();
    if (!exchange.write(bytes(next.value))) await exchange.drain();
  }
  if (!exchange.isGone) exchange.end();
}

type Stream = NonNullable<Response['body']>;

function bytes(piece: unknown): Uint8Array {
  if (piece instanceof Uint8Array) return piece;
  throw new TypeError(`The body of a Response must be a stream of Uint8Array, and has ${typeof piece}`);
}

async function cancel(body: Stream): Promise<void> {
  // A stream that fails while it is thrown away has nobody to tell.
  if (!body.locked) await body.cancel().catch(() => {});
}
