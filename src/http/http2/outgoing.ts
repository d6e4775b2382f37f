/** The body of an answer on its way into a stream: pieces and parts of files, in the order they were given. */

import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import type { ServerHttp2Stream } from 'node:http2';
import type { FilePiece } from '../exchange.js';

type Item = { readonly data: string | Uint8Array } | { readonly file: FilePiece } | 'end';

export class Outgoing {
  readonly #stream: ServerHttp2Stream;
  /** What waits behind the file that is being read; undefined: none is. */
  #queue: Item[] | undefined;
  #waiters: (() => void)[] = [];
  readonly #failed: (error: unknown) => void;

  /** @param failed a file could not be read to its end: the answer cannot be finished */
  constructor(stream: ServerHttp2Stream, failed: (error: unknown) => void) {
    this.#stream = stream;
    this.#failed = failed;
  }

  write(data: string | Uint8Array): boolean {
    if (this.#queue === undefined) return this.#stream.write(data);
    this.#queue.push({ data });
    return false;
  }

  writeFile(file: FilePiece): void {
    if (this.#queue !== undefined) this.#queue.push({ file });
    else {
      this.#queue = [{ file }];
      void this.#work(this.#queue);
    }
  }

  end(): void {
    if (this.#queue === undefined) this.#stream.end();
    else this.#queue.push('end');
  }

  drain(): Promise<void> {
    if (!this.#isFull) return Promise.resolve();
    if (this.#waiters.length === 0) this.#stream.once('drain', () => this.#checkRoom());
    return new Promise((resolve) => void this.#waiters.push(resolve));
  }

  /** Nothing will be sent any more. */
  close(): void {
    this.#queue?.splice(0);
    this.#release();
  }

  get #isFull(): boolean {
    return !this.#stream.destroyed && (this.#queue !== undefined || this.#stream.writableNeedDrain);
  }

  #checkRoom(): void {
    if (!this.#isFull) this.#release();
    else if (this.#waiters.length > 0) this.#stream.once('drain', () => this.#checkRoom());
  }

  #release(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const resolve of waiters) resolve();
  }

  async #work(queue: Item[]): Promise<void> {
    try {
      for (let item = queue.shift(); item !== undefined && !this.#stream.destroyed; item = queue.shift()) {
        if (item === 'end') this.#stream.end();
        else if ('data' in item) this.#stream.write(item.data);
        else await this.#send(item.file);
      }
      this.#queue = undefined;
      this.#checkRoom();
    } catch (error) {
      this.#queue = undefined;
      this.#failed(error);
    }
  }

  async #send({ path, offset, length }: FilePiece): Promise<void> {
    const stream = this.#stream;
    const file = createReadStream(path, { start: offset, end: offset + length - 1 });
    let left = length;
    // Whoever waits for `drain` of a stream that is gone waits for ever.
    const stop = new AbortController();
    const onClose = (): void => stop.abort();
    stream.once('close', onClose);
    try {
      for await (const piece of file as AsyncIterable<Buffer>) {
        if (stream.destroyed) return;
        left -= piece.length;
        if (!stream.write(piece)) await once(stream, 'drain', { signal: stop.signal });
      }
    } catch (error) {
      if (!stream.destroyed) throw error;
      return;
    } finally {
      stream.off('close', onClose);
    }
    if (left > 0) throw new Error(`${path} is shorter by ${left} bytes than it was`);
  }
}
