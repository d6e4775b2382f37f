/** Header fields between HTTP/2 and the user's objects: requests as they came, answers as Node's `http2` takes them. */
import type { OutgoingHttpHeaders } from 'node:http2';
import { isAuthority } from '../../protocol/http/authority.js';
import { httpDate } from '../../protocol/http/date.js';
import { methods } from '../../protocol/http/methods.js';
import type { BodyCut, CutReason } from '../cut.js';
import type { FieldList } from '../exchange.js';
import { connectionOptions, FieldKind, kindOfField, namesFields, withoutNamedFields } from '../framing-fields.js';

export interface RequestHead {
  readonly method: string;
  /** `:path`. */
  readonly target: string;
  /** Without pseudo fields; `host` is there, `cookie` at most once. */
  readonly rawHeaders: readonly string[];
}

/** An answer of the server itself. */
export interface Refusal {
  readonly status: number;
  readonly why: string;
  /** The client may come again after that. */
  readonly retryAfterSeconds?: number;
}

export interface HeadLimits {
  readonly headerLimit: number;
  readonly bodyLimit: number;
}

/** The size of a field beyond its letters (RFC 9113, 6.5.2). */
const FIELD_BYTES = 32;

/**
 * @param raw name, value, name, value …, with pseudo fields. @returns a refusal where the request must not be served
 */
export function readHead(raw: readonly string[], { headerLimit, bodyLimit }: HeadLimits): RequestHead | Refusal {
  const pseudo: Record<string, string> = Object.create(null);
  const rawHeaders: string[] = [];
  const hosts = new Set<string>();
  let cookieAt = -1;
  let length = 0;
  let bytes = 0;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] as string;
    const value = raw[i + 1] as string;
    bytes += name.length + value.length + FIELD_BYTES;
    if (name.startsWith(':')) {
      pseudo[name] = value;
      continue;
    }
    if (name === 'cookie') {
      if (cookieAt >= 0) {
        rawHeaders[cookieAt] += `; ${value}`; // RFC 9113, 8.2.3
        continue;
      }
      cookieAt = rawHeaders.length + 1;
    } else if (name === 'host') hosts.add(value);
    else if (name === 'content-length') length = Number(value);
    rawHeaders.push(name, value);
  }
  // Node applies the limit only when the client has confirmed it.
  if (bytes > headerLimit) return { status: 431, why: `The header has more than ${headerLimit} bytes.` };
  const { ':method': method = '', ':path': target = '', ':authority': authority } = pseudo;
  if (hosts.size === 0 && authority !== undefined) rawHeaders.unshift('host', authority);
  if (authority !== undefined) hosts.add(authority);
  const refusal = refusalOf(method, target, hosts) ?? (length > bodyLimit ? tooLarge(bodyLimit) : undefined);
  return refusal ?? { method, target, rawHeaders };
}

export function tooLarge(bodyLimit: number): Refusal {
  return { status: 413, why: `The body has more than ${bodyLimit} bytes, which is the bodyLimit.` };
}

/** What readers of the body get in place of its rest, where the client gets a refusal. */
export function cutBy({ status, why }: Refusal, reason: CutReason): BodyCut {
  return { reason, status, why: why.replace(/\.$/, '') }; // a part of a sentence
}

const known = new Set<string>(methods);

function refusalOf(method: string, target: string, hosts: ReadonlySet<string>): Refusal | undefined {
  if (method === 'CONNECT') return { status: 405, why: 'The server opens no tunnels.' };
  if (!known.has(method)) return { status: 501, why: 'The method is not known.' };
  if (!isTarget(target) && !(target === '*' && method === 'OPTIONS')) {
    return { status: 400, why: 'The target is not a path.' };
  }
  const [host = ''] = hosts;
  const bytes = Buffer.from(host, 'latin1');
  const isOne = hosts.size === 1 && isAuthority(bytes, 0, bytes.length);
  return isOne ? undefined : { status: 400, why: 'There must be one host, and a valid one.' };
}

/** Valid in a request line of HTTP/1 too: visible ASCII without a fragment. */
function isTarget(target: string): boolean {
  return /^\/[!"$-~]*$/.test(target);
}

/** @param bodyBytes value of `content-length`, whatever the fields contain; −1: none */
export function answerHeaders(status: number, fields: FieldList, bodyBytes: number): OutgoingHttpHeaders {
  const headers = toHeaders(fields);
  headers[':status'] = status;
  headers['date'] ??= httpDate();
  if (bodyBytes >= 0) headers['content-length'] = String(bodyBytes);
  return headers;
}

/**
 * Without the fields of framing and of connections, which HTTP/2 lacks. Several lines of one name become an array.
 */
export function toHeaders(given: FieldList): OutgoingHttpHeaders {
  const fields = withoutHop(given);
  const headers: OutgoingHttpHeaders = Object.create(null);
  for (let i = 0; i < fields.length; i += 2) {
    const name = (fields[i] as string).toLowerCase();
    const value = fields[i + 1] as string;
    const kind = kindOfField(name);
    if ((kind !== FieldKind.plain && kind !== FieldKind.date) || name.startsWith(':')) continue;
    const there = headers[name];
    if (there === undefined) headers[name] = value;
    else if (Array.isArray(there)) there.push(value);
    else headers[name] = [String(there), value];
  }
  return headers;
}

/** Fields named by `Connection` go with it. */
function withoutHop(fields: FieldList): FieldList {
  let connection = '';
  for (let i = 0; i < fields.length; i += 2) {
    if (kindOfField(fields[i] as string) === FieldKind.connection) connection += `${fields[i + 1]},`;
  }
  if (connection === '') return fields;
  const options = connectionOptions(connection);
  return namesFields(options) ? withoutNamedFields(fields, options) : fields;
}

/** Names for which Node takes a single line: the last one counts. `set-cookie` may have any number. */
export function withoutRepeats(headers: OutgoingHttpHeaders): OutgoingHttpHeaders {
  for (const [name, value] of Object.entries(headers)) {
    if (Array.isArray(value) && name !== 'set-cookie') headers[name] = value[value.length - 1];
  }
  return headers;
}
