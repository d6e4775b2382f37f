/** `rateLimit` by address or header: asks once for each request that would go to a worker. Runs in the reactor. */
import type { ReactorRateLimit } from '../../../options/for-reactor.js';
import { ProxyTrust } from '../../../protocol/http/forwarded.js';
import { Arena } from '../../../shared/arena.js';
import { keyOfAddress, keyOfHeader, RequestLimit } from '../../../shared/request-limit.js';
import type { Connection } from '../../connection.js';
import type { Cursor } from './cursor.js';
import { LazyFields } from './lazy-fields.js';
import type { Http1Parts } from './parts.js';

const ADMITTED = -1;

export class RateCheck {
  readonly #limit: RequestLimit;
  readonly #header: string;
  readonly #trust: ProxyTrust | undefined;
  readonly #peerOf: (connection: Connection) => string;

  constructor(
    limit: RequestLimit,
    by: ReactorRateLimit['by'],
    trust: ProxyTrust | undefined,
    peerOf: (connection: Connection) => string,
  ) {
    this.#limit = limit;
    this.#header = by === 'address' ? '' : by.header;
    this.#trust = trust;
    this.#peerOf = peerOf;
  }

  /** @returns false: it is refused, `http.verdict` says for how long */
  admits(cursor: Cursor): boolean {
    const { http } = cursor;
    if (http.verdict === 0) {
      const waitsMs = this.#limit.take(this.#keyOf(cursor));
      http.verdict = waitsMs === 0 ? ADMITTED : waitsMs;
    }
    return http.verdict === ADMITTED;
  }

  #keyOf({ connection, head, bytes, at, headBytes }: Cursor): string {
    const fields = new LazyFields(bytes, at + head.linesStart, at + headBytes - 2);
    const value = this.#header === '' ? undefined : fields.get(this.#header);
    if (value !== undefined) return keyOfHeader(value);
    const peer = this.#peerOf(connection);
    const forwarded = this.#trust?.read(peer, (name) => fields.get(name));
    return keyOfAddress(forwarded?.client?.remoteAddress ?? peer);
  }
}

export function rateCheckOf({ options, context }: Http1Parts): RateCheck | undefined {
  const { rateLimit, trustProxy } = options;
  if (rateLimit === null) return undefined;
  const limit = new RequestLimit(Arena.open(rateLimit.arena), rateLimit);
  const trust = trustProxy === null ? undefined : new ProxyTrust(trustProxy);
  const peerOf = ({ sessionId }: Connection): string => context.table.info(sessionId)?.remoteAddress ?? '';
  return new RateCheck(limit, rateLimit.by, trust, peerOf);
}
