/** An encrypted connection, as the reactor reads and writes it: Node's TLS over the accepted descriptor. */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { pemOf, type TlsInfo } from '../../memory/tls-records.js';
import { EAGAIN } from '../../os/libc.js';
import type { Secured, TransportEvents } from './transport.js';

export class TlsStream implements Secured {
  readonly #stream: TLSSocket;
  readonly #socket: Socket;
  /** The rest of a piece for which the reader had no room. */
  #rest: Buffer | null = null;
  /** The client has ended its side; earlier bytes may still be there to read. */
  #hasEnded = false;
  #events: TransportEvents | undefined;
  readonly #written = (): void => this.#events?.written();

  constructor(stream: TLSSocket, socket: Socket) {
    this.#stream = stream;
    this.#socket = socket;
  }

  listen(events: TransportEvents): void {
    this.#events = events;
    this.#stream.on('readable', () => events.readable());
    this.#stream.on('end', () => {
      this.#hasEnded = true;
      events.readable();
    });
    this.#stream.on('error', (error) => events.failed(error));
    this.#stream.on('close', () => events.closed());
  }

  /** @returns plain bytes put to `target` at `at`; 0: the client has ended its side; −EAGAIN: nothing now */
  receive(target: Buffer, at: number, limit: number): number {
    const piece = this.#rest ?? (this.#stream.read() as Buffer | null);
    if (piece === null) return this.#hasEnded ? 0 : -EAGAIN;
    const count = piece.copy(target, at, 0, Math.min(limit, piece.length));
    this.#rest = count < piece.length ? piece.subarray(count) : null;
    return count;
  }

  /** @param bytes are kept until they are written; then comes `written` */
  write(bytes: Buffer): void {
    this.#stream.write(bytes, this.#written);
  }

  /** Plain bytes that are not yet encrypted and written. */
  get queuedBytes(): number {
    return this.#stream.writableLength;
  }

  /** The descriptor is closed, or about to be. */
  get isDestroyed(): boolean {
    return this.#stream.destroyed || this.#socket.destroyed;
  }

  /** close_notify and FIN, behind all that was written. What the client still sends is discarded. */
  end(): void {
    this.#stream.end();
    this.#stream.resume();
  }

  destroy(): void {
    this.#stream.destroy();
    this.#socket.destroy();
  }

  /** The protocol agreed upon, '' for none. */
  get alpn(): string {
    return this.#stream.alpnProtocol || '';
  }

  free(): void {
    this.destroy();
  }

  info(): TlsInfo {
    const stream = this.#stream;
    const certificate = stream.getPeerCertificate();
    const hasCertificate = certificate !== null && Object.keys(certificate).length > 0;
    const { servername } = stream as { servername?: string | false };
    return {
      version: stream.getProtocol() ?? '',
      cipher: stream.getCipher().standardName,
      alpn: stream.alpnProtocol || '',
      serverName: servername || '',
      authorized: stream.authorized,
      subject: hasCertificate ? String(certificate.subject?.CN ?? '') : '',
      fingerprint256: hasCertificate ? certificate.fingerprint256 : '',
      certificate: hasCertificate ? pemOf(certificate.raw) : '',
    };
  }
}
