/** A WebSocket client of messages in JSON. */
import { once } from 'node:events';
import { expect } from 'vitest';
import { WebSocket } from 'ws';
import { eventually } from './eventually.js';

export type Message = Record<string, unknown>;

export class JsonSocket {
  readonly socket: WebSocket;
  /** In order; `take` removes what it returns, and what came before it. */
  readonly messages: Message[] = [];
  /** Resolves with code and reason. */
  readonly closed: Promise<{ code: number; reason: string }>;

  constructor(url: string) {
    this.socket = new WebSocket(url);
    this.socket.on('message', (data) => this.messages.push(JSON.parse(String(data)) as Message));
    this.closed = once(this.socket, 'close').then(([code, reason]) => ({ code, reason: String(reason) }));
    this.closed.catch(() => {});
  }

  static async open(url: string): Promise<JsonSocket> {
    const client = new JsonSocket(url);
    await once(client.socket, 'open');
    return client;
  }

  send(text: string): void {
    this.socket.send(text);
  }

  /** Waits for the next message that has these members. */
  async take(wanted: Message): Promise<Message> {
    let found: Message | undefined;
    await eventually(() => {
      const index = this.messages.findIndex((message) => isLike(message, wanted));
      expect(index, JSON.stringify([wanted, this.messages.slice(-20)])).toBeGreaterThanOrEqual(0);
      found = this.messages.splice(0, index + 1).at(-1);
    });
    return found as Message;
  }
}

function isLike(message: Message, wanted: Message): boolean {
  return Object.entries(wanted).every(([name, value]) => JSON.stringify(message[name]) === JSON.stringify(value));
}
