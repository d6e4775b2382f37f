/**
 * Control messages between a parent and its child: one JSON text per line over a unix stream socket. Rare and small;
 * user data never travels here. The end of the stream is how each side learns of the other's death.
 */
import { Socket } from 'node:net';

/** Far above any control message; a peer that sends more is broken. */
const LINE_LIMIT_BYTES = 1 << 20;

export interface ControlChannelHandler<In> {
  message(message: In): void;
  /** The other side is gone. Called once. */
  end(): void;
}

export class ControlChannel<In extends { type: string }, Out extends { type: string }> {
  readonly #socket: Socket;
  readonly #decode: (value: unknown) => In | undefined;
  #handler: ControlChannelHandler<In> | undefined;
  #rest = '';
  #ended = false;

  constructor(socket: Socket, decode: (value: unknown) => In | undefined) {
    this.#socket = socket;
    this.#decode = decode;
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.#take(text));
    socket.on('error', () => this.#end());
    socket.on('close', () => this.#end());
    socket.on('end', () => this.#end());
    socket.pause();
  }

  /** The child's end: an inherited descriptor. */
  static inherited<In extends { type: string }, Out extends { type: string }>(
    descriptor: number,
    decode: (value: unknown) => In | undefined,
  ): ControlChannel<In, Out> {
    return new ControlChannel(new Socket({ fd: descriptor, readable: true, writable: true }), decode);
  }

  listen(handler: ControlChannelHandler<In>): void {
    this.#handler = handler;
    this.#socket.resume();
  }

  /** @returns false when the other side is gone */
  send(message: Out): boolean {
    if (this.#ended || this.#socket.destroyed) return false;
    this.#socket.write(`${JSON.stringify(message)}\n`);
    return true;
  }

  /** Resolves when every sent message has left this process (or the other side is gone). */
  flushed(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#ended || this.#socket.destroyed) resolve();
      else this.#socket.write('', () => resolve());
    });
  }

  unref(): void {
    this.#socket.unref();
  }

  close(): void {
    this.#handler = undefined;
    this.#socket.destroy();
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    if (this.#rest.length > LINE_LIMIT_BYTES) this.#socket.destroy();
    for (const line of lines) this.#deliver(line);
  }

  #deliver(line: string): void {
    if (line === '') return;
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      return; // a broken line means a broken peer: the stream reports its end
    }
    const message = this.#decode(value);
    if (message !== undefined) this.#handler?.message(message);
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#socket.destroy();
    this.#handler?.end();
  }
}
