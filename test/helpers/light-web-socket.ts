/** A WebSocket client that costs little, so that one process has ten thousand: short unmasked texts come, short texts go. */
import { connect, type Socket } from 'node:net';
import { DEADLINE_MS } from './deadline.js';

const AT_ONCE = 64;
/** Of all zeros: it leaves the payload as it is. */
const MASK = Buffer.alloc(4);

export class LightWebSocket {
  readonly #socket: Socket;
  #rest: Buffer = Buffer.alloc(0);
  #isOpen = false;
  isEnded = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
  }

  static open(port: number, path: string, take: (text: string) => void): Promise<LightWebSocket> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1').setNoDelay(true);
      const client = new LightWebSocket(socket);
      const timer = setTimeout(() => socket.destroy(new Error(`no WebSocket within ${DEADLINE_MS} ms`)), DEADLINE_MS);
      socket.on('error', reject);
      socket.on('close', () => {
        client.isEnded = true;
        reject(new Error('the server has ended the connection'));
      });
      socket.on('data', (bytes) => {
        const wasOpen = client.#isOpen;
        client.#take(bytes, take);
        if (wasOpen || !client.#isOpen) return;
        clearTimeout(timer);
        resolve(client);
      });
      socket.write(
        `GET ${path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
          'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n',
      );
    });
  }

  /** @param open opens the client of a number */
  static async openMany(count: number, open: (index: number) => Promise<LightWebSocket>): Promise<LightWebSocket[]> {
    const clients: LightWebSocket[] = [];
    while (clients.length < count) {
      const some = Array.from({ length: Math.min(AT_ONCE, count - clients.length) }, (_, i) => clients.length + i);
      clients.push(...(await Promise.all(some.map(open))));
    }
    return clients;
  }

  /** @param text at most 125 bytes of ASCII */
  send(text: string): void {
    this.#frame(0x81, Buffer.from(text, 'latin1'));
  }

  end(): void {
    this.#socket.resetAndDestroy();
  }

  #frame(head: number, payload: Uint8Array): void {
    this.#socket.write(Buffer.concat([Uint8Array.of(head, 0x80 | payload.length), MASK, payload]));
  }

  /** Who does not answer is taken for gone. */
  #pong(payload: Uint8Array): void {
    if (!this.isEnded) this.#frame(0x8a, payload);
  }

  #take(bytes: Buffer, take: (text: string) => void): void {
    let rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    if (!this.#isOpen) {
      const end = rest.indexOf('\r\n\r\n');
      this.#isOpen = end >= 0;
      rest = rest.subarray(end < 0 ? 0 : end + 4);
    }
    while (this.#isOpen && rest.length >= 2 && rest.length >= 2 + rest[1]!) {
      const end = 2 + rest[1]!;
      if (rest[0] === 0x81) take(rest.toString('latin1', 2, end));
      else if (rest[0] === 0x89) this.#pong(rest.subarray(2, end));
      rest = rest.subarray(end);
    }
    this.#rest = rest;
  }
}
