/** The options `admin`, `watch`, `cronReload` and `maxMemory`. */

import { resolve } from 'node:path';
import { ServerError } from '../errors/index.js';
import { parseCron } from '../util/cron.js';
import {
  flag,
  host,
  integer,
  isPlainObject,
  jsonOrText,
  type Kind,
  listOf,
  refuse,
  refuseSecret,
  size,
  text,
} from './check.js';
import { GIB, MIB } from './size.js';

/** The option `admin`: where the admin listener listens, and what it asks for. */
export interface AdminOptions {
  /** Port to listen on, 0 to 65535. Default: `0`, a free one. */
  readonly port?: number;
  /** Address to listen on; beyond loopback a `token` or `readToken` is required. Default: `'127.0.0.1'`. */
  readonly host?: string;
  /**
   * The token that `Authorization: Bearer …` must carry, 16 to 256 characters. Default: none; the listener is read-only
   * then.
   */
  readonly token?: string;
  /**
   * A second token that only reads: with it no command changes anything. 16 to 256 characters, and not `token`.
   * Default: none.
   */
  readonly readToken?: string;
  /**
   * Other names by which clients reach this listener, such as that of a proxy or a service; without a port.
   * Default: none.
   */
  readonly hosts?: readonly string[];
  /** Whether the listener has the dashboard, at `/dashboard/`. Default: `false`. */
  readonly dashboard?: boolean;
}

export interface ResolvedAdmin {
  readonly port: number;
  readonly host: string;
  /** Empty: there is none. */
  readonly token: string;
  /** Empty: there is none. */
  readonly readToken: string;
  readonly hosts: readonly string[];
  readonly dashboard: boolean;
}

const adminNames = ['port', 'host', 'token', 'readToken', 'hosts', 'dashboard'];
const LOOPBACK = /^(127\.\d+\.\d+\.\d+|::1|localhost)$/;

export function admin(): Kind<AdminOptions | number | null, ResolvedAdmin | null> {
  const expected =
    'a port, or {port, host, token, readToken, hosts, dashboard} with tokens of 16 to 256 characters, which differ; beyond loopback a token is a must';
  const port = integer({ min: 0, max: 65_535 });
  const address = host();
  const isOn = flag();
  return {
    type: 'AdminOptions | number | null',
    expected,
    withoutSecrets,
    show: (value) => JSON.stringify(withoutSecrets(value)),
    parse: (given) => (/^\d+$/.test(given) ? Number(given) : jsonOrText(given)),
    check(name, value) {
      if (value === null) return null;
      if (typeof value === 'number') return Object.freeze({ ...NOTHING_MORE, port: port.check(name, value) });
      const given: unknown = value;
      if (!isPlainObject(given)) refuseSecret('ERR_OPTION_TYPE', name, expected, value);
      const { port: at = 0, host: on = '127.0.0.1', token, readToken, hosts = [], dashboard = false } = given;
      if (!Object.keys(given).every((key) => adminNames.includes(key)))
        refuse('ERR_OPTION_VALUE', name, expected, value);
      const checked = {
        port: port.check(`${name}.port`, at),
        host: address.check(`${name}.host`, on),
        token: checkToken(`${name}.token`, token),
        readToken: checkToken(`${name}.readToken`, readToken),
        hosts: checkHosts(`${name}.hosts`, hosts),
        dashboard: isOn.check(`${name}.dashboard`, dashboard),
      };
      const hasToken = checked.token !== '' || checked.readToken !== '';
      if (hasToken && checked.token === checked.readToken)
        refuseSecret('ERR_OPTION_VALUE', `${name}.readToken`, 'another text than that of token', readToken);
      if (!hasToken && !LOOPBACK.test(checked.host)) refuseSecret('ERR_OPTION_VALUE', name, expected, value);
      return Object.freeze(checked);
    },
  };
}

const NOTHING_MORE = { host: '127.0.0.1', token: '', readToken: '', hosts: [], dashboard: false };

function withoutSecrets(admin: ResolvedAdmin | null): ResolvedAdmin | null {
  return admin && { ...admin, token: shown(admin.token), readToken: shown(admin.readToken) };
}

function shown(token: string): string {
  return token === '' ? '' : '(hidden)';
}

/** Missing and empty: there is none. */
function checkToken(name: string, value: unknown): string {
  if (value === undefined || value === '') return '';
  const secret = text({ min: 16, max: 256 });
  try {
    return secret.check(name, value);
  } catch (error) {
    if (error instanceof ServerError && /^ERR_OPTION_(TYPE|RANGE|VALUE)$/.test(error.code)) {
      refuseSecret(error.code as 'ERR_OPTION_VALUE', name, secret.expected, value);
    }
    throw error;
  }
}

/** Names and addresses; IPv6 with or without brackets, as it stands in a URL. */
function checkHosts(name: string, value: unknown): readonly string[] {
  const expected = 'a list of host names and IP addresses without a port';
  if (!Array.isArray(value)) refuse('ERR_OPTION_TYPE', name, expected, value);
  const each = host();
  const bare = value.map((item: unknown) => (typeof item === 'string' ? item.replace(/^\[(.*)\]$/, '$1') : item));
  return Object.freeze(bare.map((item) => each.check(name, item)));
}

/** Watched folders: 'script' stands for the script's own. */
export function watch(): Kind<boolean | string | readonly string[], 'script' | readonly string[]> {
  const expected = 'true (the folder of the script), false, or a path or list of paths';
  const given = text({ min: 1, max: 4096 });
  const absolute = (name: string, value: unknown): string => resolve(given.check(name, value));
  return {
    type: 'boolean | string | string[]',
    expected,
    show: (value) => (value === 'script' ? 'true' : value.length === 0 ? 'false' : JSON.stringify(value)),
    parse: (given) => {
      if (/^(true|false)$/.test(given)) return given === 'true';
      return listOf(given);
    },
    check(name, value) {
      if (typeof value === 'boolean') return value ? 'script' : [];
      if (typeof value === 'string') return Object.freeze([absolute(name, value)]);
      if (!Array.isArray(value)) refuse('ERR_OPTION_TYPE', name, expected, value);
      return Object.freeze(value.map((item) => absolute(name, item)));
    },
  };
}

/** A cron expression; empty: none. */
export function cron(): Kind<string, string> {
  const expected =
    'empty, or five fields "minute hour day month weekday", such as "0 4 * * mon-fri", with numbers, names, *, ranges 1-5, lists 1,3 and steps 0-59/10 up to the highest number of the field, of days that there are';
  const line = text({ min: 0, max: 1000 });
  return {
    ...line,
    expected,
    check(name, value) {
      const given = line.check(name, value).trim();
      if (given !== '' && parseCron(given) === undefined) refuse('ERR_OPTION_VALUE', name, expected, value);
      return given;
    },
  };
}

/** 0: any amount. A process of Node has some 40 MiB before it has done anything. */
export function memoryLimit(): Kind<number | string, number> {
  const bytes = size({ min: 64 * MIB, max: 1024 * GIB });
  return {
    ...bytes,
    expected: `0, or ${bytes.expected}`,
    show: (value) => (value === 0 ? '0' : bytes.show(value)),
    parse: (given) => (given === '0' ? 0 : given),
    check: (name, value) => (value === 0 ? 0 : bytes.check(name, value)),
  };
}
