/** Options of ports that speak WebSocket. */
import { type Kind, listOf, objectOrFalse, refuse, size, text } from './check.js';
import { refuseUnknownNames } from './known-names.js';
import { MIB } from './size.js';

/** What becomes of a member of a room that does not keep up. */
export const slowConsumers = ['close', 'drop', 'skipToLatest'] as const;
export type SlowConsumer = (typeof slowConsumers)[number];

/** The option `websocketCompression`. */
export interface MessageCompressionOptions {
  /** Messages of fewer bytes are sent as they are. Default: `1024`. */
  readonly threshold?: number | string;
}

export interface ResolvedMessageCompression {
  readonly threshold: number;
}

const threshold = size({ min: 0, max: 64 * MIB });

/** null: nothing is compressed. */
export function messageCompression(): Kind<MessageCompressionOptions | boolean, ResolvedMessageCompression | null> {
  return objectOrFalse({
    type: 'MessageCompressionOptions | boolean',
    expected: 'true, false, or {threshold}',
    takesTrue: true,
    resolve(name, given) {
      refuseUnknownNames(name, given, ['threshold']);
      return { threshold: threshold.check(`${name}.threshold`, given['threshold'] ?? 1024) };
    },
  });
}

/** Of a request, without its query. Empty: every path. */
export function urlPath(): Kind<string, string> {
  const word = text({ min: 0, max: 1024 });
  const expected = 'a path that begins with "/", without a query, such as "/chat"; empty for every path';
  return {
    ...word,
    expected,
    check(name, value) {
      const given = word.check(name, value);
      if (given !== '' && (!given.startsWith('/') || /[?#]/.test(given)))
        refuse('ERR_OPTION_VALUE', name, expected, value);
      return given;
    },
  };
}

export type AllowedOrigins = readonly string[] | 'same' | '*';

/** `null` is what sandboxed pages send. A wildcard stands for one or more labels of a host. */
const ORIGIN = /^(null|[a-z][a-z0-9+.-]*:\/\/(\*\.)?[^\s/*]+)$/i;

export function origins(): Kind<string | readonly string[], AllowedOrigins> {
  const expected = '"*", "same", or a list of origins such as "https://example.com" or "https://*.example.com"';
  return {
    type: 'string | string[]',
    expected,
    show: (value) => (typeof value === 'string' ? value : value.join(',')),
    parse: listOf,
    check(name, value) {
      const list = typeof value === 'string' ? [value] : value;
      if (!Array.isArray(list)) refuse('ERR_OPTION_TYPE', name, expected, value);
      const [first] = list as readonly unknown[];
      if (list.length === 1 && (first === '*' || first === 'same')) return first;
      for (const origin of list as readonly unknown[]) {
        if (typeof origin !== 'string' || !ORIGIN.test(origin)) refuse('ERR_OPTION_VALUE', name, expected, origin);
      }
      return Object.freeze([...(list as readonly string[])]);
    },
  };
}
