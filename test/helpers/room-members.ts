/**
 * Clients of fixtures/websocket-rooms.js on `ws`, an implementation that is not ours: each sees whether a message of a room is
 * lost, doubled or out of order, and how the server ends it.
 */
import { WebSocket } from 'ws';
import { DEADLINE_MS } from './deadline.js';

export interface MembersOptions {
  readonly count: number;
  readonly tls?: boolean;
  /** By the number of a member. */
  readonly rooms?: (index: number) => readonly string[];
}

const AT_ONCE = 50;

export class RoomMember {
  readonly name: string;
  readonly socket: WebSocket;
  /** Room messages that were not the next one of their source. */
  readonly faults: string[] = [];
  /** The first number that has come, by source. */
  readonly first = new Map<string, number>();
  /** The next number, by source. */
  readonly next = new Map<string, number>();
  /** How it has ended. */
  end: number | undefined;
  readonly closed: Promise<number>;
  readonly #answers: string[] = [];
  readonly #listeners = new Set<() => void>();

  private constructor(name: string, socket: WebSocket) {
    this.name = name;
    this.socket = socket;
    socket.on('message', (data, isBinary) => this.#take(data as Buffer, isBinary));
    socket.on('error', () => {});
    this.closed = new Promise((resolve) => {
      socket.on('close', (code) => {
        this.end = code;
        this.#changed();
        resolve(code);
      });
    });
  }

  static async open(port: number, name: string, rooms: readonly string[], tls = false): Promise<RoomMember> {
    const url = `${tls ? 'wss' : 'ws'}://127.0.0.1:${port}/?name=${name}&rooms=${rooms.join(',')}`;
    const options = { rejectUnauthorized: false, perMessageDeflate: false };
    const member = new RoomMember(name, new WebSocket(url, options));
    await member.answer('open');
    return member;
  }

  static async openMany(port: number, { count, tls = false, rooms = () => ['all'] }: MembersOptions) {
    const members: RoomMember[] = [];
    while (members.length < count) {
      const batch = Array.from({ length: Math.min(AT_ONCE, count - members.length) }, (_, i) => members.length + i);
      members.push(...(await Promise.all(batch.map((i) => RoomMember.open(port, `m${i}`, rooms(i), tls)))));
    }
    return members;
  }

  /** Sends a text and takes its answer. @param word the answer's first one */
  ask(text: string, word = text.split(' ', 1)[0] as string): Promise<string> {
    this.socket.send(text);
    return this.answer(word);
  }

  /** The rest of the next answer that begins with this word. */
  async answer(word: string, deadlineMs = DEADLINE_MS): Promise<string> {
    const isIt = (text: string): boolean => text === word || text.startsWith(`${word} `);
    await this.until(`'${word}'`, () => this.#answers.some(isIt), deadlineMs);
    const [text = ''] = this.#answers.splice(this.#answers.findIndex(isIt), 1);
    return text.slice(word.length + 1);
  }

  /** Sends bytes, which come back. */
  async echo(bytes: Buffer): Promise<void> {
    const expected = `bytes ${bytes.length}`;
    this.socket.send(bytes);
    await this.answer(expected);
  }

  until(what: string, condition: () => boolean, deadlineMs = DEADLINE_MS): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (why?: string): void => {
        clearTimeout(timer);
        this.#listeners.delete(look);
        if (why === undefined) resolve();
        else reject(new Error(`${this.name}: ${what} did not come ${why}`));
      };
      const timer = setTimeout(() => settle(`within ${deadlineMs} ms`), deadlineMs);
      const look = (): void => {
        if (condition()) settle();
        else if (this.end !== undefined) settle(`before the end (${this.end})`);
      };
      this.#listeners.add(look);
      look();
    });
  }

  #take(data: Buffer, isBinary: boolean): void {
    if (isBinary) this.#answers.push(`bytes ${data.length}`);
    else this.#takeText(data.toString());
    this.#changed();
  }

  /** `all SOURCE NUMBER` was published; everything else is an answer. */
  #takeText(text: string): void {
    const [room, source = '', number] = text.split(' ');
    if (room !== 'all') return void this.#answers.push(text);
    const got = Number(number);
    const expected = this.next.get(source) ?? got;
    if (!this.first.has(source)) this.first.set(source, got);
    if (got !== expected) this.faults.push(`${this.name}: ${source} ${got} instead of ${expected}`);
    this.next.set(source, got + 1);
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}
