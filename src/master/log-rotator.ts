/**
 * Rotates the log file when it is due: renames it to its name and that time, and lets every process begin a new
 * one, which each sees in shared memory before its next line. Runs in the master.
 */
import { existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { ResolvedLogRotation } from '../options/index.js';
import type { Log } from '../util/log.js';

const LOOK_MS = 1000;
const SUFFIX = /^\.\d{8}(-\d{2}(\d{4})?)?(\.\d+)?$/;

export class LogRotator {
  readonly #path: string;
  readonly #rotation: ResolvedLogRotation;
  readonly #reopen: () => void;
  readonly #log: Log;
  #timer: NodeJS.Timeout | undefined;
  #period = '';
  #hasFailed = false;

  constructor(path: string, rotation: ResolvedLogRotation, reopen: () => void, log: Log) {
    this.#path = path;
    this.#rotation = rotation;
    this.#reopen = reopen;
    this.#log = log;
  }

  start(): void {
    this.#period = this.#periodOf(lastWritten(this.#path));
    this.#timer = setInterval(() => this.#look(), LOOK_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    try {
      const { sizeBytes } = this.#rotation;
      const period = this.#periodOf(new Date());
      if (period !== this.#period) this.#rotate(this.#period);
      else if (sizeBytes > 0 && statSync(this.#path).size >= sizeBytes) this.#rotate(stamp(new Date(), 'second'));
      this.#period = period;
      this.#hasFailed = false;
    } catch (error) {
      // Logged once: a full disk stays full for a while.
      if (!this.#hasFailed)
        this.#log.error('the log file could not be rotated', { path: this.#path, reason: (error as Error).message });
      this.#hasFailed = true;
    }
  }

  #rotate(suffix: string): void {
    if (!existsSync(this.#path)) return this.#reopen();
    renameSync(this.#path, this.#free(`${this.#path}.${suffix}`));
    this.#reopen();
    this.#log.refresh(); // makes the new file, also where there is nothing to log
    this.#log.info('the log file was rotated', { path: this.#path });
    this.#removeOld();
  }

  #free(path: string): string {
    if (!existsSync(path)) return path;
    for (let n = 1; ; n++) if (!existsSync(`${path}.${n}`)) return `${path}.${n}`;
  }

  #removeOld(): void {
    const folder = dirname(this.#path);
    const name = basename(this.#path);
    const old = readdirSync(folder)
      .filter((file) => file.startsWith(name) && SUFFIX.test(file.slice(name.length)))
      .map((file) => ({ file, at: statSync(join(folder, file)).mtimeMs }))
      .sort((a, b) => b.at - a.at || (a.file < b.file ? 1 : -1));
    for (const { file } of old.slice(this.#rotation.keep)) rmSync(join(folder, file), { force: true });
  }

  #periodOf(time: Date): string {
    const { every } = this.#rotation;
    if (every === 'never') return '';
    return stamp(time, every === 'daily' ? 'day' : 'hour');
  }
}

function lastWritten(path: string): Date {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined || stat.size === 0 ? new Date() : stat.mtime;
}

/** Local time: `20261124`, `20261124-09`, `20261124-091530`. */
function stamp(time: Date, to: 'day' | 'hour' | 'second'): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${time.getFullYear()}${two(time.getMonth() + 1)}${two(time.getDate())}`;
  if (to === 'day') return day;
  const hour = `${day}-${two(time.getHours())}`;
  return to === 'hour' ? hour : `${hour}${two(time.getMinutes())}${two(time.getSeconds())}`;
}
