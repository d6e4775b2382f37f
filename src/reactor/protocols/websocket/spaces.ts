/**
 * Memory for frames of which a part has come, used again: to allocate it for each message of 64 KiB costs more than all the
 * rest of the message. Runs in the reactor.
 */

/** Two messages of 64 KiB with their headers; longer frames grow as they come. */
const SPACE_BYTES = 131_072 + 64;
/** Shorter frames are cheap to allocate. */
const SHORT_BYTES = 16_384;
const MOST_SPACES = 16;

export class Spaces {
  readonly #free: Buffer[] = [];

  /** @param bytes of the frame, headers included @returns undefined: it is to be allocated as it comes */
  forFrame(bytes: number): Buffer | undefined {
    if (bytes <= SHORT_BYTES || bytes > SPACE_BYTES) return undefined;
    // What is not written to takes no memory: a client that announces a long frame and sends nothing gets none.
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(SPACE_BYTES);
  }

  giveBack(space: Buffer): void {
    if (space.length === SPACE_BYTES && this.#free.length < MOST_SPACES) this.#free.push(space);
  }
}
