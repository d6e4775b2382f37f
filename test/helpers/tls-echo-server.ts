/** A server of one thread that echoes by `TlsSession` on bare descriptors: no reactor, no process of its own. */

import { type LoadedTls, loadTls } from '../../src/listen/tls-material.js';
import type { TlsInfo } from '../../src/memory/tls-records.js';
import { tls as kind, type TlsOptions } from '../../src/options/tls.js';
import { SOCKADDR_BYTES } from '../../src/os/address.js';
import { createPoller } from '../../src/os/create-poller.js';
import { addressOf, allocateStable, EAGAIN } from '../../src/os/libc.js';
import { HANGUP, type Poller } from '../../src/os/poller.js';
import {
  accept,
  bindTcp,
  closeDescriptor,
  listen,
  localAddress,
  receive,
  setNoDelay,
  shutdownWrite,
} from '../../src/os/socket.js';
import { TlsContexts } from '../../src/reactor/transport/openssl/tls-contexts.js';
import { TlsSession } from '../../src/reactor/transport/openssl/tls-session.js';

const LISTENER = 0;
const LIMIT_BYTES = 65_536;

interface Client {
  readonly descriptor: number;
  session: TlsSession | null;
  isSecured: boolean;
  hasEnded: boolean;
  isClosing: boolean;
  queue: Buffer[];
}

export interface EchoSettings {
  /** Bytes that are read from each client before its session begins, as a PROXY header's reader does. */
  readonly begunBytes?: number;
  /** What one `read` may take. */
  readonly limitBytes?: number;
  /** Answers each client with these bytes at once, and ends. */
  readonly farewell?: Buffer;
}

export function loaded(options: TlsOptions): LoadedTls {
  return loadTls(kind().check('tls', options) as NonNullable<ReturnType<ReturnType<typeof kind>['check']>>);
}

export class TlsEchoServer {
  readonly infos: TlsInfo[] = [];
  readonly failures: string[] = [];
  /** '0' for an end, '−errno words' for a failure. */
  readonly ends: string[] = [];
  resumed = 0;
  waits = 0;
  /** Bytes. */
  echoed = 0;
  readonly port: number;
  contexts: TlsContexts;
  readonly #settings: EchoSettings;
  readonly #listener: number;
  readonly #poller: Poller;
  readonly #clients = new Map<number, Client>();
  readonly #space = allocateStable(LIMIT_BYTES);
  readonly #address = addressOf(this.#space);
  readonly #sockaddr = Buffer.alloc(SOCKADDR_BYTES);
  #tokens = LISTENER;

  constructor(options: TlsOptions, settings: EchoSettings = {}) {
    this.#settings = settings;
    this.contexts = new TlsContexts(loaded(options));
    this.#listener = bindTcp('127.0.0.1', 0);
    listen(this.#listener, 512);
    this.port = localAddress(this.#listener).port;
    const ready = (token: number, _descriptor: number, events: number): void =>
      token === LISTENER ? this.#accept() : this.#ready(token, events);
    this.#poller = createPoller('epoll', { ready, turnEnd: () => {} });
    this.#poller.addReadable(this.#listener, LISTENER);
  }

  get size(): number {
    return this.#clients.size;
  }

  close(): void {
    for (const token of [...this.#clients.keys()]) this.#close(token);
    this.#poller.remove(this.#listener);
    closeDescriptor(this.#listener);
    this.#poller.close();
  }

  #accept(): void {
    for (;;) {
      const descriptor = accept(this.#listener, this.#sockaddr);
      if (descriptor < 0) return;
      setNoDelay(descriptor);
      const token = ++this.#tokens;
      const state = { session: null, isSecured: false, hasEnded: false, isClosing: false, queue: [] };
      this.#clients.set(token, { descriptor, ...state });
      this.#poller.add(descriptor, token);
    }
  }

  #ready(token: number, events: number): void {
    const client = this.#clients.get(token);
    if (client === undefined) return;
    client.session ??= this.#begin(client.descriptor);
    if (client.session === null) return;
    if (!client.isSecured && !this.#shakeHands(token, client, client.session)) return;
    this.#flush(token, client, client.session);
    if (this.#clients.has(token) && !client.hasEnded) this.#read(token, client, client.session, events);
  }

  #begin(descriptor: number): TlsSession | null {
    const { begunBytes = 0 } = this.#settings;
    if (begunBytes === 0) return new TlsSession(this.contexts, descriptor);
    const n = receive(descriptor, this.#address, begunBytes);
    return n > 0 ? new TlsSession(this.contexts, descriptor, this.#space.subarray(0, n)) : null;
  }

  #shakeHands(token: number, client: Client, session: TlsSession): boolean {
    const result = session.handshake();
    if (result === 'wants-read' || result === 'wants-write') return false;
    if (result !== 'done') {
      this.failures.push(result.failed);
      this.#close(token);
      return false;
    }
    client.isSecured = true;
    this.infos.push(session.info());
    if (session.isResumed) this.resumed++;
    const { farewell } = this.#settings;
    if (farewell !== undefined) {
      client.queue.push(farewell);
      client.isClosing = true;
    }
    return true;
  }

  #read(token: number, client: Client, session: TlsSession, events: number): void {
    const { limitBytes = LIMIT_BYTES } = this.#settings;
    for (;;) {
      const n = session.read(this.#address, limitBytes);
      if (n === -EAGAIN) return;
      if (n <= 0) return this.#ended(token, client, session, n);
      if (!client.isClosing) {
        client.queue.push(this.#copy(n));
        this.echoed += n;
      }
      this.#flush(token, client, session);
      if (!this.#clients.has(token)) return;
      if (n < limitBytes && (events & HANGUP) === 0 && !session.hasEnded) return;
    }
  }

  #copy(length: number): Buffer {
    const bytes = allocateStable(length);
    this.#space.copy(bytes, 0, 0, length);
    return bytes;
  }

  #ended(token: number, client: Client, session: TlsSession, n: number): void {
    this.ends.push(n === 0 ? '0' : `${n} ${session.failure}`.trim());
    client.hasEnded = true;
    if (n < 0) return this.#close(token);
    client.isClosing = true;
    this.#flush(token, client, session);
  }

  #flush(token: number, client: Client, session: TlsSession): void {
    for (let piece = client.queue[0]; piece !== undefined; piece = client.queue[0]) {
      const n = session.write(addressOf(piece), piece.length);
      if (n === -EAGAIN) {
        this.waits++;
        return;
      }
      if (n < 0) return this.#close(token);
      if (n === piece.length) client.queue.shift();
      else client.queue[0] = piece.subarray(n);
    }
    if (!client.isClosing || session.shutdown() === -EAGAIN) return;
    shutdownWrite(client.descriptor);
    if (client.hasEnded) this.#close(token);
  }

  #close(token: number): void {
    const client = this.#clients.get(token);
    if (client === undefined) return;
    this.#clients.delete(token);
    client.session?.free();
    this.#poller.remove(client.descriptor);
    closeDescriptor(client.descriptor);
  }
}
