/** The option `trustProxy`: which proxies may name the client of a request. */
import { holdEveryClient } from './address-span.js';
import { flag, integer, isPlainObject, isRange, jsonOrText, type Kind, listOf, refuse } from './check.js';
import { refuseUnknownNames } from './known-names.js';

/** The fields by which proxies name a client: those in use everywhere, and that of RFC 7239. */
export const forwardedFields = ['x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host', 'forwarded'] as const;
/** A field by which proxies name a client. */
export type ForwardedField = (typeof forwardedFields)[number];

/** The option `trustProxy`: proxies that name the client of each request. */
export interface TrustProxyOptions {
  /**
   * Addresses and ranges of the proxies, or `'loopback'`, `'private'` (10/8, 172.16/12, 192.168/16, fc00::/7) and `'unix'`
   * (clients of a unix socket). A number: so many proxies stand in front, whatever their addresses.
   */
  readonly from: number | string | readonly string[];
  /**
   * What they are believed. Default: all four; `forwarded` only where a request has no `X-Forwarded-For`. A field that the
   * proxies neither set nor remove must not be here: clients could send it themselves.
   */
  readonly fields?: readonly ForwardedField[];
}

export interface ResolvedTrustProxy {
  /** Addresses and ranges. */
  readonly from: readonly string[];
  /** Clients of a unix socket are proxies. */
  readonly unix: boolean;
  /** Above 0: so many proxies, whatever their addresses. */
  readonly hops: number;
  readonly fields: readonly ForwardedField[];
}

/** What the names stand for. */
const named: Readonly<Record<string, readonly string[]>> = {
  loopback: ['127.0.0.0/8', '::1'],
  private: ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'],
};
const UNIX = 'unix';
const FROM =
  'addresses and ranges of proxies, "loopback", "private", "unix", or a number of proxies from 1 to 32; not all addresses, or every client could name itself';
const EXPECTED = `false, or ${FROM}; or {from, fields}`;
const FIELDS = `a list of ${forwardedFields.map((name) => `"${name}"`).join(', ')}`;
const hopsKind = integer({ min: 1, max: 32 });

/** null: none. */
export function trustProxy(): Kind<TrustProxyOptions | TrustProxyOptions['from'] | false, ResolvedTrustProxy | null> {
  const word = flag();
  return {
    type: 'TrustProxyOptions | number | string | string[] | false',
    expected: EXPECTED,
    show: (value) => (value === null ? 'false' : JSON.stringify(value)),
    parse(given) {
      const json = jsonOrText(given);
      if (typeof json !== 'string') return json;
      if (/^[1-9]\d*$/.test(json)) return Number(json);
      const flagged = word.parse?.(json);
      return typeof flagged === 'boolean' ? flagged : listOf(json);
    },
    check(name, value) {
      if (value === false || value === null) return null;
      if (value === true) refuse('ERR_OPTION_VALUE', name, EXPECTED, value);
      return Object.freeze(isPlainObject(value) ? checkLong(name, value) : checkShort(name, value));
    },
  };
}

function checkLong(name: string, given: Record<string, unknown>): ResolvedTrustProxy {
  refuseUnknownNames(name, given, ['from', 'fields']);
  return {
    ...checkFrom(`${name}.from`, given['from'], FROM),
    fields: checkFields(`${name}.fields`, given['fields'] ?? forwardedFields),
  };
}

function checkShort(name: string, value: unknown): ResolvedTrustProxy {
  return { ...checkFrom(name, value, EXPECTED), fields: forwardedFields };
}

function checkFrom(name: string, value: unknown, expected: string): Omit<ResolvedTrustProxy, 'fields'> {
  if (typeof value === 'number') return { from: [], unix: false, hops: hopsKind.check(name, value) };
  const items: unknown = typeof value === 'string' ? [value] : value;
  if (!Array.isArray(items)) refuse('ERR_OPTION_TYPE', name, expected, value);
  if (items.length === 0) refuse('ERR_OPTION_VALUE', name, expected, value);
  const from = items.flatMap((item: unknown) => rangesOf(name, item, expected));
  if (holdEveryClient(from)) refuse('ERR_OPTION_VALUE', name, expected, value);
  return { from: Object.freeze(from), unix: items.includes(UNIX), hops: 0 };
}

function rangesOf(name: string, item: unknown, expected: string): readonly string[] {
  if (item === UNIX) return [];
  if (typeof item === 'string' && Object.hasOwn(named, item)) return named[item] as readonly string[];
  if (!isRange(item) || holdEveryClient([item])) refuse('ERR_OPTION_VALUE', name, expected, item);
  return [item];
}

function checkFields(name: string, value: unknown): readonly ForwardedField[] {
  if (!Array.isArray(value)) refuse('ERR_OPTION_TYPE', name, FIELDS, value);
  const wanted = value.map((item: unknown) => {
    const lower = typeof item === 'string' ? item.toLowerCase() : item;
    return forwardedFields.find((field) => field === lower) ?? refuse('ERR_OPTION_VALUE', name, FIELDS, item);
  });
  if (wanted.length === 0) refuse('ERR_OPTION_VALUE', name, FIELDS, value);
  return Object.freeze(wanted);
}

/** Of one listen port: only a unix socket has clients without an address. */
export function trustOfPort({
  trustProxy: trust,
  type,
}: {
  readonly trustProxy: ResolvedTrustProxy | null;
  readonly type: string;
}): ResolvedTrustProxy | null {
  return trust === null ? null : { ...trust, unix: trust.unix && type === 'unix' };
}
