/**
 * The known name closest to a mistyped one; undefined when nothing is close. Case and underscores do not count, so
 * `worker_num` is as close to `workerNum` as can be. `aliases` are other words for a known name.
 */
export function nearest(
  name: string,
  known: Iterable<string>,
  aliases: Iterable<readonly [alias: string, known: string]> = [],
): string | undefined {
  const wanted = plain(name);
  let best: string | undefined;
  let bestDistance = limitFor(wanted) + 1;
  const words = [...known];
  for (const [word, meaning] of [...words.map((word) => [word, word] as const), ...aliases]) {
    const distance = editDistance(wanted, plain(word), bestDistance);
    if (distance >= bestDistance) continue;
    best = meaning;
    bestDistance = distance;
  }
  return best ?? words.find((word) => UNITS.some((unit) => plain(word) === wanted + unit));
}

/** What a name of an option ends with and people leave out. */
const UNITS = ['ms', 'num', 'bytes'];

/** Of what an error says about names that nobody knows: the first one's nearest, and the others with theirs. */
export interface UnknownNames {
  readonly nearest?: string;
  /** `"prot" (port), "x"`; missing: there is one alone. */
  readonly others?: string;
}

/** More of them are counted. */
const MOST_OTHERS = 10;

/** @param aliases as of `nearest` */
export function describeUnknown(
  [first, ...others]: readonly [string, ...string[]],
  known: readonly string[],
  aliases: readonly (readonly [alias: string, known: string])[] = [],
): UnknownNames {
  const near = nearest(first, known, aliases);
  const named = others.slice(0, MOST_OTHERS).map((name) => {
    const meant = nearest(name, known, aliases);
    return `"${name}"${meant === undefined ? '' : ` (${meant})`}`;
  });
  if (others.length > MOST_OTHERS) named.push(`and ${others.length - MOST_OTHERS} more`);
  return {
    ...(near !== undefined && { nearest: near }),
    ...(named.length > 0 && { others: named.join(', ') }),
  };
}

function plain(name: string): string {
  return name.replaceAll(/[_-]/g, '').toLowerCase();
}

/** One edit per three characters, and at most three, is a typing error; more is another word. */
function limitFor(name: string): number {
  return Math.min(3, Math.floor(name.length / 3));
}

/** Insertions, deletions, replacements and swaps of neighbours, counted up to `giveUpAt`. */
function editDistance(from: string, to: string, giveUpAt: number): number {
  if (Math.abs(from.length - to.length) >= giveUpAt) return giveUpAt;
  let beforeLast: number[] = [];
  let last = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row++) {
    const current = [row];
    for (let column = 1; column <= to.length; column++) {
      const replaced = last[column - 1]! + (from[row - 1] === to[column - 1] ? 0 : 1);
      const swapped =
        from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1]
          ? (beforeLast[column - 2] ?? 0) + 1
          : replaced;
      current.push(Math.min(replaced, swapped, last[column]! + 1, current[column - 1]! + 1));
    }
    beforeLast = last;
    last = current;
  }
  return last[to.length]!;
}
