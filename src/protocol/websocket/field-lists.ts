/** Lists in the values of header fields (RFC 9110 5.6.1), and the extensions among them (RFC 6455 9.1). */
import { TOKEN } from '../http/chars.js';

export interface ExtensionOffer {
  readonly name: string;
  readonly parameters: readonly ExtensionParameter[];
}

export interface ExtensionParameter {
  readonly name: string;
  /** A token, without quotes; undefined: there is none. */
  readonly value: string | undefined;
}

export function isToken(text: string): boolean {
  return text !== '' && endOfToken(text, 0) === text.length;
}

/** The elements between commas without the blanks around them; empty ones are ignored (RFC 9110 5.6.1.2). */
export function listElements(value: string): string[] {
  return value
    .split(',')
    .map(withoutBlanks)
    .filter((element) => element !== '');
}

/** @param word lower case */
export function listHas(value: string | undefined, word: string): boolean {
  return value !== undefined && listElements(value).some((element) => element.toLowerCase() === word);
}

/** @returns undefined: the value breaks the grammar (RFC 6455 9.1: 1#extension) */
export function parseExtensions(value: string): ExtensionOffer[] | undefined {
  return new ExtensionReader(value).offers();
}

/** Reads from left to right, each character once. */
class ExtensionReader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  offers(): ExtensionOffer[] | undefined {
    const offers: ExtensionOffer[] = [];
    do {
      this.#skipBlanks();
      if (this.#isElementEnd()) continue;
      const offer = this.#offer();
      if (offer === undefined || !this.#isElementEnd()) return undefined;
      offers.push(offer);
    } while (this.#take(','));
    return offers.length > 0 ? offers : undefined;
  }

  #offer(): ExtensionOffer | undefined {
    const name = this.#token();
    if (name === '') return undefined;
    const parameters: ExtensionParameter[] = [];
    while (this.#take(';')) {
      const parameter = this.#parameter();
      if (parameter === undefined) return undefined;
      parameters.push(parameter);
    }
    return { name, parameters };
  }

  #parameter(): ExtensionParameter | undefined {
    const name = this.#token();
    if (name === '') return undefined;
    if (!this.#take('=')) return { name, value: undefined };
    this.#skipBlanks();
    const value = this.#take('"') ? this.#quoted() : this.#token();
    // What is quoted must be a token as well.
    return isToken(value) ? { name, value } : undefined;
  }

  /** @returns '': there is none. Blanks on both sides are skipped. */
  #token(): string {
    this.#skipBlanks();
    const start = this.#at;
    this.#at = endOfToken(this.#text, start);
    const token = this.#text.slice(start, this.#at);
    this.#skipBlanks();
    return token;
  }

  /** Behind the opening quote. @returns '': it does not end */
  #quoted(): string {
    let text = '';
    for (; this.#at < this.#text.length; this.#at++) {
      if (this.#text[this.#at] === '"') {
        this.#at++;
        this.#skipBlanks();
        return text;
      }
      if (this.#text[this.#at] === '\\') this.#at++;
      text += this.#text[this.#at] ?? '';
    }
    return '';
  }

  #take(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #isElementEnd(): boolean {
    return this.#at >= this.#text.length || this.#text[this.#at] === ',';
  }

  #skipBlanks(): void {
    while (isBlankAt(this.#text, this.#at)) this.#at++;
  }
}

function endOfToken(text: string, from: number): number {
  let at = from;
  while (TOKEN[text.charCodeAt(at)] === 1) at++;
  return at;
}

function isBlankAt(text: string, at: number): boolean {
  return text[at] === ' ' || text[at] === '\t';
}

/** Not `trim`, which takes more for blank than a header field does; not a pattern, whose time grows with the square. */
function withoutBlanks(text: string): string {
  let start = 0;
  let end = text.length;
  while (isBlankAt(text, start)) start++;
  while (end > start && isBlankAt(text, end - 1)) end--;
  return text.slice(start, end);
}
