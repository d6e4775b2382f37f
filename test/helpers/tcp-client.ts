/**
 * Clients on node:net, an implementation that is not ours: one to speak with by hand, and a load of many that number
 * every message, so that what is lost, doubled or out of order is seen whatever happens to the server meanwhile.
 */

import type { Socket } from 'node:net';
import { DEADLINE_MS } from './deadline.js';
import { dial } from './dial.js';

export class TcpClient {
  readonly socket: Socket;
  receivedBytes = 0;
  sentBytes = 0;
  /** How it ended; undefined while the connection stands. */
  end: 'closed' | NodeJS.ErrnoException | undefined;
  readonly closed: Promise<void>;
  #received: Buffer[] = [];
  readonly #listeners = new Set<() => void>();

  private constructor(socket: Socket) {
    this.socket = socket.setNoDelay(true);
    this.closed = new Promise((resolve) => {
      socket.once('close', () => resolve());
    });
    socket.on('data', (data) => {
      this.receivedBytes += data.length;
      this.#received.push(data);
      this.#changed();
    });
    socket.on('end', () => {
      this.end ??= 'closed';
      this.#changed();
    });
    socket.on('error', (error) => {
      this.end = error;
      this.#changed();
    });
  }

  /** @param from as for `dial` */
  static async connect(port: number, host = '127.0.0.1', from?: string): Promise<TcpClient> {
    const { socket, ready } = dial(port, host, false, from);
    const client = new TcpClient(socket);
    await ready;
    return client;
  }

  static connectMany(port: number, count: number): Promise<TcpClient[]> {
    return Promise.all(Array.from({ length: count }, () => TcpClient.connect(port)));
  }

  /** Everything received and not taken by `read`. */
  get received(): string {
    return Buffer.concat(this.#received).toString('latin1');
  }

  send(data: string | Uint8Array): this {
    this.sentBytes += Buffer.byteLength(data);
    this.socket.write(data);
    return this;
  }

  /** Takes the next `count` bytes. Fails when the connection ends before. */
  async read(count: number, deadlineMs = DEADLINE_MS): Promise<Buffer> {
    await this.#until(`${count} bytes`, () => this.#available >= count, deadlineMs);
    const all = Buffer.concat(this.#received);
    this.#received = [all.subarray(count)];
    return all.subarray(0, count);
  }

  /** Takes the next line, without its line feed. */
  async readLine(deadlineMs = DEADLINE_MS): Promise<string> {
    await this.#until('a line', () => this.#received.some((piece) => piece.includes(10)), deadlineMs);
    const length = Buffer.concat(this.#received).indexOf(10);
    return (await this.read(length + 1)).subarray(0, length).toString('latin1');
  }

  /** Sends one line and takes the line that answers. */
  ask(line: string, deadlineMs = DEADLINE_MS): Promise<string> {
    return this.send(`${line}\n`).readLine(deadlineMs);
  }

  /** Sends and fails unless exactly the same comes back. */
  async echo(data: string | Uint8Array, deadlineMs = DEADLINE_MS): Promise<void> {
    const expected = Buffer.from(data);
    const got = await this.send(expected).read(expected.length, deadlineMs);
    if (!got.equals(expected)) throw new Error(`not the echo of ${expected.length} bytes: ${got.toString('latin1')}`);
  }

  async close(): Promise<void> {
    this.socket.destroy();
    await this.closed;
  }

  get #available(): number {
    return this.#received.reduce((sum, piece) => sum + piece.length, 0);
  }

  #until(what: string, condition: () => boolean, deadlineMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (error?: Error): void => {
        clearTimeout(timer);
        this.#listeners.delete(look);
        if (error === undefined) resolve();
        else reject(error);
      };
      const timer = setTimeout(() => settle(new Error(`${what} did not come within ${deadlineMs} ms`)), deadlineMs);
      const look = (): void => {
        if (condition()) settle();
        else if (this.end !== undefined) settle(new Error(`${what} did not come before the end`, { cause: this.end }));
      };
      this.#listeners.add(look);
      look();
    });
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

export interface LoadResult {
  readonly sent: number;
  readonly answered: number;
  readonly receivedBytes: number;
  /** Answers that did not come, by connection: `connection 3: 17 to 20`. */
  readonly lost: string[];
  /** Answers that were not the next one. */
  readonly faults: string[];
  /** Connections that ended, and how. */
  readonly ended: string[];
}

/** Echo clients that keep `window` numbered messages under way each. */
export class Load {
  readonly #members: LoadMember[];

  private constructor(members: LoadMember[]) {
    this.#members = members;
  }

  /** @param command what goes before each message and does not come back */
  static async start(port: number, connections: number, window = 1, command = ''): Promise<Load> {
    const sockets = await Promise.all(
      Array.from({ length: connections }, async () => {
        const { socket, ready } = dial(port, '127.0.0.1');
        await ready;
        return socket.setNoDelay(true);
      }),
    );
    return new Load(sockets.map((socket, index) => new LoadMember(socket, index, window, command)));
  }

  get answered(): number {
    return this.#members.reduce((sum, member) => sum + member.answered, 0);
  }

  /** Resolves when every connection has had `more` further answers (or has ended). */
  async progress(more = 1, deadlineMs = DEADLINE_MS): Promise<void> {
    await Promise.all(this.#members.map((member) => member.until(member.answered + more, deadlineMs)));
  }

  /** Counts answers that have been due for so long as lost, and goes on without them. @returns how many */
  giveUp(afterMs: number): number {
    return this.#members.reduce((sum, member) => sum + member.giveUp(afterMs), 0);
  }

  /** No new messages, and waits for the answers that are due. Waits no longer than `deadlineMs`; the result tells. */
  async finish(deadlineMs = DEADLINE_MS): Promise<LoadResult> {
    await Promise.allSettled(this.#members.map((member) => member.finish(deadlineMs)));
    return this.#result();
  }

  /** For a server that ends: waits until every connection has ended. */
  async ended(): Promise<LoadResult> {
    await Promise.all(this.#members.map((member) => member.closed));
    return this.#result();
  }

  close(): void {
    for (const member of this.#members) member.socket.destroy();
  }

  #result(): LoadResult {
    const sum = (read: (member: LoadMember) => number): number => this.#members.reduce((n, m) => n + read(m), 0);
    return {
      sent: sum((member) => member.sent),
      answered: this.answered,
      receivedBytes: sum((member) => member.socket.bytesRead),
      lost: this.#members.flatMap((member) => member.lost),
      faults: this.#members.flatMap((member) => member.faults),
      ended: this.#members.flatMap((member) => member.end ?? []),
    };
  }
}

class LoadMember {
  readonly socket: Socket;
  sent = 0;
  answered = 0;
  end: string | undefined;
  readonly faults: string[] = [];
  readonly closed: Promise<void>;
  readonly #index: number;
  readonly #window: number;
  readonly #command: string;
  readonly #listeners = new Set<() => void>();
  #running = true;
  /** Messages whose answers were given up, and when they were sent: an answer that is only late is told as that. */
  readonly #givenUp = new Map<string, number>();
  /** When it last sent or received. */
  #changedAt = 0;
  #rest = '';

  constructor(socket: Socket, index: number, window: number, command: string) {
    this.socket = socket;
    this.#index = index;
    this.#window = window;
    this.#command = command;
    this.closed = new Promise((resolve) => {
      socket.once('close', () => resolve());
    });
    socket.setEncoding('latin1').on('data', (text: string) => this.#take(text));
    socket.on('end', () => this.#ended('closed'));
    socket.on('error', (error: NodeJS.ErrnoException) => this.#ended(error.code ?? error.message));
    this.#fill();
  }

  get lost(): string[] {
    if (this.sent === this.answered) return [];
    return [`connection ${this.#index}: ${this.answered + 1} to ${this.sent}`];
  }

  until(answered: number, deadlineMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (error?: Error): void => {
        clearTimeout(timer);
        this.#listeners.delete(look);
        if (error === undefined) resolve();
        else reject(error);
      };
      const missing = `connection ${this.#index} has ${this.answered} of ${answered} answers`;
      const timer = setTimeout(() => settle(new Error(`${missing} after ${deadlineMs} ms`)), deadlineMs);
      const look = (): void => {
        if (this.answered >= answered || this.end !== undefined) settle();
      };
      this.#listeners.add(look);
      look();
    });
  }

  giveUp(afterMs: number): number {
    const due = this.sent - this.answered;
    if (due === 0 || this.end !== undefined || performance.now() - this.#changedAt < afterMs) return 0;
    while (this.answered < this.sent) this.#givenUp.set(`${this.#index}:${++this.answered}`, this.#changedAt);
    this.#fill();
    return due;
  }

  finish(deadlineMs: number): Promise<void> {
    this.#running = false;
    return this.until(this.sent, deadlineMs);
  }

  #fill(): void {
    this.#changedAt = performance.now();
    let text = '';
    while (this.#running && this.end === undefined && this.sent - this.answered < this.#window) {
      this.sent++;
      text += `${this.#command}${this.#index}:${this.sent}\n`;
    }
    if (text !== '') this.socket.write(text);
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      const sentAt = this.#givenUp.get(line);
      if (sentAt !== undefined) {
        this.faults.push(`${line} came after ${(performance.now() - sentAt).toFixed(0)} ms`);
        this.#givenUp.delete(line);
        continue;
      }
      this.answered++;
      const expected = `${this.#index}:${this.answered}`;
      if (line !== expected && this.faults.length < 10) this.faults.push(`expected ${expected}, got ${line}`);
    }
    this.#fill();
    this.#changed();
  }

  #ended(how: string): void {
    this.end ??= `connection ${this.#index}: ${how}`;
    this.#changed();
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}
