import type { Variant } from './static-folder.js';

/** The result for a path, the same for every client. */
export type Outcome =
  | { readonly kind: 'file'; readonly variants: readonly [Variant, ...Variant[]] }
  | { readonly kind: 'folder'; readonly fields: readonly string[] }
  /** 404 with these fields, or left to a worker. */
  | { readonly kind: 'absent'; readonly fields: readonly string[] | undefined };

interface Entry {
  readonly outcome: Outcome;
  readonly since: number;
  readonly bytes: number;
}

/** How long a result stands. */
export const BELIEVED_MS = 1000;
// Together 1,000. Separate, so that a client that guesses names cannot evict files that other clients request.
const LIMIT_PRESENT = 800;
const LIMIT_ABSENT = 200;
const LIMIT_BYTES = 16 * 1024 * 1024;

/**
 * Caches results for a second. A Map keeps the order of insertion, and entries in demand are inserted again each second,
 * so the first entry is the least used.
 */
export class StaticCache {
  readonly #present = new Map<string, Entry>();
  readonly #absent = new Map<string, Entry>();
  readonly #limitBytes: number;
  #bytes = 0;

  constructor(limitBytes = LIMIT_BYTES) {
    this.#limitBytes = limitBytes;
  }

  get size(): number {
    return this.#present.size + this.#absent.size;
  }

  /** Of the content of files. */
  get bytes(): number {
    return this.#bytes;
  }

  /** @param now ms of a monotonic clock @returns undefined: look at the disk */
  get(path: string, now: number): Outcome | undefined {
    const entry = this.#present.get(path) ?? this.#absent.get(path);
    if (entry === undefined) return undefined;
    // After a step back of the clock, an entry counts as old, not new.
    const age = now - entry.since;
    return age >= 0 && age < BELIEVED_MS ? entry.outcome : undefined;
  }

  /** When the last result for a path was found, by the clock of `set`. */
  since(path: string): number | undefined {
    return (this.#present.get(path) ?? this.#absent.get(path))?.since;
  }

  /** The last result for a path, however old. */
  known(path: string): readonly Variant[] {
    const outcome = this.#present.get(path)?.outcome;
    return outcome?.kind === 'file' ? outcome.variants : [];
  }

  set(path: string, outcome: Outcome, now: number): void {
    this.#drop(this.#present, path);
    this.#drop(this.#absent, path);
    const bytes = outcome.kind === 'file' ? bytesOf(outcome.variants) : 0;
    const [map, limit] = outcome.kind === 'absent' ? [this.#absent, LIMIT_ABSENT] : [this.#present, LIMIT_PRESENT];
    // A copy: the path may be a slice of a longer text, which it would keep alive.
    map.set(Buffer.from(path).toString(), { outcome, since: now, bytes });
    this.#bytes += bytes;
    if (map.size > limit) this.#dropFirst(map);
    while (this.#bytes > this.#limitBytes) this.#dropFirst(this.#present);
  }

  #dropFirst(map: Map<string, Entry>): void {
    for (const path of map.keys()) {
      this.#drop(map, path);
      return;
    }
  }

  #drop(map: Map<string, Entry>, path: string): void {
    const entry = map.get(path);
    if (entry === undefined) return;
    map.delete(path);
    this.#bytes -= entry.bytes;
  }
}

function bytesOf(variants: readonly Variant[]): number {
  return variants.reduce((sum, { file }) => sum + (file.bytes?.length ?? 0), 0);
}
