/**
 * The last text that came compressed, beside its compressed form. Without context takeover (RFC 7692 7.2.1) a message stands
 * for itself, so a text that is sent on as it came, to one client or to a room, needs no compressor: that is two thirds of
 * what an echo or a chat message costs. One per worker.
 */
export class ReceivedText {
  #text: string | undefined;
  #compressed: Buffer | undefined;

  /**
   * @param compressed the payload, without the tail, in memory of its own: one stream that inflates to `text`
   * @param bytes of the text
   */
  keep(text: string, compressed: Buffer, bytes: number): void {
    // A client may compress so badly that it grows; its waste is not passed on.
    const isSmaller = compressed.length < bytes;
    this.#text = isSmaller ? text : undefined;
    this.#compressed = isSmaller ? compressed : undefined;
  }

  /** @returns its compressed form, where `data` is that text */
  compressedFormOf(data: string | Uint8Array): Buffer | undefined {
    return data === this.#text ? this.#compressed : undefined;
  }
}
