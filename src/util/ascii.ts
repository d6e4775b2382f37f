/** For short texts a loop is faster than computing their length in bytes. */
const LOOP_CHARS = 64;

/** True when the text has as many bytes in UTF-8 as characters. */
export function isAscii(text: string): boolean {
  if (text.length > LOOP_CHARS) return Buffer.byteLength(text) === text.length;
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false;
  return true;
}
