/** What `JSON.parse` finds fault with, and in which line: V8 quotes what stands there, which may be a secret, and rarely has the line. */

/** What JSON is made of: behind the last piece that is none of these stands the fault. */
const PIECE =
  /[\s{}[\],:]+|"(?:[^"\\\p{Cc}]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])|(?:true|false|null)(?!\w)/uy;

/** Some editors of Windows begin each file with it, and `JSON.parse` takes it for a fault. */
export const BYTE_ORDER_MARK = /^\uFEFF/;

/** @returns `line 3: Expected double-quoted property name`; without the line where nothing tells it */
export function whyNotJson(text: string, error: unknown): string {
  const said = error instanceof Error ? error.message : String(error);
  const why = said.replace(
    /, (?:\.\.\.)?"[\s\S]*" ?is not valid JSON$|, (?:\.\.\.)?"[\s\S]*$|(?: in JSON)? at position [\s\S]*$/,
    '',
  );
  const at = /at position (\d+)/.exec(said)?.[1];
  const place = at === undefined ? firstForeign(text) : Number(at);
  return place === undefined ? why : `line ${text.slice(0, place).split('\n').length}: ${why}`;
}

function firstForeign(text: string): number | undefined {
  let place = 0;
  while (place < text.length) {
    PIECE.lastIndex = place;
    const piece = PIECE.exec(text);
    if (piece === null) return place;
    place += piece[0].length;
  }
  return undefined;
}
