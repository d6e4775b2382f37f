/** A client on node:net: a program of our own would not notice that we read a standard wrongly. */
import type { Socket } from 'node:net';
import { dial } from './dial.js';

export class Client {
  readonly socket: Socket;
  text = '';
  receivedBytes = 0;
  /** undefined while the connection stands. */
  end: 'ended' | 'error' | undefined;
  error: NodeJS.ErrnoException | undefined;
  readonly closed: Promise<void>;
  readonly #listeners = new Set<() => void>();

  private constructor(socket: Socket, keepText: boolean) {
    this.socket = socket;
    socket.setNoDelay(true);
    this.closed = new Promise((resolve) => {
      socket.once('close', () => resolve());
    });
    socket.on('data', (data) => {
      this.receivedBytes += data.length;
      if (keepText) this.text += data.toString('latin1');
      this.#changed();
    });
    socket.on('end', () => {
      this.end ??= 'ended';
      this.#changed();
    });
    socket.on('error', (error) => {
      this.end = 'error';
      this.error = error;
      this.#changed();
    });
  }

  static async open(
    port: number,
    options: { host?: string; keepText?: boolean; halfOpen?: boolean } = {},
  ): Promise<Client> {
    const { host = '127.0.0.1', keepText = true, halfOpen = false } = options;
    const { socket, ready } = dial(port, host, halfOpen);
    const client = new Client(socket, keepText);
    await ready;
    return client;
  }

  static openMany(port: number, count: number): Promise<Client[]> {
    return Promise.all(Array.from({ length: count }, () => Client.open(port)));
  }

  write(data: string | Uint8Array): void {
    this.socket.write(data);
  }

  /** Sends a line and waits for the line that answers. */
  async ask(line: string, deadlineMs?: number): Promise<string> {
    const from = this.text.length;
    this.write(`${line}\n`);
    await this.until(`an answer to '${line}'`, () => this.text.indexOf('\n', from) >= 0, deadlineMs);
    return this.text.slice(from, this.text.indexOf('\n', from));
  }

  until(what: string, condition: () => boolean, deadlineMs = 10_000): Promise<void> {
    if (condition()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => done(new Error(`not within ${deadlineMs} ms: ${what}`)), deadlineMs);
      const look = (): void => {
        if (condition()) done();
        else if (this.end === 'error') done(new Error(`${what}: the connection failed: ${this.error?.code}`));
      };
      const done = (error?: Error): void => {
        clearTimeout(timer);
        this.#listeners.delete(look);
        if (error) reject(error);
        else resolve();
      };
      this.#listeners.add(look);
    });
  }

  async close(): Promise<void> {
    this.socket.destroy();
    await this.closed;
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}
