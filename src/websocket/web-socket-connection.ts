import { Connection, type ConnectionHost } from '../server/connection.js';
import { exceptOf, type PublishOptions, type PushOptions } from './publish-options.js';

/** What a WebSocket asks of its server. */
export interface SocketHost extends ConnectionHost {
  push(fd: number, data: string | Uint8Array, options?: PushOptions): boolean;
  ping(fd: number, data?: string | Uint8Array): boolean;
  disconnect(fd: number, code?: number, reason?: string): boolean;
  join(fd: number, room: string): boolean;
  leave(fd: number, room?: string): boolean;
  publish(room: string, data: string | Uint8Array, options?: PublishOptions): boolean;
  /** @internal */
  readData(fd: number): unknown;
  /** @internal */
  writeData(fd: number, data: unknown): void;
  /** @internal */
  bufferedAmount(fd: number): number;
  roomsOf(fd: number): Promise<string[]>;
}

/**
 * A WebSocket, as callbacks get it. Runs in a worker: the socket, its rooms and its data belong to a reactor and to shared
 * memory, and outlive this worker. Every callback of the connection in this process gets the same object.
 */
export class WebSocketConnection<Data = unknown> extends Connection {
  readonly #host: SocketHost;
  #data: Data | undefined;
  #hasData = false;
  /** @internal How it has ended, for `close`. */
  isOpen = true;

  constructor(fd: number, host: SocketHost) {
    super(fd, host);
    this.#host = host;
  }

  /**
   * What belongs to this client: any value that the structured clone takes, at most 4 KiB. It outlives reloads and crashes of
   * workers. Assign it to keep a change: the next process sees what was assigned last.
   * @throws ServerError ERR_CONNECTION_DATA
   */
  get data(): Data {
    if (!this.#hasData) {
      this.#data = this.#host.readData(this.fd) as Data | undefined;
      this.#hasData = true;
    }
    return this.#data as Data;
  }

  set data(value: Data) {
    this.#host.writeData(this.fd, value);
    this.#data = value;
    this.#hasData = true;
  }

  /**
   * Sends a message: a string as text, bytes as binary. Swoole: push()
   * @returns as `Connection.send`
   */
  push(data: string | Uint8Array, options?: PushOptions): boolean {
    return this.isOpen && this.#host.push(this.fd, data, options);
  }

  /** The same as `push`. */
  override send(data: string | Uint8Array): boolean {
    return this.push(data);
  }

  /** Asks the client whether it is there; the server does so by itself after `pingIntervalMs`. @param data at most 125 bytes @throws ServerError ERR_PING_LENGTH */
  ping(data?: string | Uint8Array): boolean {
    return this.isOpen && this.#host.ping(this.fd, data);
  }

  /**
   * Ends the WebSocket by a Close frame, behind what was sent before. No callback gets a message of it any more. Swoole:
   * disconnect() @param code 1000, or 4000 to 4999 for meanings of your own @param reason at most 123 bytes
   * @throws ServerError ERR_CLOSE_CODE
   */
  disconnect(code = 1000, reason = ''): boolean {
    return this.isOpen && this.#host.disconnect(this.fd, code, reason);
  }

  /** The same as `disconnect`; with `{ reset: true }` without a Close frame, at once. */
  override close(code?: number | { reset?: boolean }, reason = ''): boolean {
    if (typeof code === 'object') return super.close(code);
    return this.disconnect(code, reason);
  }

  /** From here on it gets what is published to the room. @throws ServerError ERR_ROOM_NAME, ERR_ROOM_LIMIT */
  join(room: string): boolean {
    return this.isOpen && this.#host.join(this.fd, room);
  }

  /** @param room missing: all rooms */
  leave(room?: string): boolean {
    return this.isOpen && this.#host.leave(this.fd, room);
  }

  /** The rooms that it is a member of. Rejects with ERR_ROOM_QUESTION, ERR_ROOM_BUFFER_FULL */
  rooms(): Promise<string[]> {
    return this.isOpen ? this.#host.roomsOf(this.fd) : Promise.resolve([]);
  }

  /** To all members of a room but this one; `server.publish` reaches all. */
  publish(room: string, data: string | Uint8Array, options?: PublishOptions): boolean {
    const except = [this.fd, ...exceptOf(options)];
    return this.#host.publish(room, data, { ...options, except });
  }

  /** Bytes that wait to be sent to this client. */
  get bufferedAmount(): number {
    return this.#host.bufferedAmount(this.fd);
  }

  // ——— names of Bun and uWebSockets ———

  /** The same as `join`. */
  subscribe(room: string): boolean {
    return this.join(room);
  }

  /** The same as `leave`. */
  unsubscribe(room: string): boolean {
    return this.leave(room);
  }
}
