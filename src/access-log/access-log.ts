/**
 * The access log of one thread: a line for each HTTP request whose connection, or stream of HTTP/2, it owns. Runs in
 * reactors, and in workers for HTTP/2.
 */
import { fchownSync, fstatSync } from 'node:fs';
import { type AccessLogFormat, accessLogOf, type LogOptions, type ResolvedAccessLog } from '../options/access-log.js';
import type { ResolvedOptions } from '../options/index.js';
import { findIdentity, type Identity } from '../os/privileges.js';
import { LineWriter, LogFile } from '../util/log-file.js';
import { type AccessEntry, mostBytes, putJsonLine, putLine } from './entry.js';
import { complain, LineBatch } from './line-batch.js';

const STANDARD_OUTPUT = 1;

export class AccessLog {
  readonly #settings: ResolvedAccessLog;
  readonly #batch: LineBatch;
  #now = Number.NaN;
  #dayTime = 0;

  /** @param settings with the file to write to @throws an Error with `code` */
  static open(settings: ResolvedAccessLog, epoch: () => number): AccessLog {
    if (settings.file === '') return new AccessLog(settings, new LineBatch(new LineWriter(STANDARD_OUTPUT)));
    const file = new LogFile(settings.file);
    file.epoch = epoch;
    file.told = complain; // in the file are lines of requests alone
    return new AccessLog(settings, new LineBatch(file));
  }

  constructor(settings: ResolvedAccessLog, batch: LineBatch) {
    this.#settings = settings;
    this.#batch = batch;
  }

  get format(): AccessLogFormat {
    return this.#settings.format;
  }

  /** Some requests are skipped whatever their answer: `skips` tells. */
  get skipsPaths(): boolean {
    return this.#settings.paths.length + this.#settings.prefixes.length > 0;
  }

  /** @param target as it was sent */
  skips(target: string): boolean {
    const { paths, prefixes } = this.#settings;
    const queryAt = target.indexOf('?');
    const path = queryAt === -1 ? target : target.slice(0, queryAt);
    return paths.includes(path) || prefixes.some((prefix) => path.startsWith(prefix));
  }

  /** @param now by `monotonicMs()`: the time of day is asked for once for each millisecond */
  write(entry: AccessEntry, now: number): void {
    if (entry.status < this.#settings.statusBelow && !entry.isCut) return;
    const millisecond = Math.floor(now);
    if (millisecond !== this.#now) {
      this.#now = millisecond;
      this.#dayTime = Date.now();
    }
    const { format } = this.#settings;
    const batch = this.#batch;
    if (!batch.reserve(mostBytes(entry))) return;
    const { bytes, length } = batch;
    const end =
      format === 'json'
        ? putJsonLine(entry, this.#dayTime, bytes, length)
        : putLine(entry, this.#dayTime, format === 'combined', bytes, length);
    batch.added(end);
  }

  /** This thread ends. */
  close(): void {
    this.#batch.close();
  }
}

/**
 * Creates the file before others open it, and gives it to the user of the workers: they can open it again after a rotation
 * although they may not write to its folder. Called in the master. @throws an Error with `code`
 */
export function prepareAccessFile(options: LogOptions & Pick<ResolvedOptions, 'user' | 'group'>): void {
  const path = accessLogOf(options)?.file ?? '';
  if (path === '') return;
  const { user, group } = options;
  const owner = user === '' && group === '' ? undefined : findIdentity(user, group);
  const file = new LogFile(path);
  if (owner !== undefined && !('unknown' in owner)) giveTo(owner, file.descriptor);
  file.close();
}

/** Only a file of one name: by another one it may be a file that the user should not have. */
function giveTo({ uid, gid }: Identity, descriptor: number): void {
  const file = fstatSync(descriptor);
  if (file.nlink === 1 && file.isFile()) fchownSync(descriptor, uid, gid);
}
