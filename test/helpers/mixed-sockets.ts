/**
 * Sockets in one room whose echoes, publications, pings, closes and resets mix at random: what one socket gets must still be
 * whole and in order, whatever happens to the others.
 */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { WebSocket } from 'ws';
import { DEADLINE_MS } from './deadline.js';
import { numbersFrom } from './numbers.js';

/**
 * A message that was not answered, or published, although later ones of the same sender were. Only a killed worker may take one
 * with it, the one that it had begun to handle: so what came before it is of the killed worker, and what comes after it is not.
 */
export interface Lost {
  readonly message: string;
  /** The process that handled the message before; undefined: there was none, or its answer did not come here. */
  readonly before: number | undefined;
  readonly after: number;
}

export interface Mix {
  readonly echoes: number;
  readonly publications: number;
  readonly resets: number;
  readonly closes: number;
  /** Messages, each named once, whoever missed them. */
  readonly lost: readonly Lost[];
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
  readonly #lost = new Map<string, Lost>();
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

  /**
   * @param during what happens to the server meanwhile; the sockets go on until it has settled. It may send by the publisher.
   */
  async run(count: number, during: (publisher: WebSocket) => Promise<void>): Promise<Mix> {
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
      await during(publisher);
    } finally {
      clearInterval(timer);
      this.#isEnding = true;
    }
    await this.#end();
    publisher.terminate();
    const { echoes, publications, resets, closes, faults } = this;
    return { echoes, publications, resets, closes, lost: [...this.#lost.values()], faults };
  }

  /** What a killed worker took with it nobody answers: each socket says one thing more, and its answer ends the wait. */
  async #end(): Promise<void> {
    const rest = [...this.#alive];
    for (const socket of rest) socket.askAgain();
    const timer = setTimeout(() => {
      for (const socket of this.#alive) socket.giveUp();
    }, DEADLINE_MS);
    await Promise.all(rest.map((socket) => socket.gone));
    clearTimeout(timer);
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

  /** Several sockets miss the same publication: the first that tells of it counts. */
  misses(lost: Lost): void {
    if (!this.#lost.has(lost.message)) this.#lost.set(lost.message, lost);
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
  /** The processes of the last echo and the last publication. */
  #echoedBy: number | undefined;
  #publishedBy: number | undefined;
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

  /** Of a socket that has said bye and is still there, the bye may be lost. */
  askAgain(): void {
    if (this.#leaves === 'bye' && this.#socket.readyState === WebSocket.OPEN) this.#socket.send('bye again');
  }

  giveUp(): void {
    this.#fault(`still open (leaves: ${this.#leaves}), ${this.#echoed} of ${this.#sent} echoes have come`);
    this.#leaves = 'reset';
    this.#socket.terminate();
  }

  #take(data: string): void {
    if (this.#leaves === 'reset') return; // what had arrived before
    const [, pid, text = ''] = /^(\d+) (.*)$/s.exec(data) ?? [];
    const by = Number(pid);
    if (text.startsWith('publish ')) this.#takePublication(Number(text.split(' ')[1]), by);
    else if (text.startsWith('last words to ')) this.#takeLastWords(text, by);
    else this.#takeEcho(text, by);
  }

  #takePublication(number: number, by: number): void {
    this.#mix.publications++;
    if (this.#published >= 0 && number <= this.#published) this.#fault(`${number} after ${this.#published}`);
    if (this.#published >= 0) {
      for (let i = this.#published + 1; i < number; i++) {
        this.#mix.misses({ message: `publish ${i}`, before: this.#publishedBy, after: by });
      }
    }
    this.#published = number;
    this.#publishedBy = by;
  }

  #takeEcho(text: string, by: number): void {
    const number = Number(new RegExp(`^echo ${this.#name} (\\d+)$`).exec(text)?.[1] ?? -1);
    if (number < this.#echoed || number >= this.#sent) {
      return this.#fault(`"${text}" in place of "echo ${this.#name} ${this.#echoed}"`);
    }
    this.#missUntil(number, by);
    this.#echoed = number + 1;
    this.#echoedBy = by;
    this.#mix.echoes++;
    if (this.#leaves === 'no') this.#goOn();
    else if (this.#leaves === 'close' && this.#echoed === this.#sent) this.#socket.close();
  }

  #takeLastWords(text: string, by: number): void {
    if (this.#leaves !== 'bye') return this.#fault(`"${text}", and there was no bye`);
    this.#missUntil(this.#sent, by);
    this.#echoed = this.#sent;
    if (text === 'last words to bye again') {
      this.#mix.misses({ message: `${this.#name} bye`, before: this.#echoedBy, after: by });
    } else if (this.#hasLastWords) this.#fault(`"${text}" twice`);
    this.#echoedBy = by;
    this.#hasLastWords = true;
  }

  /** What was sent before `number` and is not answered will not be. */
  #missUntil(number: number, by: number): void {
    for (let i = this.#echoed; i < number; i++) {
      this.#mix.misses({ message: `${this.#name} ${i}`, before: this.#echoedBy, after: by });
    }
  }

  #goOn(): void {
    const next = this.#mix.next();
    if (next === 'close') {
      this.#leaves = 'close';
      this.#send();
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
    if (this.#leaves === 'close' && this.#echoed !== this.#sent)
      this.#fault(`closed with ${code} before the last echo`);
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
