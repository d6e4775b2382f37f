/**
 * UTF-8 over the fragments of a text message (RFC 6455 5.6 and 8.1, RFC 3629): a fragment may end inside a character, and
 * the message must still be refused with the first byte that cannot be valid, not when it is whole.
 */
import { isUtf8 } from 'node:buffer';

/** One object for one message at a time. */
export class Utf8Check {
  /** The first byte of the character that the last piece began and did not end. */
  #lead = 0;
  /** Of its bytes; 0: the last piece ended with a whole character. */
  #missing = 0;
  /** The next byte is the character's second, whose range depends on the first. */
  #secondIsNext = false;
  #isBroken = false;

  /** @returns false: the text up to `to` is not the beginning of any valid text. It stays false until `reset`. */
  push(bytes: Buffer, from: number, to: number): boolean {
    const at = this.#complete(bytes, from, to);
    if (this.#isBroken || at >= to) return !this.#isBroken;
    const cut = startOfCutCharacter(bytes, at, to);
    this.#isBroken = (cut > at && !isUtf8(bytes.subarray(at, cut))) || (cut < to && !this.#begin(bytes, cut, to));
    return !this.#isBroken;
  }

  /** @returns whether all that was pushed is valid, and whole */
  end(): boolean {
    return !this.#isBroken && this.#missing === 0;
  }

  reset(): void {
    this.#missing = 0;
    this.#isBroken = false;
  }

  /** Goes on with the character that the last piece began. @returns where it ends */
  #complete(bytes: Buffer, from: number, to: number): number {
    let at = from;
    for (; this.#missing > 0 && at < to && !this.#isBroken; at++) {
      const fits = this.#secondIsNext ? isSecond(this.#lead, bytes[at]!) : isContinuation(bytes[at]!);
      this.#secondIsNext = false;
      this.#missing--;
      this.#isBroken = !fits;
    }
    return at;
  }

  /** Takes a character that is cut: its first byte, and up to two that are known to continue it. */
  #begin(bytes: Buffer, at: number, to: number): boolean {
    this.#lead = bytes[at]!;
    this.#missing = characterBytes(this.#lead) - (to - at);
    this.#secondIsNext = to - at === 1;
    return this.#secondIsNext || isSecond(this.#lead, bytes[at + 1]!);
  }
}

const isContinuation = (byte: number): boolean => (byte & 0xc0) === 0x80;

/** @returns how many bytes a character has by its first (RFC 3629 4); 0: no character begins so */
function characterBytes(lead: number): number {
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/** Not overlong (E0, F0), not a surrogate (ED), not above U+10FFFF (F4). */
function isSecond(lead: number, byte: number): boolean {
  const lowest = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const highest = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  return byte >= lowest && byte <= highest;
}

/** @returns where the character begins that goes on behind `to`; `to`: none does, or `isUtf8` will say what is wrong */
function startOfCutCharacter(bytes: Buffer, from: number, to: number): number {
  const first = Math.max(from, to - 3);
  for (let at = to - 1; at >= first; at--) {
    if (!isContinuation(bytes[at]!)) return characterBytes(bytes[at]!) > to - at ? at : to;
  }
  return to;
}
