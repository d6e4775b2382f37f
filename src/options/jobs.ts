/** The option `cluster.jobs`: checked once, before anything connects. */
import { ServerError } from '../errors/index.js';
import { describeSecret, integer, isPlainObject, refuseSecret, size } from './check.js';
import type { ClusterTls, DriverName, ResolvedDriverOptions } from './cluster.js';
import { refuseUnknownNames } from './known-names.js';
import { KIB, MIB } from './size.js';

/** Durable jobs: docs/jobs.md. They need the package bullmq, and ioredis or pg. */
export interface JobsOptions {
  /**
   * `redis://user:password@host:6379/0` (`rediss:` with TLS), or `postgres://user:password@host/database`. Default: `url`,
   * user, password and TLS of the cluster where its driver is `'redis'`; with another driver it must be given.
   */
  readonly url?: string;
  /** Default: that of `url`, or of the cluster where it has the engine. */
  readonly username?: string;
  /** Default: as `username`. */
  readonly password?: string;
  /** What TLS needs beyond `rediss:` and `?sslmode=`. Default: as `username`. */
  readonly tls?: ClusterTls | null;
  /** Default: `prefix` of the cluster. */
  readonly prefix?: string;
  /** A job whose node has been silent for so long runs elsewhere; `work` may say otherwise. Default: 30,000. */
  readonly leaseMs?: number;
  /** A job whose lease was lost so often is dead. Default: 10. */
  readonly maxLeaseLosses?: number;
  /** How long jobs may go on at a shutdown before they are given to another node; at most 60 % of `maxWaitMs`. Default: 5000. */
  readonly drainMs?: number;
  /** How long a call of `server.jobs` waits for the engine. Default: 5000. */
  readonly deadlineMs?: number;
  /** Of the JSON of a job's data, and of its result. Default: 1 MiB. */
  readonly maxJobBytes?: number | string;
}

export interface ResolvedJobsOptions {
  /** With user and password: never part of a message. */
  readonly url: string;
  readonly username: string | undefined;
  readonly password: string | undefined;
  /** null: nothing beyond what the URL says. */
  readonly tls: ClusterTls | null;
  readonly prefix: string;
  readonly leaseMs: number;
  readonly maxLeaseLosses: number;
  readonly drainMs: number;
  readonly deadlineMs: number;
  readonly maxJobBytes: number;
}

const known: readonly (keyof JobsOptions)[] = [
  ...(['url', 'username', 'password', 'tls', 'prefix', 'leaseMs'] as const),
  ...(['maxLeaseLosses', 'drainMs', 'deadlineMs', 'maxJobBytes'] as const),
];
const EXPECTED = 'null, or {url, leaseMs, drainMs, …}';
const URL_EXPECTED = 'a URL such as redis://host:6379 or postgres://host/database';
const schemes = ['redis:', 'rediss:', 'postgres:', 'postgresql:'];
const DAY_MS = 24 * 3600 * 1000;

const numbers = {
  leaseMs: integer({ min: 1000, max: DAY_MS }, 'ms'),
  maxLeaseLosses: integer({ min: 0, max: 1_000_000 }),
  drainMs: integer({ min: 0, max: 3_600_000 }, 'ms'),
  deadlineMs: integer({ min: 50, max: 600_000 }, 'ms'),
};

/** @returns null: no jobs @throws ServerError ERR_OPTION_*; URL, user and password are never part of a message */
export function resolveJobs(
  name: string,
  given: unknown,
  driver: DriverName,
  cluster: ResolvedDriverOptions,
): ResolvedJobsOptions | null {
  if (given === undefined || given === null) return null;
  if (!isPlainObject(given)) refuseSecret('ERR_OPTION_TYPE', name, EXPECTED, given);
  refuseUnknownNames(name, given, known);
  const checked = (option: keyof typeof numbers, value: unknown): number =>
    numbers[option].check(`${name}.${option}`, value);
  const jobs = given as JobsOptions;
  return Object.freeze({
    ...(jobs.url === undefined ? engineOf(name, jobs, driver, cluster) : ownEngine(name, jobs)),
    prefix: checkPrefix(`${name}.prefix`, jobs.prefix ?? cluster.prefix),
    leaseMs: checked('leaseMs', jobs.leaseMs ?? 30_000),
    maxLeaseLosses: checked('maxLeaseLosses', jobs.maxLeaseLosses ?? 10),
    drainMs: checked('drainMs', jobs.drainMs ?? 5000),
    deadlineMs: checked('deadlineMs', jobs.deadlineMs ?? 5000),
    maxJobBytes: size({ min: KIB, max: 256 * MIB }).check(`${name}.maxJobBytes`, jobs.maxJobBytes ?? MIB),
  });
}

/** For operators: as they hold in this server. */
export function withoutSecrets(jobs: ResolvedJobsOptions, maxWaitMs = Number.POSITIVE_INFINITY): unknown {
  const { url, username: _, password: _password, tls, ...rest } = jobs;
  return { ...rest, drainMs: drainMsOf(jobs, maxWaitMs), engine: new URL(url).host, tls: tls !== null };
}

/** Task workers and connections have the rest of the time. */
const DRAIN_PART = 0.6;

/** What holds at a shutdown. */
export function drainMsOf({ drainMs }: ResolvedJobsOptions, maxWaitMs: number): number {
  return Math.min(drainMs, maxWaitMs * DRAIN_PART);
}

type Engine = Pick<ResolvedJobsOptions, 'url' | 'username' | 'password' | 'tls'>;

/** Of the cluster; jobs may have a user of their own there. */
function engineOf(name: string, jobs: JobsOptions, driver: DriverName, cluster: ResolvedDriverOptions): Engine {
  if (driver !== 'redis') {
    const expected = `${URL_EXPECTED}, because the driver "${driver}" keeps no jobs`;
    throw new ServerError('ERR_OPTION_VALUE', { name: `${name}.url`, expected, received: 'nothing' });
  }
  const engine = new URL(cluster.url);
  const tls = jobs.tls === undefined ? cluster.tls : checkTls(`${name}.tls`, jobs.tls);
  if (tls !== null) engine.protocol = 'rediss:';
  return {
    url: engine.href,
    username: secret(`${name}.username`, jobs.username) ?? cluster.username,
    password: secret(`${name}.password`, jobs.password) ?? cluster.password,
    tls,
  };
}

function ownEngine(name: string, { url, username, password, tls = null }: JobsOptions): Engine {
  if (typeof url !== 'string') refuseSecret('ERR_OPTION_TYPE', `${name}.url`, URL_EXPECTED, url);
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !schemes.includes(parsed.protocol) || parsed.hostname === '') {
    const received = describeSecret(url);
    throw new ServerError('ERR_OPTION_VALUE', { name: `${name}.url`, expected: URL_EXPECTED, received });
  }
  if (parsed.protocol.startsWith('redis')) checkDatabase(`${name}.url`, parsed);
  return {
    url,
    username: secret(`${name}.username`, username),
    password: secret(`${name}.password`, password),
    tls: checkTls(`${name}.tls`, tls),
  };
}

/** Of Redis. Anything else would be another database than the one that is meant. */
export function checkDatabase(name: string, { pathname }: URL): void {
  if (/^\/?\d{0,9}$/.test(pathname)) return;
  const expected = 'a URL of Redis whose path is the number of a database, such as redis://host/0';
  throw new ServerError('ERR_OPTION_VALUE', { name, expected, received: 'one with another path' });
}

function checkTls(name: string, value: unknown): ClusterTls | null {
  if (value === null) return null;
  const expected = 'null, or {ca, cert, key} with PEM texts';
  if (!isPlainObject(value)) refuseSecret('ERR_OPTION_TYPE', name, expected, value);
  refuseUnknownNames(name, value, ['ca', 'cert', 'key']);
  return Object.freeze({ ...value });
}

function secret(name: string, value: unknown): string | undefined {
  if (value === undefined || typeof value === 'string') return value;
  return refuseSecret('ERR_OPTION_TYPE', name, 'a text', value);
}

/** Of the cluster it is checked already, and no stricter. */
function checkPrefix(name: string, prefix: unknown): string {
  if (typeof prefix === 'string' && /^[A-Za-z0-9._-]{1,128}$/.test(prefix)) return prefix;
  return refuseSecret('ERR_OPTION_VALUE', name, '1 to 128 of A-Z, a-z, 0-9, ".", "_" and "-"', prefix);
}
