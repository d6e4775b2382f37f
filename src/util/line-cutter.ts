/** Cuts any stream of bytes into lines, however it is split. Pure. */

/** A longer line is split into several parts, so that memory stays bounded. */
export const LIMIT_LINE_BYTES = 64 * 1024;
const LINE_FEED = 0x0a;
const RETURN = 0x0d;
/** The most bytes that follow the first one of a UTF-8 sequence. */
const MOST_FOLLOWING = 3;

export class LineCutter {
  readonly #take: (line: string) => void;
  #held: Buffer[] = [];
  #heldBytes = 0;

  /** @param take gets each line without its end; bytes that are not UTF-8 as U+FFFD */
  constructor(take: (line: string) => void) {
    this.#take = take;
  }

  get isEmpty(): boolean {
    return this.#heldBytes === 0;
  }

  write(bytes: Buffer): void {
    let from = 0;
    for (let at = bytes.indexOf(LINE_FEED); at >= 0; at = bytes.indexOf(LINE_FEED, from)) {
      this.#hold(bytes.subarray(from, at));
      this.#deliver();
      from = at + 1;
    }
    this.#hold(bytes.subarray(from));
  }

  /** Treats the incomplete rest as a line too. */
  end(): void {
    if (!this.isEmpty) this.#deliver();
  }

  #hold(bytes: Buffer): void {
    let rest = bytes;
    while (this.#heldBytes + rest.length > LIMIT_LINE_BYTES) {
      const room = LIMIT_LINE_BYTES - this.#heldBytes;
      const cut = room - unfinished(rest.subarray(0, room));
      this.#keep(rest.subarray(0, cut));
      this.#deliver();
      rest = rest.subarray(cut);
    }
    this.#keep(rest);
  }

  #keep(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#held.push(Buffer.from(bytes)); // a copy: the caller may reuse its memory
    this.#heldBytes += bytes.length;
  }

  #deliver(): void {
    const bytes = this.#held.length === 1 ? (this.#held[0] as Buffer) : Buffer.concat(this.#held, this.#heldBytes);
    this.#held = [];
    this.#heldBytes = 0;
    const end = bytes.at(-1) === RETURN ? bytes.length - 1 : bytes.length;
    this.#take(bytes.toString('utf8', 0, end));
  }
}

/** Bytes at the end that begin an incomplete character; 0 if there are no others before them. */
function unfinished(bytes: Buffer): number {
  for (let back = 1; back <= MOST_FOLLOWING && back < bytes.length; back++) {
    const byte = bytes[bytes.length - back] ?? 0;
    if ((byte & 0xc0) === 0x80) continue;
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return length > back ? back : 0;
  }
  return 0;
}
