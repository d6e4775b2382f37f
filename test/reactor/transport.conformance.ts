/**
 * What every transport must do, over real sockets with a client of Node's at the other end. A further one joins with what
 * opens a connection: see `transports.test.ts`.
 */
import { fstatSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { addressOf, allocateStable, EAGAIN, EINTR } from '../../src/os/libc.js';
import type { Connection } from '../../src/reactor/connection.js';
import { FilePart } from '../../src/reactor/out-queue.js';
import type { Transport } from '../../src/reactor/transport/transport.js';
import { poll } from '../helpers/server-process.js';

/** One connection: our end by the transport, the client's by Node. */
export interface TransportEnds {
  readonly transport: Transport;
  readonly connection: Connection;
  /** Plain, or a TLSSocket; it may stay half open. */
  readonly client: Socket;
  /** The client goes, with an RST. */
  reset(): void;
  /** Of bytes it has not taken, so many may be with the client already: they are given again, and count once. */
  readonly aheadBytes?: number;
  /** Names of errors that the transport has told, where reading does not. */
  readonly failures: readonly string[];
}

const { ECONNRESET } = constants.errno;
const SPACE_BYTES = 65_536;
const NOT_TOUCHED = 0xee;
const space = allocateStable(SPACE_BYTES);
const spaceAddress = addressOf(space);
const out = allocateStable(SPACE_BYTES);
const outAddress = addressOf(out);

/** The client, and what it has seen. */
class Line {
  readonly #ends: TransportEnds;
  readonly #got: Buffer[] = [];
  hasSeenEnd = false;
  isClosed = false;
  error = '';

  constructor(ends: TransportEnds) {
    this.#ends = ends;
    const { client } = ends;
    client.on('data', (bytes: Buffer) => this.#got.push(bytes));
    client.on('end', () => {
      this.hasSeenEnd = true;
    });
    client.on('error', (error: NodeJS.ErrnoException) => {
      this.error = error.code ?? error.message;
    });
    client.on('close', () => {
      this.isClosed = true;
    });
  }

  get aheadBytes(): number {
    return this.#ends.aheadBytes ?? 0;
  }

  get transport(): Transport {
    return this.#ends.transport;
  }
  get connection(): Connection {
    return this.#ends.connection;
  }
  get client(): Socket {
    return this.#ends.client;
  }
  clientResets(): void {
    this.#ends.reset();
  }
  get failures(): readonly string[] {
    return this.#ends.failures;
  }

  get got(): Buffer {
    return Buffer.concat(this.#got);
  }

  receive(limit = SPACE_BYTES, at = 0): number {
    return this.transport.receive(this.connection, space, at, spaceAddress + at, limit);
  }

  /** Reads until `enough` says so; `limit` bytes at a time. */
  async receiveUntil(enough: (read: Buffer) => boolean, limit = SPACE_BYTES): Promise<Buffer> {
    let read = Buffer.alloc(0);
    await poll('all is read', () => {
      for (let n = this.receive(limit); n > 0; n = this.receive(limit)) {
        read = Buffer.concat([read, space.subarray(0, n)]);
      }
      return enough(read);
    });
    return read;
  }

  /** @returns as `Transport.send`: of at most `SPACE_BYTES`, from a place that is used again at once */
  send(bytes: Uint8Array, at = 0): number {
    out.set(bytes, at);
    const n = this.transport.send(this.connection, out, at, outAddress + at, bytes.length);
    out.fill(NOT_TOUCHED);
    return n;
  }

  async sendAll(bytes: Uint8Array): Promise<void> {
    let sent = 0;
    await poll('all is sent', () => {
      while (sent < bytes.length) {
        const n = this.send(bytes.subarray(sent, sent + SPACE_BYTES));
        if (n < 0) return false;
        sent += n;
      }
      return true;
    });
  }

  /** What ends our reading: 0, or −errno, or the name of an error. */
  async endOfReading(): Promise<number | string> {
    return await poll('reading ends', () => {
      const n = this.receive();
      if (n > 0 || n === -EAGAIN || n === -EINTR) return this.failures[0];
      return n === 0 ? 'end' : n;
    });
  }
}

function partsBehind(parts: readonly Buffer[], from: number): Buffer[] {
  let at = from;
  return parts.flatMap((part) => {
    const rest = at < part.length ? [part.subarray(at)] : [];
    at = Math.max(0, at - part.length);
    return rest;
  });
}

/** 0: it is closed. */
function inodeOf(descriptor: number): number {
  try {
    return fstatSync(descriptor).ino;
  } catch {
    return 0;
  }
}

export function transportConformance(name: string, connect: () => Promise<TransportEnds>): void {
  describe(`the ${name} transport`, () => {
    const opened: Line[] = [];
    afterEach(() => {
      for (const { client } of opened.splice(0)) client.destroy();
    });
    const open = async (): Promise<Line> => {
      const line = new Line(await connect());
      opened.push(line);
      return line;
    };
    receives(open);
    sends(open);
    sendsFiles(open);
    ends(open);
  });
}

type Open = () => Promise<Line>;

/** Such that every byte tells its place. */
const pattern = (length: number): Buffer => Buffer.from(Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 0xff));

function receives(open: Open): void {
  describe('gives what the client sends', () => {
    it('and nothing while there is nothing', async () => {
      const line = await open();
      expect(line.receive()).toBe(-EAGAIN);
      line.client.write('hello');
      const read = await line.receiveUntil(({ length }) => length >= 5);
      expect(read.toString()).toBe('hello');
      expect(line.receive()).toBe(-EAGAIN);
    });

    it.each([1, 3, 100])('to a reader of %i bytes at a time, without a loss', async (limit) => {
      const line = await open();
      const sent = pattern(5000);
      line.client.write(sent.subarray(0, 2000));
      line.client.write(sent.subarray(2000));
      const read = await line.receiveUntil(({ length }) => length >= sent.length, limit);
      expect(read.equals(sent)).toBe(true);
    });

    it('in pieces of any size, in order', async () => {
      const line = await open();
      const sent = pattern(700_000);
      line.client.write(sent);
      const read = await line.receiveUntil(({ length }) => length >= sent.length);
      expect(read.equals(sent)).toBe(true);
    });

    it('to the place that it was given, and to no other', async () => {
      const line = await open();
      space.fill(NOT_TOUCHED);
      line.client.write('hello');
      const n = await poll('bytes have come', () => {
        const got = line.receive(4, 10);
        return got > 0 ? got : undefined;
      });
      expect(n).toBeLessThanOrEqual(4);
      expect(space.toString('latin1', 10, 10 + n)).toBe('hello'.slice(0, n));
      expect([space[9], space[10 + n], space[14]]).toEqual([NOT_TOUCHED, NOT_TOUCHED, NOT_TOUCHED]);
    });

    it('tells by a short read that there is no more, where it says so', async () => {
      const line = await open();
      line.client.write('hello');
      const n = await poll('bytes have come', () => {
        const got = line.receive();
        return got > 0 ? got : undefined;
      });
      expect(n).toBe(5);
      if (line.transport.drainsByShortRead) expect(line.receive()).toBe(-EAGAIN);
    });
  });
}

function sends(open: Open): void {
  describe('sends to the client', () => {
    it.each([
      ['a few', [7, 20_000, 2]],
      ['more than one call takes', Array.from({ length: 40 }, (_, i) => 1 + i * 999)],
      ['a long one between short ones', [100, 1 << 20, 3]],
    ])('sends parts in a row, %s, as room comes', async (_what, lengths) => {
      const line = await open();
      const parts = lengths.map((length, i) => Buffer.alloc(length, 97 + (i % 26)));
      const all = Buffer.concat(parts);
      let sent = 0;
      await poll('all is sent', () => {
        while (sent < all.length) {
          const n = line.transport.sendParts(line.connection, partsBehind(parts, sent));
          if (n < 0) return n === -EAGAIN ? false : Promise.reject(new Error(String(n)));
          sent += n;
        }
        return true;
      });
      await poll('all is there', () => line.got.length >= all.length);
      expect(line.got.equals(all)).toBe(true);
    });

    it('bytes that may be overwritten afterwards', async () => {
      const line = await open();
      expect([line.send(Buffer.from('hello ')), line.send(Buffer.from('world'), 100)]).toEqual([6, 5]);
      await poll('all has come', () => line.got.length >= 11);
      expect(line.got.toString()).toBe('hello world');
    });

    it('what it has taken, and hardly more, where the client does not read', async () => {
      const line = await open();
      line.client.pause();
      const sent = pattern(SPACE_BYTES);
      let taken = 0;
      for (let n = line.send(sent); n > 0 || taken < SPACE_BYTES; n = line.send(sent.subarray(taken % SPACE_BYTES))) {
        if (n < 0) break;
        taken += n;
      }
      expect(line.send(sent)).toBe(-EAGAIN);
      line.client.resume();
      await poll('what was taken has come', () => line.got.length >= taken);
      expect(line.got.length - taken).toBeLessThanOrEqual(line.aheadBytes);
      for (let at = 0; at < taken; at += SPACE_BYTES) {
        const piece = line.got.subarray(at, at + SPACE_BYTES);
        expect(piece.equals(sent.subarray(0, piece.length))).toBe(true);
      }
    });

    it('and has nothing in memory when the client has read', async () => {
      const line = await open();
      const sent = pattern(1_000_000);
      await line.sendAll(sent);
      await poll('all has come', () => line.got.length >= sent.length);
      expect(line.got.equals(sent)).toBe(true);
      await poll('nothing is left', () => line.transport.queuedBytes(line.connection) === 0);
      if (line.transport.isDirect) expect(line.transport.queuedBytes(line.connection)).toBe(0);
    });

    it('while the client sends', async () => {
      const line = await open();
      const sent = pattern(300_000);
      line.client.write(sent);
      const [read] = await Promise.all([line.receiveUntil(({ length }) => length >= sent.length), line.sendAll(sent)]);
      await poll('all has come', () => line.got.length >= sent.length);
      expect([read.equals(sent), line.got.equals(sent)]).toEqual([true, true]);
    });
  });
}

function sendsFiles(open: Open): void {
  const folder = mkdtempSync(join(tmpdir(), 'tswoole-transport-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'file');
  const content = pattern(500_000);
  writeFileSync(path, content);

  describe('sends files', () => {
    it('from any place, as much as is wanted', async () => {
      const line = await open();
      const part = new FilePart(path, 1000, 400_000);
      await poll('it is sent', () => {
        while (part.left > 0) {
          const n = line.transport.sendFile(line.connection, part, Math.min(part.left, 90_000));
          if (n < 0) return false;
          expect(n).toBeLessThanOrEqual(90_000);
          part.sent(n);
        }
        return true;
      });
      part.close();
      await poll('all has come', () => line.got.length >= 400_000);
      expect(line.got.equals(content.subarray(1000, 401_000))).toBe(true);
    });

    it('between other bytes', async () => {
      const line = await open();
      const part = new FilePart(path, 0, 10);
      line.send(Buffer.from('before '));
      expect(line.transport.sendFile(line.connection, part, 10)).toBe(10);
      line.send(Buffer.from(' behind'));
      part.close();
      await poll('all has come', () => line.got.length >= 24);
      expect(
        line.got.equals(Buffer.concat([Buffer.from('before '), content.subarray(0, 10), Buffer.from(' behind')])),
      ).toBe(true);
    });

    it('and throws where one is not there, or shorter than it was', async () => {
      const { transport, connection } = await open();
      const missing = new FilePart(join(folder, 'missing'), 0, 10);
      const short = new FilePart(path, content.length, 10);
      expect(() => transport.sendFile(connection, missing, 10)).toThrow('ENOENT');
      expect(() => transport.sendFile(connection, short, 10)).toThrow('shorter');
      short.close();
    });
  });
}

function ends(open: Open): void {
  describe('ends', () => {
    it('tells the end of the client, behind all that it has sent, and again', async () => {
      const line = await open();
      line.client.end('last words');
      const read = await line.receiveUntil(({ length }) => length >= 10);
      expect(read.toString()).toBe('last words');
      expect(await line.endOfReading()).toBe('end');
      expect(line.receive()).toBe(0);
    });

    it('tells the end also to a reader that had no room for the last words', async () => {
      const line = await open();
      line.client.end('last words');
      const read = await line.receiveUntil(({ length }) => length >= 4, 2);
      expect(read.subarray(0, 4).toString()).toBe('last');
      expect(await line.endOfReading()).toBe('end');
    });

    it('sends to a client that has ended its side', async () => {
      const line = await open();
      line.client.end('question');
      await line.receiveUntil(({ length }) => length >= 8);
      expect(await line.endOfReading()).toBe('end');
      expect(line.send(Buffer.from('answer'))).toBe(6);
      await poll('the answer has come', () => line.got.length >= 6);
      expect(line.got.toString()).toBe('answer');
    });

    it('ends its own side behind all that was sent', async () => {
      const line = await open();
      const sent = pattern(300_000);
      await line.sendAll(sent);
      line.transport.end(line.connection);
      await poll('the end has come', () => line.hasSeenEnd);
      expect(line.got.equals(sent)).toBe(true);
      expect(line.error).toBe('');
    });

    it('resets: the client sees ECONNRESET, and no end before it', async () => {
      for (let round = 0; round < 20; round++) {
        const line = await open();
        line.transport.reset(line.connection);
        await poll('the client has seen it', () => line.isClosed || line.hasSeenEnd);
        expect([line.hasSeenEnd, line.error]).toEqual([false, 'ECONNRESET']);
      }
    });

    it('resets a client that takes nothing: its descriptor goes with all that waits', async () => {
      const line = await open();
      const { descriptor } = line.connection;
      const { ino } = fstatSync(descriptor);
      line.client.pause();
      const bytes = pattern(SPACE_BYTES);
      for (let i = 0; i < 256 && line.send(bytes) > 0; i++);
      line.transport.reset(line.connection);
      await poll('its descriptor is gone', () => inodeOf(descriptor) !== ino);
    });

    it('lets the descriptor go: the client sees an end', async () => {
      const line = await open();
      line.transport.release(line.connection);
      line.client.end();
      await poll('the client has seen it', () => line.isClosed);
    });

    it('tells that the client has reset the connection', async () => {
      const line = await open();
      line.clientResets();
      const end = await line.endOfReading();
      expect(['ECONNRESET', -ECONNRESET]).toContain(end);
    });
  });
}
