/**
 * Lays out a record in shared memory from one declaration: each field gets its own place, in the order of declaration,
 * aligned to its size. Places are not numbered by hand, so no two fields can overlap.
 */

/** One field, or several of the same kind in a row. */
export interface Field {
  readonly kind: 'int32' | 'float64';
  readonly count: number;
}

export const int32 = (count = 1): Field => ({ kind: 'int32', count });
export const float64 = (count = 1): Field => ({ kind: 'float64', count });

const BYTES = { int32: 4, float64: 8 } as const;

export interface RecordLayout<F extends Readonly<Record<string, Field>>> {
  /** Where each field begins, counted from the start of the record in units of its own kind: 4 or 8 bytes. */
  readonly at: { readonly [N in keyof F]: number };
  /** From the start of the first field to the end of the last one. */
  readonly usedBytes: number;
}

/**
 * @param recordBytes from one record to the next: a multiple of 8
 * @throws RangeError at load time, when the fields do not fit
 */
export function layoutRecord<const F extends Readonly<Record<string, Field>>>(
  fields: F,
  recordBytes: number,
): RecordLayout<F> {
  const at: Record<string, number> = {};
  let end = 0;
  for (const [name, { kind, count }] of Object.entries(fields)) {
    const bytes = BYTES[kind];
    at[name] = Math.ceil(end / bytes);
    end = (at[name] + count) * bytes;
  }
  if (end > recordBytes) throw new RangeError(`the fields take ${end} bytes, the record has ${recordBytes}`);
  return { at: at as RecordLayout<F>['at'], usedBytes: end };
}

/** Consecutive places by name, for counters that are summed, or passed, by number. */
export function numbered<const N extends readonly string[]>(names: N): { readonly [K in N[number]]: number } {
  return Object.fromEntries(names.map((name, index) => [name, index])) as { readonly [K in N[number]]: number };
}
