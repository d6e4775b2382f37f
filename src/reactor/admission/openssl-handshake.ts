/**
 * Clients of a port that speaks TLS wait here until they have shaken hands by the OpenSSL inside Node. Runs in the
 * reactor.
 */
import type { Arrival } from '../../ipc/arrival.js';
import type { LoadedTls } from '../../listen/tls-material.js';
import { type Poller, READABLE, WRITABLE } from '../../os/poller.js';
import { closeDescriptor } from '../../os/socket.js';
import { TlsContexts } from '../transport/openssl/tls-contexts.js';
import { TlsSession } from '../transport/openssl/tls-session.js';
import type { Transport } from '../transport/transport.js';
import type { AdmissionGate, Admit, Entrant } from './gate.js';
import { Lingering } from './lingering.js';

export interface OpensslHandshakeParts {
  readonly contexts: TlsContexts;
  /** Of the clients that pass. */
  readonly transport: Transport;
  /** A client that has not shaken hands by then is turned away. */
  readonly handshakeTimeoutMs: number;
  readonly poller: Poller;
  /** Not in use by another gate, and out of the range of slots and datagrams. */
  newToken(): number;
  /** The client waits no longer; its descriptor is closed, or will be without being counted. */
  refuse(arrival: Arrival, why: string): void;
}

interface Pending {
  readonly arrival: Arrival;
  readonly token: number;
  readonly deadline: number;
  readonly session: TlsSession;
  readonly next: Admit;
}

const LOOK_MS = 250;
const nothing = Buffer.alloc(0);

export class OpensslHandshakeGate implements AdmissionGate {
  readonly #parts: OpensslHandshakeParts;
  readonly #pending = new Map<number, Pending>();
  readonly #lingering: Lingering;
  #contexts: TlsContexts;
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: OpensslHandshakeParts) {
    this.#parts = parts;
    this.#lingering = new Lingering(parts);
    this.#contexts = parts.contexts;
  }

  renew(loaded: LoadedTls): void {
    this.#contexts = new TlsContexts(loaded);
  }

  get waiting(): number {
    return this.#pending.size;
  }

  /** @param next is given the client when it has shaken hands, never before this call returns; it reads at once */
  admit({ arrival, early, isWatched }: Entrant, next: Admit): void {
    const { poller, handshakeTimeoutMs, newToken } = this.#parts;
    const token = newToken();
    const session = new TlsSession(this.#contexts, arrival.descriptor, early);
    const deadline = performance.now() + handshakeTimeoutMs;
    this.#pending.set(token, { arrival, token, deadline, session, next });
    this.#timer ??= setInterval(() => this.#refuseLate(), LOOK_MS);
    if (isWatched) poller.retoken(arrival.descriptor, token);
    else poller.add(arrival.descriptor, token);
    // It may have said all it has to say: then only its room for our answer is reported.
    if (early.length > 0) poller.rearm(arrival.descriptor, READABLE | WRITABLE);
  }

  /** @returns false: the token is not one of this gate's */
  ready(token: number): boolean {
    const client = this.#pending.get(token);
    if (client === undefined) return this.#lingering.ready(token);
    this.#shakeHands(client);
    return true;
  }

  owns(token: number): boolean {
    return this.#pending.has(token) || this.#lingering.owns(token);
  }

  /** None: half a handshake cannot go over to another process. */
  handOver(): never[] {
    return [];
  }

  clear(): void {
    for (const client of [...this.#pending.values()]) this.#refuse(client, 'the server shuts down');
    this.#lingering.clear();
  }

  #shakeHands(client: Pending): void {
    const { arrival, session, next } = client;
    const result = session.handshake();
    if (result === 'wants-read') return this.#parts.poller.rearm(arrival.descriptor, READABLE);
    if (result === 'wants-write') return this.#parts.poller.rearm(arrival.descriptor, WRITABLE);
    if (result !== 'done') return this.#refuseTold(client, result.failed);
    this.#forget(client);
    next({ arrival, early: nothing, isWatched: true, secure: session, transport: this.#parts.transport });
  }

  /** It was sent an alert, if there is one for it. */
  #refuseTold(client: Pending, why: string): void {
    const { arrival, session } = client;
    this.#forget(client);
    session.free();
    this.#lingering.add(arrival.descriptor, true);
    this.#parts.refuse(arrival, why);
  }

  #refuse(client: Pending, why: string): void {
    const { arrival, session } = client;
    this.#forget(client);
    session.free();
    this.#parts.poller.remove(arrival.descriptor);
    closeDescriptor(arrival.descriptor);
    this.#parts.refuse(arrival, why);
  }

  #refuseLate(): void {
    const now = performance.now();
    const { handshakeTimeoutMs } = this.#parts;
    for (const client of [...this.#pending.values()]) {
      if (now >= client.deadline) this.#refuse(client, `it has not shaken hands within ${handshakeTimeoutMs} ms`);
    }
  }

  #forget(client: Pending): void {
    this.#pending.delete(client.token);
    if (this.#pending.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
