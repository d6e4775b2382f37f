/** The Accept-Encoding field (RFC 9110, 12.5.3): which of the available codings a client prefers. */
import { type ContentEncoding, contentEncodings } from '../../options/compression.js';

interface Wish {
  readonly coding: string;
  /** 0 (not at all) to 1. */
  readonly weight: number;
}

/** More than any real client names. */
const LIMIT_WISHES = 32;

/**
 * The coding with the greatest weight; among equals br before zstd, gzip and deflate, and any of them before identity.
 * 'identity' also when the client accepts no available coding: an unwanted answer is better than none.
 */
export function chooseEncoding(
  value: string | undefined,
  available: readonly ContentEncoding[],
): ContentEncoding | 'identity' {
  if (value === undefined || value === '' || available.length === 0) return 'identity';
  const wishes = readWishes(value);
  const weightOf = (coding: string): number | undefined => wishes.find((wish) => wish.coding === coding)?.weight;
  const weightOfOthers = weightOf('*') ?? 0;
  let chosen: ContentEncoding | 'identity' = 'identity';
  // Identity is acceptable even when the client does not name it, but is not preferred then.
  let best = weightOf('identity') ?? 0;
  for (const coding of contentEncodings) {
    if (!available.includes(coding)) continue;
    const weight = weightOf(coding) ?? weightOfOthers;
    if (weight === 0 || (chosen === 'identity' ? weight < best : weight <= best)) continue;
    chosen = coding;
    best = weight;
  }
  return chosen;
}

/** Skips malformed elements. */
function readWishes(value: string): Wish[] {
  const wishes: Wish[] = [];
  for (const item of value.toLowerCase().split(',', LIMIT_WISHES)) {
    const [name = '', ...parameters] = item.split(';');
    const coding = name.trim();
    const weight = parameters.length === 0 ? 1 : weightIn(parameters);
    if (coding === '' || weight === undefined) continue;
    wishes.push({ coding: coding === 'x-gzip' ? 'gzip' : coding, weight });
  }
  return wishes;
}

function weightIn(parameters: readonly string[]): number | undefined {
  if (parameters.length > 1) return undefined;
  const digits = /^q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/.exec(parameters[0]!.trim())?.[1];
  return digits === undefined ? undefined : Number(digits);
}
