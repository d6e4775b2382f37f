import { parseFields } from '../../../protocol/http/fields.js';
import { readLatin1 } from '../../../util/latin1.js';

/** The fields of a head, parsed at the first request for one. */
export class LazyFields {
  readonly #bytes: Buffer;
  readonly #from: number;
  readonly #to: number;
  #fields: string[] | undefined;

  constructor(bytes: Buffer, from: number, to: number) {
    this.#bytes = bytes;
    this.#from = from;
    this.#to = to;
  }

  /** @param name in lower case @returns several lines as one list */
  get(name: string): string | undefined {
    this.#fields ??= parseFields(readLatin1(this.#bytes, this.#from, this.#to));
    let found: string | undefined;
    for (let i = 0; i < this.#fields.length; i += 2) {
      if (this.#fields[i]?.toLowerCase() !== name) continue;
      found = found === undefined ? this.#fields[i + 1] : `${found}, ${this.#fields[i + 1]}`;
    }
    return found;
  }
}
