import { afterEach, expect, vi } from 'vitest';
import { WebSocket } from 'ws';
import { DEADLINE_MS } from './deadline.js';

interface Reply {
  readonly what: string;
  readonly value?: unknown;
  readonly code?: string;
  readonly message?: string;
}

/** A client of `fixtures/cluster.js`: what it asks is answered in JSON, what comes beside is said in a room. */
export class ClusterClient {
  readonly socket: WebSocket;
  readonly said: string[] = [];
  readonly bytes: Buffer[] = [];
  readonly closed: Promise<void>;
  readonly #answers: Reply[] = [];

  private constructor(port: number, host: string) {
    this.socket = new WebSocket(`ws://${host}:${port}/`);
    this.socket.on('message', (data: Buffer, isBinary) => {
      if (isBinary) this.bytes.push(data);
      else if (String(data).startsWith('{')) this.#answers.push(JSON.parse(String(data)) as Reply);
      else this.said.push(String(data));
    });
    this.socket.on('error', () => {});
    this.closed = new Promise((resolve) => {
      this.socket.once('close', () => resolve());
    });
  }

  /** Rejects when the connection is refused, or ends before it is open. */
  static async connect(port: number, host = '127.0.0.1'): Promise<ClusterClient> {
    const client = new ClusterClient(port, host);
    const isOpen = (): boolean => client.socket.readyState === WebSocket.OPEN;
    await vi.waitUntil(() => isOpen() || client.socket.readyState === WebSocket.CLOSED, {
      timeout: DEADLINE_MS,
      interval: 5,
    });
    if (!isOpen()) throw new Error(`no connection to ${host}:${port}`);
    return client;
  }

  /** One question at a time. @returns its value, or `{ code, message }` */
  async ask(text: string): Promise<unknown> {
    this.socket.send(text);
    const reply = await vi.waitUntil(() => this.#answers.shift(), { timeout: DEADLINE_MS, interval: 2 });
    if (reply === undefined) throw new Error('no answer');
    return reply.code === undefined && reply.message === undefined
      ? reply.value
      : { code: reply.code, message: reply.message };
  }

  /** Asks until the answer is this one. */
  async until(text: string, value: unknown): Promise<void> {
    await vi.waitFor(async () => expect(await this.ask(text)).toEqual(value), { timeout: DEADLINE_MS, interval: 20 });
  }

  /** Waits for what is said in rooms, in this order, and nothing else. */
  async got(texts: readonly string[]): Promise<void> {
    await vi.waitFor(() => expect(this.said).toEqual(texts), { timeout: DEADLINE_MS, interval: 5 });
  }

  nextBinary(): Promise<Buffer | undefined> {
    return vi.waitUntil(() => this.bytes.shift(), { timeout: DEADLINE_MS, interval: 5 });
  }
}

/** To be called once in a file, behind its `afterEach(endServers)`. @returns connects a client that ends with its test, before the servers */
export function clientsOfTests(): (server: { readonly port: number }, host?: string) => Promise<ClusterClient> {
  const clients: ClusterClient[] = [];
  afterEach(() => {
    for (const { socket } of clients.splice(0)) socket.terminate();
  });
  return async ({ port }, host) => {
    const client = await ClusterClient.connect(port, host);
    clients.push(client);
    return client;
  };
}
