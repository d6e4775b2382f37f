/** The body of an answer on its way into a stream: pieces and parts of files, in the order they were given. */

import { type FileHandle, open } from 'node:fs/promises';
import type { ServerHttp2Stream } from 'node:http2';
import type { FilePiece } from '../exchange.js';
import type { HeldStream } from './held-connection.js';

type Item = { readonly data: string | Uint8Array } | { readonly file: FilePiece } | 'end';

/** Bytes of a file read at once; the next piece follows when the client has taken this one. */
const FILE_BYTES = 65_536;
/** The same where too many bytes wait in this process: every file advances, at the pace of its client. */
const FEW_FILE_BYTES = 8192;

/**
 * Memory that may shrink while it waits is copied: Node reads it later, and reading what is not there ends the process. (Over
 * a socket of its own the kernel refuses such memory.)
 */
export function steady(data: string | Uint8Array): string | Uint8Array {
  return typeof data !== 'string' && 'resizable' in data.buffer && data.buffer.resizable ? Buffer.from(data) : data;
}

export class Outgoing {
  readonly #held: HeldStream;
  readonly #stream: ServerHttp2Stream;
  /** Items that wait behind the file that is being read; undefined: none is. */
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
    this.#queue.push({ data: steady(data) });
    this.#count(data.length);
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

  /** Further items are dropped. */
  close(): void {
    this.#queue?.splice(0);
    this.#held.queued = 0;
    this.#release();
  }

  #write(data: string | Uint8Array): boolean {
    const hasRoom = this.#stream.write(steady(data));
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

  /** The number of waiting bytes has changed. */
  #count(bytes: number): void {
    if (this.#stream.destroyed) return;
    this.#held.queued += bytes;
    this.#held.added();
  }

  async #send({ path, offset, length }: FilePiece): Promise<void> {
    const file = await open(path);
    try {
      const left = await this.#sendFrom(file, offset, length);
      if (left > 0) throw new Error(`${path} is shorter by ${left} bytes than it was`);
    } catch (error) {
      if (!this.#stream.destroyed) throw error;
    } finally {
      await file.close();
    }
  }

  /** @returns bytes that are missing */
  async #sendFrom(file: FileHandle, offset: number, length: number): Promise<number> {
    const stream = this.#stream;
    for (let sent = 0; sent < length && !stream.destroyed; ) {
      const most = this.#held.isCrowded ? FEW_FILE_BYTES : FILE_BYTES;
      const buffer = Buffer.allocUnsafeSlow(Math.min(most, length - sent));
      this.#count(buffer.length);
      const { bytesRead } = await file.read(buffer, 0, buffer.length, offset + sent);
      this.#count(-buffer.length);
      if (stream.destroyed) return 0;
      if (bytesRead === 0) return length - sent;
      sent += bytesRead;
      await this.#written(buffer.subarray(0, bytesRead));
    }
    return 0;
  }

  /** Resolves when the client has taken it, or the stream is gone. */
  #written(piece: Uint8Array): Promise<void> {
    const stream = this.#stream;
    return new Promise((resolve) => {
      const onClose = (): void => resolve();
      stream.once('close', onClose);
      stream.write(piece, () => {
        stream.off('close', onClose);
        resolve();
      });
      this.#held.added();
    });
  }
}
