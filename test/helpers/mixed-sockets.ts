/**
 * Sockets in one room whose echoes, publications, pings, closes and resets mix at random: what one socket gets must still be
 * whole and in order, whatever happens to the others.
 */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { WebSocket } from 'ws';
import { numbersFrom } from './numbers.js';

export interface Mix {
  readonly echoes: number;
  readonly publications: number;
  readonly resets: number;
  readonly closes: number;
  /** What should not be; empty is good. */
  readonly faults: readonly string[];
}

const IN_FLIGHT = 4;
const PUBLISH_EVERY_MS = 5;
const PAUSE_MS = 30;

export class MixedSockets {
  readonly #url: string;
  readonly #random: () => number;
  readonly #alive = new Set<MixedSocket>();
  readonly faults: string[] = [];
  echoes = 0;
  publications = 0;
  resets = 0;
  closes = 0;
  #isEnding = false;
  #opened = 0;

  constructor(port: number, seed: number) {
    this.#url = `ws://127.0.0.1:${port}`;
    this.#random = numbersFrom(seed);
  }

  /** @param during what happens to the server meanwhile; the sockets go on until it has settled */
  async run(count: number, during: () => Promise<void>): Promise<Mix> {
    const publisher = new WebSocket(this.#url);
    publisher.on('message', () => {});
    await once(publisher, 'open');
    for (let i = 0; i < count; i++) this.#open();
    let published = 0;
    const timer = setInterval(() => {
      const filling = 'x'.repeat(this.#random() < 0.1 ? 3000 : 30);
      for (let i = 0; i <= published % 3; i++) publisher.send(`publish ${published++} ${filling}`);
    }, PUBLISH_EVERY_MS);
    try {
      await during();
    } finally {
      clearInterval(timer);
      this.#isEnding = true;
    }
    await Promise.all([...this.#alive].map((socket) => socket.gone));
    publisher.terminate();
    const { echoes, publications, resets, closes, faults } = this;
    return { echoes, publications, resets, closes, faults };
  }

  /** What a socket that has got an echo does next. */
  next(): 'close' | 'reset' | 'bye' | 'pause' | 'ping' | 'send' {
    if (this.#isEnding) return 'close';
    const chance = this.#random();
    if (chance < 0.003) return 'reset';
    if (chance < 0.005) return 'bye';
    if (chance < 0.012) return 'pause';
    return chance < 0.02 ? 'ping' : 'send';
  }

  left(socket: MixedSocket): void {
    this.#alive.delete(socket);
    if (!this.#isEnding) this.#open();
  }

  #open(): void {
    this.#alive.add(new MixedSocket(this.#url, `${this.#opened++}`, this));
  }
}

class MixedSocket {
  readonly gone: Promise<unknown>;
  readonly #name: string;
  readonly #mix: MixedSockets;
  readonly #socket: WebSocket;
  #sent = 0;
  #echoed = 0;
  #published = -1;
  #hasLastWords = false;
  #leaves: 'no' | 'bye' | 'reset' | 'close' = 'no';

  constructor(url: string, name: string, mix: MixedSockets) {
    this.#name = name;
    this.#mix = mix;
    this.#socket = new WebSocket(url);
    this.gone = once(this.#socket, 'close');
    this.#socket.on('open', () => {
      for (let i = 0; i < IN_FLIGHT; i++) this.#send();
    });
    this.#socket.on('message', (data) => this.#take(String(data)));
    this.#socket.on('error', (error: NodeJS.ErrnoException) => {
      if (this.#leaves !== 'reset') this.#fault(error.message);
    });
    this.#socket.on('close', (code) => this.#closed(code));
  }

  #take(text: string): void {
    if (this.#leaves === 'reset') return; // what had arrived before
    if (text.startsWith('publish ')) return this.#takePublication(Number(text.split(' ')[1]));
    if (text === 'last words') this.#hasLastWords = true;
    else this.#takeEcho(text);
  }

  #takePublication(number: number): void {
    this.#mix.publications++;
    if (this.#published >= 0 && number !== this.#published + 1) this.#fault(`${number} after ${this.#published}`);
    this.#published = number;
  }

  #takeEcho(text: string): void {
    const expected = `echo ${this.#name} ${this.#echoed}`;
    if (text !== expected) this.#fault(`"${text}" in place of "${expected}"`);
    this.#echoed++;
    this.#mix.echoes++;
    if (this.#leaves === 'no') this.#goOn();
    else if (this.#leaves === 'close' && this.#echoed === this.#sent) this.#socket.close();
  }

  #goOn(): void {
    const next = this.#mix.next();
    if (next === 'close') {
      this.#leaves = 'close';
      if (this.#echoed === this.#sent) this.#socket.close();
    } else if (next === 'reset') {
      this.#leaves = 'reset';
      this.#mix.resets++;
      (this.#socket as unknown as { _socket: Socket })._socket.resetAndDestroy();
    } else if (next === 'bye') {
      this.#leaves = 'bye';
      this.#socket.send('bye');
    } else {
      if (next === 'ping') this.#socket.ping('x');
      if (next === 'pause') {
        this.#socket.pause();
        setTimeout(() => this.#socket.resume(), PAUSE_MS);
      }
      this.#send();
    }
  }

  #send(): void {
    this.#socket.send(`${this.#name} ${this.#sent++}`);
  }

  #closed(code: number): void {
    if (this.#leaves === 'no') this.#fault(`closed with ${code}`);
    if (this.#leaves === 'bye') {
      this.#mix.closes++;
      if (code !== 4001 || !this.#hasLastWords) this.#fault(`closed with ${code}, last words: ${this.#hasLastWords}`);
      if (this.#echoed !== this.#sent) this.#fault(`closed, and ${this.#sent - this.#echoed} echoes are missing`);
    }
    this.#mix.left(this);
  }

  #fault(text: string): void {
    if (this.#mix.faults.length < 20) this.#mix.faults.push(`${this.#name}: ${text}`);
  }
}
