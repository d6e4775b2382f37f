/**
 * Short ASCII strings, without a native call: on Node 20 `latin1Slice` of 16 bytes takes 107 ns, `utf8Slice` 352; from memory
 * by `String.fromCharCode` it is 40.
 */

/** Beside the length of a string: all of its characters are ASCII. */
export const ASCII = 2 ** 30;
export const LENGTH_MASK = ASCII - 1;
/** Longer ones are faster by a native call. */
const SHORT = 32;

const { fromCharCode } = String;
/** One list for each length, filled anew for each string: a list of the right length is what `apply` takes fastest. */
const codes = Array.from({ length: SHORT + 1 }, (_, length) => new Array<number>(length).fill(0));

/** @param word the length, and whether it is ASCII */
export function readText(bytes: Buffer, at: number, word: number, size: number): string {
  const length = Math.min(word & LENGTH_MASK, size);
  if (length === 0) return '';
  if ((word & ASCII) === 0) return bytes.toString('utf8', at, at + length);
  const list = codes[length];
  if (list === undefined) return bytes.toString('latin1', at, at + length);
  for (let index = 0; index < length; index++) list[index] = bytes[at + index] ?? 0;
  return fromCharCode.apply(undefined, list);
}

/** @returns the length and `ASCII`; 0 for an empty text, as in a row never set; −1: the text is not short, or not ASCII */
export function writeShortAscii(bytes: Buffer, at: number, text: string, size: number): number {
  const { length } = text;
  if (length > SHORT || length > size) return -1;
  let all = 0;
  for (let index = 0; index < length; index++) {
    const code = text.charCodeAt(index);
    all |= code;
    bytes[at + index] = code;
  }
  if (length === 0) return 0;
  return all < 0x80 ? length | ASCII : -1;
}
