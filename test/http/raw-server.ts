import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { RawExchange, Tunnel, TunnelEvents } from '../../src/http/node/index.js';
import { bodyOf } from './fake-exchange.js';

export interface FakeRawRequest {
  head: string;
  body?: string | readonly string[];
  trailers?: readonly string[];
  isChunked?: boolean;
  isUpgrade?: boolean;
  isEncrypted?: boolean;
  fd?: number;
}

/** A request without a wire: notes what is written. */
export class FakeRawExchange implements RawExchange {
  readonly fd: number;
  readonly head: string;
  readonly isChunked: boolean;
  readonly isUpgrade: boolean;
  readonly isEncrypted: boolean;
  readonly body;
  readonly remoteAddress = '127.0.0.9';
  readonly remotePort = 4000;
  readonly finished: Promise<boolean | 'aborted'>;
  isGone = false;
  mustClose = false;
  canTake = true;
  text = '';
  /** How often 100 Continue was said. */
  continues = 0;
  hasWholeBody = true;
  #finish!: (how: boolean | 'aborted') => void;
  #gone: (() => void)[] = [];
  #drained: (() => void)[] = [];

  constructor(request: FakeRawRequest) {
    this.fd = request.fd ?? 7;
    this.head = request.head.replaceAll('\n', '\r\n');
    this.isChunked = request.isChunked ?? false;
    this.isUpgrade = request.isUpgrade ?? false;
    this.isEncrypted = request.isEncrypted ?? false;
    this.body = bodyOf(request.body ?? '', request.trailers);
    this.finished = new Promise((resolve) => {
      this.#finish = resolve;
    });
  }

  sendContinue(): void {
    this.continues += 1;
  }

  leaveContinue(): void {}

  writeRaw(data: Uint8Array | string, encoding: 'latin1' | 'utf8' = 'latin1'): boolean {
    this.text += typeof data === 'string' ? Buffer.from(data, encoding).toString() : Buffer.from(data).toString();
    return this.canTake;
  }

  finish(close: boolean): void {
    this.#finish(close);
  }

  abort(): void {
    this.#finish('aborted');
  }

  /** What the bridge hears of the client once it is a tunnel. */
  tunnelEvents: TunnelEvents | undefined;
  /** What was done with the tunnel, in order. */
  tunnelCalls: string[] = [];

  tunnel(events: TunnelEvents): Tunnel {
    this.tunnelEvents = events;
    const note = (what: string) => void this.tunnelCalls.push(what);
    return {
      write: (data) => {
        note(`write ${Buffer.from(data).toString()}`);
        return this.canTake;
      },
      drain: () => this.drain(),
      end: () => note('end'),
      destroy: () => note('destroy'),
      pause: () => note('pause'),
      resume: () => note('resume'),
    };
  }

  onGone(listener: () => void): void {
    this.#gone.push(listener);
  }

  goAway(): void {
    this.isGone = true;
    for (const listener of this.#gone) listener();
    this.letDrain();
  }

  drain(): Promise<void> {
    return new Promise((resolve) => this.#drained.push(resolve));
  }

  letDrain(): void {
    for (const resolve of this.#drained.splice(0)) resolve();
  }
}

/** The least of a reactor: one request at a time, its body by content-length. */
export async function serveRaw(handle: (exchange: RawExchange) => void): Promise<{ port: number; close(): void }> {
  const sockets = new Set<Socket>();
  let fd = 0;
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    new RawConnection(socket, ++fd, handle);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = () => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  return { port: (server.address() as AddressInfo).port, close };
}

class RawConnection {
  readonly #socket: Socket;
  readonly #fd: number;
  readonly #handle: (exchange: RawExchange) => void;
  #buffer = Buffer.alloc(0);
  #busy = false;
  #events: TunnelEvents | null = null;

  constructor(socket: Socket, fd: number, handle: (exchange: RawExchange) => void) {
    this.#socket = socket;
    this.#fd = fd;
    this.#handle = handle;
    socket.on('data', (data) => {
      if (this.#events !== null) return this.#events.received(data);
      this.#buffer = Buffer.concat([this.#buffer, data]);
      this.#next();
    });
    socket.on('end', () => (this.#events === null ? socket.end() : this.#events.ended()));
    socket.on('close', () => this.#events?.gone());
  }

  #next(): void {
    const end = this.#buffer.indexOf('\r\n\r\n');
    if (this.#busy || end === -1) return;
    const head = this.#buffer.toString('latin1', 0, end + 4);
    const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0);
    if (this.#buffer.length < end + 4 + length) return;
    const whole = this.#buffer.subarray(end + 4, end + 4 + length);
    this.#buffer = this.#buffer.subarray(end + 4 + length);
    this.#busy = true;
    this.#handle(this.#exchange(head, whole));
  }

  #exchange(head: string, whole: Buffer): RawExchange {
    const socket = this.#socket;
    return {
      fd: this.#fd,
      head,
      isChunked: false,
      isUpgrade: /^upgrade:/im.test(head),
      isEncrypted: false,
      hasWholeBody: true,
      sendContinue: () => void socket.write('HTTP/1.1 100 Continue\r\n\r\n'),
      leaveContinue: () => {},
      body: { whole, next: async () => null, claim() {}, trailers: [] },
      remoteAddress: socket.remoteAddress ?? '',
      remotePort: socket.remotePort ?? 0,
      writeRaw: (data, encoding = 'latin1') => socket.write(data as string, encoding),
      finish: (close) => {
        this.#busy = false;
        if (close) socket.end();
        else this.#next();
      },
      tunnel: (events) => this.#tunnel(events),
      isGone: socket.destroyed,
      mustClose: false,
      onGone: (listener) => void socket.once('close', listener),
      drain: () => drained(socket),
      abort: () => socket.destroy(),
    };
  }

  #tunnel(events: TunnelEvents): Tunnel {
    const socket = this.#socket;
    this.#events = events;
    return {
      write: (data) => socket.write(data),
      drain: () => drained(socket),
      end: () => void socket.end(),
      destroy: () => socket.destroySoon(),
      pause: () => void socket.pause(),
      resume: () => void socket.resume(),
    };
  }
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => void socket.once('drain', resolve).once('close', resolve));
}
