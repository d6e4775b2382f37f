/** The body of an answer on its way into a stream: pieces and parts of files, in the order they were given. */

import { once } from 'node:events';
import { type FileHandle, open } from 'node:fs/promises';
import type { ServerHttp2Stream } from 'node:http2';
import type { FilePiece } from '../exchange.js';
import type { HeldStream } from './held-connection.js';

type Item = { readonly data: string | Uint8Array } | { readonly file: FilePiece } | 'end';

/** Of a file so much is read at once; the next piece when the client has taken this one. */
const FILE_BYTES = 65_536;
/** Where too much waits in this process. */
const FEW_FILE_BYTES = 16_384;

export class Outgoing {
  readonly #held: HeldStream;
  readonly #stream: ServerHttp2Stream;
  /** What waits behind the file that is being read; undefined: none is. */
  #queue: Item[] | undefined;
  #waiters: (() => void)[] = [];
  readonly #failed: (error: unknown) => void;

  /** @param failed a file could not be read to its end: the answer cannot be finished */
  constructor(held: HeldStream, stream: ServerHttp2Stream, failed: (error: unknown) => void) {
    this.#held = held;
    this.#stream = stream;
    this.#failed = failed;
  }

  write(data: string | Uint8Array): boolean {
    if (this.#queue === undefined) return this.#write(data);
    this.#queue.push({ data });
    this.#held.queued += data.length;
    this.#held.added();
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
    this.#held.queued = 0;
    this.#release();
  }

  #write(data: string | Uint8Array): boolean {
    const hasRoom = this.#stream.write(data);
    this.#held.added();
    return hasRoom;
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
        else if ('data' in item) this.#writeQueued(item.data);
        else await this.#send(item.file);
      }
      this.#queue = undefined;
      this.#checkRoom();
    } catch (error) {
      this.#queue = undefined;
      this.#failed(error);
    }
  }

  #writeQueued(data: string | Uint8Array): void {
    this.#held.queued -= data.length;
    this.#write(data);
  }

  async #send({ path, offset, length }: FilePiece): Promise<void> {
    const file = await open(path);
    // Whoever waits for `drain` of a stream that is gone waits for ever.
    const stop = new AbortController();
    const onClose = (): void => stop.abort();
    this.#stream.once('close', onClose);
    try {
      const left = await this.#sendFrom(file, offset, length, stop.signal);
      if (left > 0) throw new Error(`${path} is shorter by ${left} bytes than it was`);
    } catch (error) {
      if (!this.#stream.destroyed) throw error;
    } finally {
      this.#stream.off('close', onClose);
      await file.close();
    }
  }

  /** @returns bytes that are not there */
  async #sendFrom(file: FileHandle, offset: number, length: number, signal: AbortSignal): Promise<number> {
    const stream = this.#stream;
    for (let sent = 0; sent < length; ) {
      const most = this.#held.isCrowded ? FEW_FILE_BYTES : FILE_BYTES;
      const buffer = Buffer.allocUnsafeSlow(Math.min(most, length - sent));
      const { bytesRead } = await file.read(buffer, 0, buffer.length, offset + sent);
      if (stream.destroyed) return 0;
      if (bytesRead === 0) return length - sent;
      sent += bytesRead;
      if (!this.#write(buffer.subarray(0, bytesRead))) await once(stream, 'drain', { signal });
    }
    return 0;
  }
}
