/**
 * The newest lines of the log, of all processes: a ring in shared memory, so that the master can show them while the processes
 * that wrote them hang or are gone. Only where the dashboard is on (`shape.logSlots`).
 *
 * ```
 * ┌──────────────┬──────────────────────────────────────────────────────────────┬──
 * │ number of    │ slot: number 8 B │ time 8 B │ level │ pid │ lengths │ role, text │   slots × 2,176 B; pages that nobody
 * │ newest, 64 B │ (0: being        │ Unix ms  │ 4 B   │ 4 B │ 4 B + 4 B │ UTF-8     │   has written take no memory
 * │              │ written)         │          │       │     │         │            │
 * └──────────────┴──────────────────────────────────────────────────────────────┴──
 * ```
 * A writer takes the next number, clears the slot's number, writes, and sets the number last. A reader takes a line only if
 * the number was the same before and after. A writer that dies in between leaves a line that nobody reads.
 */
import { LOG_HEADER_BYTES, LOG_SLOT_BYTES } from './layout.js';
import type { Region } from './region.js';

const HEAD_BYTES = 32;
const SOURCE_BYTES = 96;
/** The longest text of a line; the rest is cut off. */
export const LOG_TEXT_BYTES = LOG_SLOT_BYTES - HEAD_BYTES - SOURCE_BYTES;
const levels = ['debug', 'info', 'warn', 'error'] as const;
type Level = (typeof levels)[number];
/** A reader waits for a line that is being written, unless this many newer ones are there: then its writer is dead. */
const WAITS_FOR = 64;

export interface LogLine {
  /** From 1; grows by one with each line of the server. */
  readonly number: number;
  /** Unix time in ms. */
  readonly at: number;
  readonly level: Level;
  /** The process, as its log calls it, with its pid: `worker 0[123]`. */
  readonly source: string;
  readonly text: string;
}

export interface LogLines {
  /** The oldest first. */
  readonly lines: readonly LogLine[];
  /** Number of the newest line that can be read; 0: there is none. Pass it as `after` to get what follows. */
  readonly newest: number;
  /** Lines after the asked one that are not kept any more. */
  readonly lost: number;
}

/** Runs in every process. */
export class LogBoard {
  readonly #region: Region;
  readonly #slots: number;
  readonly #numbers: BigInt64Array;
  readonly #int32: Int32Array;
  readonly #float64: Float64Array;
  readonly #bytes: Buffer;

  /** @param region with `logSlots` above 0 */
  constructor(region: Region) {
    const { at, bytes } = region.layout.log;
    const memory = region.part(at, bytes);
    this.#region = region;
    this.#slots = region.shape.logSlots;
    this.#numbers = new BigInt64Array(memory);
    this.#int32 = new Int32Array(memory);
    this.#float64 = new Float64Array(memory);
    this.#bytes = Buffer.from(memory);
  }

  /** @param monotonic when, in ms of `monotonicMs()` */
  write(level: Level, source: string, text: string, monotonic: number): void {
    const number = Atomics.add(this.#numbers, 0, 1n) + 1n;
    const at = this.#at(Number(number));
    Atomics.store(this.#numbers, at / 8, 0n);
    this.#float64[at / 8 + 1] = this.#region.unixMs(monotonic);
    const sourceBytes = this.#bytes.write(source, at + HEAD_BYTES, SOURCE_BYTES, 'utf8');
    const textBytes = this.#bytes.write(text, at + HEAD_BYTES + SOURCE_BYTES, LOG_TEXT_BYTES, 'utf8');
    this.#int32.set([levels.indexOf(level), process.pid, sourceBytes, textBytes], at / 4 + 4);
    Atomics.store(this.#numbers, at / 8, number);
  }

  /** Of the newest line, which may be just being written; 0: there is none. */
  get newest(): number {
    return Number(Atomics.load(this.#numbers, 0));
  }

  /** The lines after that number, as far as they are kept. */
  read(after: number): LogLines {
    const newest = this.newest;
    const first = Math.max(1, newest - this.#slots + 1, after + 1);
    const lines: LogLine[] = [];
    let lost = Math.max(0, first - Math.max(after, 0) - 1);
    for (let number = first; number <= newest; number++) {
      const line = this.#line(number);
      if (line !== undefined) lines.push(line);
      else if (newest - number < WAITS_FOR) return { lines, newest: number - 1, lost };
      else lost++;
    }
    return { lines, newest, lost };
  }

  #line(number: number): LogLine | undefined {
    const at = this.#at(number);
    const isWhole = (): boolean => Number(Atomics.load(this.#numbers, at / 8)) === number;
    if (!isWhole()) return undefined;
    const time = this.#float64[at / 8 + 1] ?? 0;
    const [level = 0, pid = 0, sourceBytes = 0, textBytes = 0] = this.#int32.subarray(at / 4 + 4, at / 4 + 8);
    const textAt = at + HEAD_BYTES + SOURCE_BYTES;
    const source = this.#bytes.toString('utf8', at + HEAD_BYTES, at + HEAD_BYTES + sourceBytes);
    const text = this.#bytes.toString('utf8', textAt, textAt + textBytes);
    if (!isWhole()) return undefined;
    return { number, at: time, level: levels[level] ?? 'info', source: `${source}[${pid}]`, text };
  }

  #at(number: number): number {
    return LOG_HEADER_BYTES + ((number - 1) % this.#slots) * LOG_SLOT_BYTES;
  }
}
