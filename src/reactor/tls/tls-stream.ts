/** An encrypted connection, as the reactor reads and writes it: Node's TLS over the accepted descriptor. */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { pemOf, type TlsInfo } from '../../memory/tls-records.js';

export interface TlsStreamEvents {
  /** Bytes, or the client's end. */
  readable(): void;
  failed(error: NodeJS.ErrnoException): void;
  /** The descriptor is gone. */
  closed(): void;
}

export class TlsStream {
  readonly #stream: TLSSocket;
  readonly #socket: Socket;
  /** Unix ms at which something of what waits left last. */
  waitingSince = 0;
  /** What the client had acknowledged when it was looked at last; −1: not yet. */
  acknowledged = -1;
  /** The client has ended its side; what it has sent before may still be there to read. */
  hasEnded = false;

  constructor(stream: TLSSocket, socket: Socket) {
    this.#stream = stream;
    this.#socket = socket;
  }

  listen(events: TlsStreamEvents): void {
    this.#stream.on('readable', () => events.readable());
    this.#stream.on('end', () => {
      this.hasEnded = true;
      events.readable();
    });
    this.#stream.on('error', (error) => events.failed(error));
    this.#stream.on('close', () => events.closed());
  }

  /** @returns the next plain bytes; null when there are none now */
  read(): Buffer | null {
    return this.#stream.read() as Buffer | null;
  }

  /** @param bytes are kept until they are written */
  write(bytes: Buffer, written: () => void): void {
    this.#stream.write(bytes, written);
  }

  /** Plain bytes that were not encrypted and written yet. */
  get queuedBytes(): number {
    return this.#stream.writableLength;
  }

  /** The descriptor is closed, or about to be. */
  get isDestroyed(): boolean {
    return this.#stream.destroyed || this.#socket.destroyed;
  }

  /** close_notify and FIN, behind all that was written. What the client still sends is thrown away. */
  end(): void {
    this.#stream.end();
    this.#stream.resume();
  }

  destroy(): void {
    this.#stream.destroy();
    this.#socket.destroy();
  }

  reset(): void {
    this.#socket.resetAndDestroy();
    this.#stream.destroy();
  }

  /** The protocol that was agreed upon, '' for none. */
  get alpn(): string {
    return this.#stream.alpnProtocol || '';
  }

  /** What the handshake has agreed upon, and who the client is if it has said so. */
  get info(): TlsInfo {
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
