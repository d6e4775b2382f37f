import type { ClientInfo } from '../memory/connection-table.js';
import { afterGone } from '../util/pause.js';
import type { FileRange } from './file-to-send.js';

/** What a connection object asks of its server. */
export interface ConnectionHost {
  send(fd: number, data: string | Uint8Array): boolean;
  sendFile(fd: number, path: string, range?: FileRange): boolean;
  close(fd: number, options?: { reset?: boolean }): boolean;
  pause(fd: number): boolean;
  resume(fd: number): boolean;
  bind(fd: number, uid: number): boolean;
  drain(fd: number): Promise<void>;
  getClientInfo(fd: number): ClientInfo | undefined;
}

/**
 * A client's connection, as callbacks get it. Runs in a worker: a reactor of the master owns the socket, which
 * outlives this worker. Every callback of the connection in this process gets the same object; it may be kept, and
 * after the connection has ended its methods return false.
 */
export class Connection {
  /** The session id (Swoole: fd): unique for the life of the server, never reused. Not a descriptor of the kernel. */
  readonly fd: number;
  readonly #host: ConnectionHost;
  #last: ClientInfo | undefined;
  #ended = false;

  constructor(fd: number, host: ConnectionHost) {
    this.fd = fd;
    this.#host = host;
  }

  /** Which reactor thread owns the socket. Swoole: $reactorId */
  get reactorId(): number {
    return this.info()?.reactorId ?? -1;
  }

  /** IP address of the client, or of a unix socket ''. */
  get remoteAddress(): string {
    return this.info()?.remoteAddress ?? '';
  }

  /** Port of the client. */
  get remotePort(): number {
    return this.info()?.remotePort ?? 0;
  }

  /** The server's port this client connected to. */
  get port(): number {
    return this.info()?.serverPort ?? 0;
  }

  /**
   * Queues `data` for the client. Swoole: send()
   * @returns false, and `server.lastError` says why: ERR_SEND_BUFFER_FULL, it was taken but the client does not keep up
   * (as with Node's streams: wait for `drain()` before you send more; beyond `sendBufferSize` the connection is closed);
   * any other code, it was not taken. With true the memory of `data` is yours again; with ERR_SEND_BUFFER_FULL it is after
   * `drain()`. Who transfers or shrinks it before loses the connection (DATA_DETACHED).
   */
  send(data: string | Uint8Array): boolean {
    return !this.#ended && this.#host.send(this.fd, data);
  }

  /** Sends a file, or a part of it, behind what was sent before: see `Server.sendFile`. Swoole: sendfile() */
  sendFile(path: string, range?: FileRange): boolean {
    return !this.#ended && this.#host.sendFile(this.fd, path, range);
  }

  /** Closes after what was sent has left; with `reset` at once, dropping it. No callback gets a packet of it any more. Swoole: close() */
  close(options?: { reset?: boolean }): boolean {
    return !this.#ended && this.#host.close(this.fd, options);
  }

  /** Reads nothing more from this client until `resume`; the pressure reaches its TCP window. Swoole: pause() */
  pause(): boolean {
    return !this.#ended && this.#host.pause(this.fd);
  }

  /** Ends a `pause`. Swoole: resume() @returns false, and `server.lastError` says why */
  resume(): boolean {
    return !this.#ended && this.#host.resume(this.fd);
  }

  /** Lets the server read from a client of a port with `delayReceive`: the same as `resume`. Swoole: confirm() */
  confirm(): boolean {
    return this.resume();
  }

  /** Gives the connection a user id, once (Swoole: bind). @param uid 1 to 2^31 − 1 */
  bind(uid: number): boolean {
    return !this.#ended && this.#host.bind(this.fd, uid);
  }

  /** The connection's figures and addresses; in `close` and afterwards the last ones. Swoole: getClientInfo() */
  info(): ClientInfo | undefined {
    if (this.#ended) return this.#last;
    return this.#host.getClientInfo(this.fd);
  }

  /** Resolves when the client can be sent more again, or, a moment later, when the connection is gone. */
  drain(): Promise<void> {
    return this.#ended ? afterGone() : this.#host.drain(this.fd);
  }

  /** @internal */
  ended(info: ClientInfo | undefined): void {
    this.#ended = true;
    this.#last = info;
  }
}
