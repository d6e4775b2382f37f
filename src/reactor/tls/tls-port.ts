/**
 * A port that speaks TLS: accepted clients wait here until they have shaken hands, and become connections then. The
 * handshakes are those of a server of Node's `tls` that listens on nothing. Runs in the reactor.
 */
import { Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import type { Arrival } from '../../ipc/arrival.js';
import type { LoadedTls } from '../../listen/tls-material.js';
import { TlsStream } from './tls-stream.js';

export interface TlsHost {
  /** It has shaken hands. */
  secured(arrival: Arrival, stream: TlsStream): void;
  /** It has not; its descriptor is closed. */
  turnedAway(arrival: Arrival, why: string): void;
}

interface Waiting {
  readonly arrival: Arrival;
  why: string;
}

const ENDED = 'it ended in the handshake, or its certificate is missing or was not accepted';

export class TlsPort {
  readonly #host: TlsHost;
  readonly #waiting = new Map<Socket, Waiting>();
  #server: Server;

  constructor(loaded: LoadedTls, host: TlsHost) {
    this.#host = host;
    this.#server = this.#createServer(loaded);
  }

  /** Other certificates, for those who come from now on. */
  use(loaded: LoadedTls): void {
    this.#server = this.#createServer(loaded);
  }

  /** Clients that have not shaken hands yet. */
  get size(): number {
    return this.#waiting.size;
  }

  /** @param begun what it has sent already */
  admit(arrival: Arrival, begun: Buffer): void {
    const socket = new Socket({ fd: arrival.descriptor, readable: true, writable: true, allowHalfOpen: true });
    this.#waiting.set(socket, { arrival, why: ENDED });
    socket.on('error', (error) => this.#failed(socket, error));
    socket.once('close', () => this.#closed(socket));
    if (begun.length > 0) socket.unshift(Buffer.from(begun));
    this.#server.emit('connection', socket);
  }

  /** Nobody is waited for any more. */
  clear(): void {
    for (const socket of [...this.#waiting.keys()]) socket.destroy();
  }

  #createServer({ options, sni }: LoadedTls): Server {
    const server = createServer(options, (stream) => this.#secured(stream));
    for (const [name, context] of sni) server.addContext(name, context);
    server.on('tlsClientError', (error, stream) => {
      const socket = socketOf(stream);
      this.#failed(socket, error);
      socket.destroy();
    });
    return server;
  }

  #secured(stream: TLSSocket): void {
    const socket = socketOf(stream);
    const waiting = this.#waiting.get(socket);
    if (waiting === undefined) return void stream.destroy();
    this.#waiting.delete(socket);
    this.#host.secured(waiting.arrival, new TlsStream(stream, socket));
  }

  #failed(socket: Socket, error: Error): void {
    const waiting = this.#waiting.get(socket);
    if (waiting === undefined) return;
    const { reason, message } = error as Error & { reason?: string }; // OpenSSL's words, without its source lines
    waiting.why = reason ?? message;
  }

  #closed(socket: Socket): void {
    const waiting = this.#waiting.get(socket);
    if (waiting === undefined) return;
    this.#waiting.delete(socket);
    this.#host.turnedAway(waiting.arrival, waiting.why);
  }
}

/** The plain socket below. Node has no public name for it; a test on every supported version guards this one. */
function socketOf(stream: TLSSocket): Socket {
  return (stream as unknown as { _parent: Socket })._parent;
}
