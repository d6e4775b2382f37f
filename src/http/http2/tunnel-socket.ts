/** The bytes of a connection as a stream, for Node's HTTP/2: back-pressure goes both ways. Runs in a worker. */
import { isIPv6 } from 'node:net';
import type { Http2Source } from '../http-requests.js';
import type { Tunnel } from '../node/raw-exchange.js';
import { SocketOfReactor } from '../node/socket-of-reactor.js';

/** Frames written together are joined into one piece up to this size. */
const JOINED_BYTES = 65_536;

/** Inspects the output. */
export interface Observer {
  passed(bytes: Uint8Array): void;
  /** All of it was passed on. */
  moved(): void;
}

type Done = (error?: Error | null) => void;

export class TunnelSocket extends SocketOfReactor {
  readonly encrypted: boolean;
  readonly alpnProtocol: string | false;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly remoteFamily: string;
  readonly #tunnel: Tunnel;
  readonly #observer: Observer | undefined;
  /** The client does not take the bytes sent to it. */
  isBlocked = false;
  #isPaused = false;
  #isGone = false;

  constructor(source: Http2Source, observer?: Observer) {
    super();
    this.#observer = observer;
    this.encrypted = source.isEncrypted;
    this.alpnProtocol = source.isEncrypted ? 'h2' : false;
    this.remoteAddress = source.remoteAddress;
    this.remotePort = source.remotePort;
    this.remoteFamily = isIPv6(source.remoteAddress) ? 'IPv6' : 'IPv4';
    this.#tunnel = source.tunnel({
      received: (data) => this.#received(data),
      ended: () => this.#clientEnded(),
      gone: () => this.#gone(),
    });
  }

  /** The time limits of a connection are kept elsewhere. */
  setTimeout(): this {
    return this;
  }

  override _read(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#tunnel.resume();
  }

  override _write(data: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#observer?.passed(data);
    this.#goOn(this.#tunnel.write(data), done);
  }

  override _writev(pieces: { chunk: Buffer }[], done: Done): void {
    const buffers = pieces.map(({ chunk }) => chunk);
    const length = buffers.reduce((sum, { length }) => sum + length, 0);
    if (length <= JOINED_BYTES) return this._write(Buffer.concat(buffers, length), 'binary', done);
    let hasRoom = true;
    for (const buffer of buffers) {
      this.#observer?.passed(buffer);
      hasRoom = this.#tunnel.write(buffer);
    }
    this.#goOn(hasRoom, done);
  }

  #goOn(hasRoom: boolean, done: Done): void {
    if (hasRoom) {
      done();
      return this.#observer?.moved();
    }
    this.isBlocked = true;
    const goOn = (error?: Error): void => {
      this.isBlocked = false;
      done(error);
      this.#observer?.moved();
    };
    this.#tunnel.drain().then(() => goOn(), goOn);
  }

  override _final(done: Done): void {
    this.#tunnel.end();
    done();
  }

  override _destroy(error: Error | null, done: Done): void {
    // After an orderly end the reactor still sends its queued bytes.
    if (!this.#isGone && !this.writableFinished) this.#tunnel.destroy();
    done(error);
  }

  /** Ends it at once, even where the client holds up an end under way. */
  kill(): void {
    if (!this.#isGone) this.#tunnel.destroy();
    this.destroy();
  }

  #received(data: Buffer): void {
    if (this.destroyed || this.readableEnded || this.push(data) || this.#isPaused) return;
    this.#isPaused = true;
    this.#tunnel.pause();
  }

  #clientEnded(): void {
    if (!this.destroyed) this.push(null);
  }

  #gone(): void {
    this.#isGone = true;
    this.destroy();
  }
}
