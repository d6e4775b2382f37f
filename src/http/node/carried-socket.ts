import type { Tunnel, TunnelEvents } from './raw-exchange.js';
import { SocketOfReactor } from './socket-of-reactor.js';

/** Where written bytes go at the moment. */
export interface Sink {
  /** @returns false: wait for `drain` */
  write(data: Uint8Array | string, encoding: 'latin1' | 'utf8'): boolean;
  drain(): Promise<void>;
}

export interface Peer {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly isEncrypted: boolean;
}

type Callback = (error?: Error | null) => void;
type Chunk = { chunk: Buffer | string; encoding: BufferEncoding };

/** Pieces up to this size that are written together are sent together. */
const MAX_JOINED_BYTES = 64 * 1024;

/**
 * The socket that Node's servers get for a connection that another process or thread owns. It looks like a
 * `net.Socket` as far as frameworks inspect one. Runs in a worker.
 */
export class CarriedSocket extends SocketOfReactor {
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** Frameworks recognise https by it. */
  readonly encrypted: boolean;
  readonly connecting = false;
  readonly pending = false;
  bytesRead = 0;
  bytesWritten = 0;
  timeout = 0;
  #sink: Sink | null = null;
  #tunnel: Tunnel | null = null;
  #isPaused = false;
  #timer: NodeJS.Timeout | undefined;
  #wanted: (() => void) | null = null;

  constructor({ remoteAddress, remotePort, isEncrypted }: Peer) {
    super({ allowHalfOpen: true, decodeStrings: false });
    this.remoteAddress = remoteAddress;
    this.remotePort = remotePort;
    this.encrypted = isEncrypted;
  }

  get remoteFamily(): 'IPv4' | 'IPv6' {
    return this.remoteAddress.includes(':') ? 'IPv6' : 'IPv4';
  }

  get readyState(): 'open' | 'readOnly' | 'writeOnly' | 'closed' {
    if (this.destroyed) return 'closed';
    if (this.readable) return this.writable ? 'open' : 'readOnly';
    return this.writable ? 'writeOnly' : 'closed';
  }

  get isTunnel(): boolean {
    return this.#tunnel !== null;
  }

  /** The sink of the bytes from now on; null: no reader waits for any, and they are dropped. */
  carryTo(sink: Sink | null): void {
    this.#sink = sink;
  }

  /** Bytes go both ways from now on, for as long as the connection lives. */
  openTunnel(open: (events: TunnelEvents) => Tunnel): void {
    const tunnel = open({
      received: (data) => {
        if (this.feed(data)) return;
        this.#isPaused = true;
        tunnel.pause();
      },
      ended: () => void (this.readableEnded || this.destroyed || this.push(null)),
      gone: () => this.destroy(),
    });
    this.#tunnel = tunnel;
    this.#sink = {
      write: (data, encoding) => tunnel.write(typeof data === 'string' ? Buffer.from(data, encoding) : data),
      drain: () => tunnel.drain(),
    };
  }

  /** Passes bytes to the reader. @returns false: wait for `wanted` */
  feed(data: Buffer | string): boolean {
    if (this.destroyed || data.length === 0) return true;
    this.bytesRead += data.length;
    this.#refresh();
    return typeof data === 'string' ? this.push(data, 'latin1') : this.push(data);
  }

  /** Resolves when more is read, or the socket is gone. */
  wanted(): Promise<void> {
    if (this.destroyed) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wanted = resolve;
    });
  }

  setTimeout(ms: number, listener?: () => void): this {
    clearTimeout(this.#timer);
    this.timeout = ms;
    if (listener !== undefined) {
      if (ms === 0) this.removeListener('timeout', listener);
      else this.once('timeout', listener);
    }
    this.#timer = ms === 0 ? undefined : setTimeout(() => this.emit('timeout'), ms).unref();
    return this;
  }

  address(): Record<string, never> {
    return {};
  }

  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }

  override _read(): void {
    const wanted = this.#wanted;
    this.#wanted = null;
    wanted?.();
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#tunnel?.resume();
  }

  override _write(chunk: Buffer | string, encoding: BufferEncoding, callback: Callback): void {
    this.#write(chunk, encoding, callback);
  }

  override _writev(chunks: Chunk[], callback: Callback): void {
    const buffers = chunks.map(({ chunk, encoding }) =>
      typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk,
    );
    if (buffers.reduce((sum, { length }) => sum + length, 0) <= MAX_JOINED_BYTES) {
      this.#write(Buffer.concat(buffers), 'latin1', callback);
      return;
    }
    this.#writeEach(buffers, 0, callback);
  }

  override _final(callback: Callback): void {
    this.#tunnel?.end();
    callback();
  }

  override _destroy(error: Error | null, callback: Callback): void {
    clearTimeout(this.#timer);
    this.#wanted?.();
    this.#wanted = null;
    this.#tunnel?.destroy();
    this.#sink = null;
    callback(error);
  }

  #writeEach(buffers: Buffer[], from: number, callback: Callback): void {
    if (from === buffers.length) callback();
    else this.#write(buffers[from]!, 'latin1', () => this.#writeEach(buffers, from + 1, callback));
  }

  #write(chunk: Buffer | string, encoding: BufferEncoding, callback: Callback): void {
    const sink = this.#sink;
    this.bytesWritten += typeof chunk === 'string' ? Buffer.byteLength(chunk, encoding) : chunk.length;
    this.#refresh();
    if (sink === null || sendTo(sink, chunk, encoding)) callback();
    else sink.drain().then(() => callback(), callback);
  }

  #refresh(): void {
    this.#timer?.refresh();
  }
}

function sendTo(sink: Sink, chunk: Buffer | string, encoding: BufferEncoding): boolean {
  if (typeof chunk !== 'string') return sink.write(chunk, 'latin1');
  if (encoding === 'latin1' || encoding === 'ascii' || encoding === 'binary') return sink.write(chunk, 'latin1');
  if (encoding === 'utf8' || encoding === 'utf-8') return sink.write(chunk, 'utf8');
  return sink.write(Buffer.from(chunk, encoding), 'latin1');
}
