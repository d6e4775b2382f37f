import type { CloseReason } from '../ipc/frame.js';
import { type ListenOptions, type ResolvedListen, type ResolvedOptions, resolveListen } from '../options/index.js';
import { CallbackTable } from './callback-table.js';
import type { Connection } from './connection.js';
import type { DatagramPeer } from './datagrams.js';

type Result = void | Promise<void> | unknown;

/** Events of one listen port. All run in a worker; for one connection `connect` < every `receive` in order < `close`. */
export interface PortEvents {
  /** Worker: a client has connected. Swoole: onConnect */
  connect(conn: Connection): Result;
  /**
   * Worker: one whole packet; with raw framing what one read gave (at most 64 KiB). The buffer is the callback's own.
   * Swoole: onReceive
   */
  receive(conn: Connection, data: Buffer): Result;
  /**
   * Worker: one datagram, of a port of type 'udp' or 'unix-dgram'. The buffer is the callback's own.
   * Swoole: onPacket
   */
  packet(data: Buffer, peer: DatagramPeer): Result;
  /** Worker: once per connection that had `connect`. Sending is over; its figures can still be read. Swoole: onClose */
  close(conn: Connection, reason: CloseReason): Result;
  /** Worker: at least `highWatermark` bytes wait to be sent: the client does not keep up. Swoole: onBufferFull */
  bufferFull(conn: Connection): Result;
  /** Worker: after `bufferFull`, at most `lowWatermark` bytes wait. Swoole: onBufferEmpty */
  bufferEmpty(conn: Connection): Result;
}

/** `request` is declared by the folder that knows HTTP, `handshake`, `open` and `message` by that which knows WebSocket. */
export const portEventNames = [
  'connect',
  'receive',
  'packet',
  'request',
  'handshake',
  'open',
  'message',
  'close',
  'bufferFull',
  'bufferEmpty',
] as const;

/** One address the server listens on, with callbacks of its own; where it has none, the server's are called. */
export class ListenPort {
  /** @internal */
  readonly table: CallbackTable<PortEvents>;
  readonly #given: ListenOptions | undefined;
  readonly #boundPort: () => number | undefined;
  #settings: ResolvedListen | undefined;

  /** @internal @param given undefined: the server's own address @param replaced an event gets another callback */
  constructor(
    given: ListenOptions | undefined,
    boundPort: () => number | undefined,
    replaced: (event: string) => void,
  ) {
    this.table = new CallbackTable<PortEvents>(portEventNames, replaced);
    this.#given = given;
    this.#boundPort = boundPort;
  }

  /** @internal Options not given for this port are those of the server. @param adopt what a running server has instead */
  resolve(server: ResolvedOptions, adopt = (own: ResolvedListen): ResolvedListen => own): void {
    const { port, path, type } = server;
    this.#settings = adopt(resolveListen(this.#given ?? { port, path, type }, server));
  }

  /** @internal */
  get settings(): ResolvedListen {
    if (this.#settings === undefined) throw new Error('this listen port was not resolved');
    return this.#settings;
  }

  /** The address it listens on. Swoole: $host */
  get host(): string {
    return this.settings.host;
  }

  /** The port number; 0 until the server has started where the system chooses it. Swoole: $port */
  get port(): number {
    return this.#boundPort() ?? this.settings.port;
  }

  /** Kind of its socket: `'tcp'`, `'unix'`, `'udp'` or `'unix-dgram'`. Swoole: $type */
  get type(): ResolvedListen['type'] {
    return this.settings.type;
  }

  /** Of a unix socket; empty otherwise. */
  get path(): string {
    return this.settings.path;
  }

  /**
   * A callback of this port alone, in place of the server's. It runs in a worker. Swoole: Port::on()
   * @throws ServerError ERR_EVENT_UNKNOWN, ERR_CALLBACK_TYPE
   */
  on<K extends keyof PortEvents>(event: K, callback: PortEvents[K]): this {
    this.table.on(event, callback);
    return this;
  }

  /** Called for the first event of each process, and not again. */
  once<K extends keyof PortEvents>(event: K, callback: PortEvents[K]): this {
    this.table.once(event, callback);
    return this;
  }

  /** Removes the callback of this port: the server's is called then. @throws ServerError ERR_EVENT_UNKNOWN */
  off(event: keyof PortEvents): this {
    this.table.off(event);
    return this;
  }
}
