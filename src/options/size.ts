export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;

const UNITS: { readonly [unit: string]: number } = { '': 1, k: KIB, m: MIB, g: GIB };

/** Bytes of `'128k'`, `'2m'`, `'1g'`, `'512'` (powers of 1024, either case); undefined when it is not a size. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+)([kmg]?)$/i.exec(text);
  if (match === null) return undefined;
  const bytes = Number(match[1]) * (UNITS[match[2]!.toLowerCase()] ?? 1);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** The shortest text that `parseSize` turns back into these bytes. */
export function formatSize(bytes: number): string {
  for (const unit of ['g', 'm', 'k']) {
    const size = UNITS[unit]!;
    if (bytes >= size && bytes % size === 0) return `${bytes / size}${unit}`;
  }
  return String(bytes);
}
