/** The option `cluster`, and those of a driver: checked once, before anything connects. */
import { ServerError } from '../errors/index.js';
import {
  describeSecret,
  integer,
  isPlainObject,
  jsonOrText,
  type Kind,
  refuse,
  refuseSecret,
  size,
  text,
} from './check.js';
import {
  checkDatabase,
  type JobsOptions,
  withoutSecrets as jobsWithoutSecrets,
  type ResolvedJobsOptions,
  resolveJobs,
} from './jobs.js';
import { refuseUnknownNames } from './known-names.js';
import { GIB, KIB, MIB } from './size.js';

export const driverNames = ['memory', 'redis', 'nats'] as const;
/** The engines there are. */
export type DriverName = (typeof driverNames)[number];

/** TLS to the engine. Texts are PEM. */
export interface ClusterTls {
  /** Authorities to trust instead of the system's. */
  readonly ca?: string;
  /** Certificate of this client, with `key`. */
  readonly cert?: string;
  /** Its private key. */
  readonly key?: string;
}

/** How the engine is reached. */
export interface DriverOptions {
  /**
   * `redis://user:password@host:6379/0` (`rediss:` with TLS), `nats://user:password@host:4222` (`tls:` with TLS),
   * `memory://name`. The password may stand in `password` instead. The driver `'memory'` needs none.
   */
  readonly url?: string;
  /** Before every name in the engine, so that clusters share one. Default: `'tswoole'`. */
  readonly prefix?: string;
  /** Default: 1000. */
  readonly heartbeatMs?: number;
  /** A node without a heartbeat for this long is lost; at least twice `heartbeatMs`. Default: 5000. */
  readonly ttlMs?: number;
  /** Bytes the engine may leave unconfirmed before `publish` refuses. Default: 16 MiB. */
  readonly maxBufferedBytes?: number | string;
  /** For each attempt to connect. Default: 3000. */
  readonly connectTimeoutMs?: number;
  /** Default: TLS when the URL says so. */
  readonly tls?: boolean | ClusterTls;
  /** Default: that of the URL. */
  readonly username?: string;
  /** Default: that of the URL. */
  readonly password?: string;
}

export interface ResolvedDriverOptions {
  readonly url: URL;
  /** Host and port, without user and password: for messages. */
  readonly address: string;
  readonly prefix: string;
  readonly heartbeatMs: number;
  readonly ttlMs: number;
  readonly maxBufferedBytes: number;
  readonly connectTimeoutMs: number;
  /** null: none. */
  readonly tls: ClusterTls | null;
  readonly username: string | undefined;
  readonly password: string | undefined;
}

const known: readonly (keyof DriverOptions)[] = [
  ...(['url', 'prefix', 'heartbeatMs', 'ttlMs', 'maxBufferedBytes'] as const),
  ...(['connectTimeoutMs', 'tls', 'username', 'password'] as const),
];

/** Schemes of each driver, the one with TLS last. */
const schemes: Readonly<Record<DriverName, readonly [string, string?]>> = {
  memory: ['memory:'],
  redis: ['redis:', 'rediss:'],
  nats: ['nats:', 'tls:'],
};
const defaultPorts: Readonly<Record<DriverName, string>> = { memory: '', redis: '6379', nats: '4222' };

/** @throws ServerError ERR_OPTION_*; the URL, user and password are never part of a message */
export function resolveDriverOptions(
  driver: DriverName,
  given: DriverOptions,
  name = 'cluster',
): ResolvedDriverOptions {
  if (!isPlainObject(given)) refuse('ERR_OPTION_TYPE', name, 'an object', given);
  refuseUnknownNames(name, given, known);
  const checked = <Given, Resolved>(kind: Kind<Given, Resolved>, option: string, value: unknown): Resolved =>
    kind.check(`${name}.${option}`, value);
  const url = checkUrl(`${name}.url`, driver, given.url);
  const heartbeatMs = checked(integer({ min: 20, max: 60_000 }, 'ms'), 'heartbeatMs', given.heartbeatMs ?? 1000);
  const ttlMs = checked(integer({ min: 40, max: 600_000 }, 'ms'), 'ttlMs', given.ttlMs ?? 5000);
  if (ttlMs < 2 * heartbeatMs) refuseShortTtl(name);
  return Object.freeze({
    url,
    address: url.port === '' && defaultPorts[driver] !== '' ? `${url.hostname}:${defaultPorts[driver]}` : url.host,
    prefix: checkPrefix(`${name}.prefix`, given.prefix ?? 'tswoole'),
    heartbeatMs,
    ttlMs,
    maxBufferedBytes: checked(
      size({ min: 64 * KIB, max: GIB }),
      'maxBufferedBytes',
      given.maxBufferedBytes ?? 16 * MIB,
    ),
    connectTimeoutMs: checked(
      integer({ min: 50, max: 60_000 }, 'ms'),
      'connectTimeoutMs',
      given.connectTimeoutMs ?? 3000,
    ),
    tls: checkTls(`${name}.tls`, given.tls ?? url.protocol === schemes[driver][1]),
    username: secret(`${name}.username`, given.username) ?? fromUrl(url.username),
    password: secret(`${name}.password`, given.password) ?? fromUrl(url.password),
  });
}

/** The host of the URL; an IPv6 address without its brackets. */
export function hostOf({ url }: ResolvedDriverOptions): string {
  return url.hostname.replace(/^\[(.*)\]$/, '$1');
}

function refuseShortTtl(name: string): never {
  const why = 'one late heartbeat would lose a node: the ttl must be at least twice the heartbeat';
  throw new ServerError('ERR_OPTION_CONFLICT', { name: `${name}.ttlMs`, other: `${name}.heartbeatMs`, why });
}

function checkUrl(name: string, driver: DriverName, given: unknown): URL {
  const value = given === undefined && driver === 'memory' ? 'memory://local' : given;
  const allowed = schemes[driver];
  const expected = `a URL such as ${allowed[0]}//host${defaultPorts[driver] === '' ? '' : `:${defaultPorts[driver]}`}`;
  if (typeof value !== 'string') refuseSecret('ERR_OPTION_TYPE', name, expected, value);
  const url = URL.canParse(value) ? new URL(value) : refuseSecret('ERR_OPTION_VALUE', name, expected, value);
  if (!allowed.includes(url.protocol) || url.hostname === '') {
    const received = `${describeSecret(value)}, which begins with "${url.protocol}"`;
    throw new ServerError('ERR_OPTION_VALUE', { name, expected, received });
  }
  if (driver === 'redis') checkDatabase(name, url);
  return url;
}

/** Tokens of a NATS subject, so that permissions such as `my-app.>` can be given. */
function checkPrefix(name: string, value: unknown): string {
  const expected = '1 to 64 of A-Z, a-z, 0-9, "_" and "-", with single dots between them';
  const prefix = text({ min: 1, max: 64 }).check(name, value);
  if (!/^[\w-]+(\.[\w-]+)*$/.test(prefix)) refuse('ERR_OPTION_VALUE', name, expected, value);
  return prefix;
}

function checkTls(name: string, value: unknown): ClusterTls | null {
  if (typeof value === 'boolean') return value ? {} : null;
  const expected = 'true, false or {ca, cert, key} with PEM texts';
  if (!isPlainObject(value)) refuseSecret('ERR_OPTION_TYPE', name, expected, value);
  refuseUnknownNames(name, value, ['ca', 'cert', 'key']);
  for (const [part, pem] of Object.entries(value)) {
    if (typeof pem !== 'string') refuseSecret('ERR_OPTION_TYPE', `${name}.${part}`, 'a PEM text', pem);
  }
  return Object.freeze({ ...value });
}

function secret(name: string, value: unknown): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'string') refuseSecret('ERR_OPTION_TYPE', name, 'a text', value);
  return value === '' ? undefined : value;
}

/** `%40` stands for `@`; badly encoded text is taken as it stands. */
function fromUrl(part: string): string | undefined {
  if (part === '') return undefined;
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

// ——— the option `cluster` ———

/** The option `cluster`: this server is a node of several, which reach each other by an engine that people run already. */
export interface ClusterOptions extends DriverOptions {
  /** `'redis'` needs the package ioredis, `'nats'` @nats-io/transport-node; `'memory'` is one node alone, for tests. */
  readonly driver: DriverName;
  /** 1 to 128 of `A-Za-z0-9._-`, another one on each node. Default: the name of the host, and the pid of the master. */
  readonly nodeId?: string;
  /** Where operators find this node; shown by `tswoole nodes`. Default: the name of the host, and the main port. */
  readonly address?: string;
  /** How long `server.cluster.request` waits for an answer. Default: 5000. */
  readonly requestTimeoutMs?: number;
  /** `/readyz` says no while the engine cannot be reached. Default: false. */
  readonly readyNeedsEngine?: boolean;
  /** Durable jobs, `server.jobs`: `{}` for all defaults. Default: none. */
  readonly jobs?: JobsOptions | null;
}

export interface ResolvedClusterOptions {
  readonly driver: DriverName;
  /** As given: resolved again where the driver is made. */
  readonly given: DriverOptions;
  readonly resolved: ResolvedDriverOptions;
  /** '': host and pid. */
  readonly nodeId: string;
  /** '': host and main port. */
  readonly address: string;
  readonly requestTimeoutMs: number;
  readonly readyNeedsEngine: boolean;
  /** null: no durable jobs. */
  readonly jobs: ResolvedJobsOptions | null;
}

const EXPECTED = 'null, or {driver, url, nodeId, …} with the driver "redis", "nats" or "memory"';
const NODE_ID = /^[A-Za-z0-9._-]{1,128}$/;

/** null: this server is alone. */
export function cluster(): Kind<ClusterOptions | null, ResolvedClusterOptions | null> {
  return {
    type: 'ClusterOptions | null',
    expected: EXPECTED,
    withoutSecrets,
    show: (value) =>
      value === null
        ? 'null'
        : JSON.stringify({ driver: value.driver, engine: value.resolved.address, nodeId: value.nodeId }),
    parse: jsonOrText,
    check(name, value) {
      if (value === null || value === undefined) return null;
      if (!isPlainObject(value)) refuseSecret('ERR_OPTION_TYPE', name, EXPECTED, value);
      return Object.freeze(checkCluster(name, value as unknown as ClusterOptions));
    },
  };
}

/** URLs hold names and passwords, and are left out. */
function withoutSecrets(value: ResolvedClusterOptions | null, all?: { readonly maxWaitMs: number }): unknown {
  if (value === null) return null;
  const { given: _, resolved, jobs, ...own } = value;
  const { url: _url, address: engine, username: _username, password: _password, tls, ...rest } = resolved;
  return { ...rest, ...own, engine, tls: tls !== null, jobs: jobs && jobsWithoutSecrets(jobs, all?.maxWaitMs) };
}

const ownNames = ['driver', 'nodeId', 'address', 'requestTimeoutMs', 'readyNeedsEngine', 'jobs'];

function checkCluster(name: string, value: ClusterOptions): ResolvedClusterOptions {
  refuseUnknownNames(name, value, [...ownNames, ...known]);
  const {
    driver,
    nodeId = '',
    address = '',
    requestTimeoutMs = 5000,
    readyNeedsEngine = false,
    jobs = null,
    ...given
  } = value;
  if (!driverNames.includes(driver)) {
    refuse('ERR_OPTION_VALUE', `${name}.driver`, driverNames.map((each) => `"${each}"`).join(' or '), driver);
  }
  const expected = '1 to 128 of A-Z, a-z, 0-9, ".", "_" and "-"';
  if (typeof nodeId !== 'string' || (nodeId !== '' && !NODE_ID.test(nodeId)))
    refuse('ERR_OPTION_VALUE', `${name}.nodeId`, expected, nodeId);
  if (typeof readyNeedsEngine !== 'boolean') {
    refuse('ERR_OPTION_TYPE', `${name}.readyNeedsEngine`, 'true or false', readyNeedsEngine);
  }
  const resolved = resolveDriverOptions(driver, given, name);
  return {
    ...{ driver, given, nodeId, readyNeedsEngine, resolved, jobs: resolveJobs(`${name}.jobs`, jobs, driver, resolved) },
    address: text({ min: 0, max: 256 }).check(`${name}.address`, address),
    requestTimeoutMs: integer({ min: 10, max: 600_000 }, 'ms').check(`${name}.requestTimeoutMs`, requestTimeoutMs),
  };
}
