/** Reads along the output of an HTTP/2 connection: how much of each stream's answer leaves. Runs in a worker. */

const HEADER_BYTES = 9;
const DATA = 0;
/** Older traffic counts half after each N bytes of output: about what a reactor keeps for a slow client. */
const RECENT_BYTES = 2 ** 20;

export class DataMeter {
  readonly #sent: (stream: number, bytes: number) => void;
  readonly #header = Buffer.alloc(HEADER_BYTES);
  /** Of the current header. */
  #got = 0;
  /** Of the current payload. */
  #left = 0;
  #recent = 0;
  #recentData = 0;
  /** Bytes of all answers. */
  dataBytes = 0;

  /** @param sent called for each DATA frame */
  constructor(sent: (stream: number, bytes: number) => void) {
    this.#sent = sent;
  }

  /** Most of the recent output belongs to answers: not to PING, SETTINGS and the like. */
  get isMostlyData(): boolean {
    return this.#recentData * 2 >= this.#recent;
  }

  passed(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      if (this.#left > 0) {
        const count = Math.min(this.#left, bytes.length - at);
        this.#left -= count;
        at += count;
      } else {
        this.#header[this.#got++] = bytes[at++] as number;
        if (this.#got === HEADER_BYTES) this.#begin();
      }
    }
  }

  #begin(): void {
    this.#got = 0;
    this.#left = this.#header.readUIntBE(0, 3);
    this.#recent += HEADER_BYTES + this.#left;
    if (this.#header[3] === DATA) {
      this.#recentData += this.#left;
      this.dataBytes += this.#left;
      this.#sent(this.#header.readUInt32BE(5), this.#left);
    }
    if (this.#recent < RECENT_BYTES) return;
    this.#recent /= 2;
    this.#recentData /= 2;
  }
}
