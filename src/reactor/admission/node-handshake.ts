/**
 * Clients of a port that speaks TLS wait here until they have shaken hands. The handshakes are those of a server of
 * Node's `tls` that listens on nothing. Runs in the reactor.
 */
import { Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import type { Arrival } from '../../ipc/arrival.js';
import type { LoadedTls } from '../../listen/tls-material.js';
import { copyDescriptor } from '../../os/socket.js';
import type { PendingRecord, Snapshot } from '../handoff/snapshot.js';
import { TlsStream } from '../transport/tls-stream.js';
import type { Transport } from '../transport/transport.js';
import type { AdmissionGate, Admit, Entrant } from './gate.js';
import { Lingering, type LingeringParts } from './lingering.js';

export interface NodeHandshakeParts extends LingeringParts {
  readonly loaded: LoadedTls;
  /** See `HandshakeGate`. */
  readonly fellBack?: string;
  /** Of the clients that pass. */
  readonly transport: Transport;
  /** The poller is to forget a descriptor: it is Node's from here on. */
  abandon(descriptor: number): void;
  /** The client waits no longer; its descriptor is closed, or a copy of it will be without being counted. */
  refuse(arrival: Arrival, why: string): void;
}

interface Pending {
  readonly arrival: Arrival;
  readonly next: Admit;
  why: string;
}

const ENDED = 'it ended in the handshake, or its certificate is missing or was not accepted';
const nothing = Buffer.alloc(0);

export class NodeHandshakeGate implements AdmissionGate {
  readonly #parts: NodeHandshakeParts;
  readonly #pending = new Map<Socket, Pending>();
  readonly #lingering: Lingering;
  readonly fellBack?: string;
  #server: Server;

  constructor(parts: NodeHandshakeParts) {
    this.#parts = parts;
    this.#lingering = new Lingering(parts);
    if (parts.fellBack !== undefined) this.fellBack = parts.fellBack;
    this.#server = this.#createServer(parts.loaded);
  }

  renew(loaded: LoadedTls): void {
    this.#server = this.#createServer(loaded);
  }

  /** Node watches the descriptors of those that wait itself. */
  ready(token: number): boolean {
    return this.#lingering.ready(token);
  }

  owns(token: number): boolean {
    return this.#lingering.owns(token);
  }

  get waiting(): number {
    return this.#pending.size;
  }

  admit({ arrival, early, isWatched }: Entrant, next: Admit): void {
    if (isWatched) this.#parts.abandon(arrival.descriptor);
    const socket = new Socket({ fd: arrival.descriptor, readable: true, writable: true, allowHalfOpen: true });
    this.#pending.set(socket, { arrival, next, why: ENDED });
    socket.on('error', (error) => this.#failed(socket, error));
    socket.once('close', () => this.#closed(socket));
    if (early.length > 0) socket.unshift(Buffer.from(early));
    this.#server.emit('connection', socket);
  }

  /** None: half a handshake cannot go over. */
  handOver(): Snapshot<PendingRecord>[] {
    return [];
  }

  clear(): void {
    for (const socket of [...this.#pending.keys()]) socket.destroy();
    this.#lingering.clear();
  }

  #createServer({ options, sni }: LoadedTls): Server {
    const server = createServer(options, (stream) => this.#secured(stream));
    for (const [name, context] of sni) server.addContext(name, context);
    server.on('tlsClientError', (error, stream) => {
      const socket = socketOf(stream);
      this.#failed(socket, error);
      this.#linger(socket);
      socket.destroy();
    });
    return server;
  }

  #secured(stream: TLSSocket): void {
    const socket = socketOf(stream);
    const pending = this.#pending.get(socket);
    if (pending === undefined) return void stream.destroy();
    this.#pending.delete(socket);
    const { arrival, next } = pending;
    const secure = new TlsStream(stream, socket);
    next({ arrival, early: nothing, isWatched: false, secure, transport: this.#parts.transport });
  }

  /** Node closes its descriptor at once, so a copy keeps the client until it has read the alert. */
  #linger(socket: Socket): void {
    const pending = this.#pending.get(socket);
    if (pending === undefined || !isOpen(socket)) return;
    const copy = copyDescriptor(pending.arrival.descriptor);
    if (copy >= 0) this.#lingering.add(copy, false);
  }

  #failed(socket: Socket, error: Error): void {
    const pending = this.#pending.get(socket);
    if (pending === undefined) return;
    const { reason, message } = error as Error & { reason?: string }; // OpenSSL's words, without its source lines
    pending.why = reason ?? message;
  }

  #closed(socket: Socket): void {
    const pending = this.#pending.get(socket);
    if (pending === undefined) return;
    this.#pending.delete(socket);
    this.#parts.refuse(pending.arrival, pending.why);
  }
}

/** The plain socket below. Node has no public name for it; a test on every supported version guards this one. */
function socketOf(stream: TLSSocket): Socket {
  return (stream as unknown as { _parent: Socket })._parent;
}

/** Its descriptor is still its own: once it is closed, the number may be another client's. */
function isOpen(socket: Socket): boolean {
  return ((socket as unknown as { _handle: { fd?: number } | null })._handle?.fd ?? -1) >= 0;
}
