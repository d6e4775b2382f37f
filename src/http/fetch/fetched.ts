/**
 * Answers of other servers that an app passes on. `fetch` decodes their bodies, and leaves `content-encoding` and
 * `content-length` as they were sent (Fetch standard, HTTP-network fetch): copied into an answer of this server
 * they would not be true of its body. Runs in a worker.
 */

import { connectionOptions } from '../framing-fields.js';

type Stream = NonNullable<Response['body']>;

/** By the `headers` of the answer, which are immutable; null: it had no body. */
const bodies = new WeakMap<Headers, Stream | null>();
const decodedBodies = new WeakSet<Stream>();

/** The codings that Node's `fetch` decodes; where one of several codings is another, it decodes none of them. */
const DECODED = new Set(['br', 'deflate', 'gzip', 'x-gzip']);

/** Records a response of `fetch`. */
export function noteFetched(response: Response): Response {
  const { body, headers } = response;
  bodies.set(headers, body);
  if (body !== null && isDecodedBy(headers)) decodedBodies.add(body);
  return response;
}

/** True when `fetch` has removed the codings. */
function isDecodedBy(headers: Headers): boolean {
  const codings = headers.get('content-encoding');
  return codings?.split(',').every((one) => DECODED.has(one.trim().toLowerCase())) === true;
}

export function isDecodedBody(body: Stream): boolean {
  return decodedBodies.has(body);
}

/** Fields of a fetched answer that must not be passed on with its body. */
export function untrueOfFetched(headers: Headers): readonly string[] {
  const ofOneHop = [...OF_ONE_HOP, ...connectionOptions(headers.get('connection') ?? '')];
  return isDecodedBy(headers) ? [...ofOneHop, ...OF_CODED_BODY] : ofOneHop;
}

/**
 * The same for a copy of `headers`.
 * @param body of the copy, as the app gave it
 */
export function untrueOfCopy(headers: Headers, body: unknown): readonly string[] {
  const fetched = bodies.get(headers);
  if (fetched === undefined) return [];
  const untrue = untrueOfFetched(headers);
  // In any case it is not the fetched body, but made from it.
  const isOther = body !== null && body !== undefined && body !== fetched;
  return isOther ? [...untrue, 'content-length'] : untrue;
}

/** Fields between that server and this one; the exchange leaves the others of their kind out of each answer. */
const OF_ONE_HOP: readonly string[] = ['connection', 'trailer', 'upgrade'];
export const OF_CODED_BODY: readonly string[] = ['content-encoding', 'content-length'];
