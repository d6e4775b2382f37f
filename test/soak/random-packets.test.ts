/**
 * Random packets through each framing: sizes from nothing to 1 MiB (most of them small), cut anywhere on the way, each
 * answered with its length and hash in order. PACKETS says how many per framing.
 */
import { createHash, randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { endServers, startServer } from '../helpers/server-process.js';
import { TcpClient } from '../helpers/tcp-client.js';

afterEach(endServers);

const PACKETS = Number(process.env['PACKETS'] ?? 1_000_000);
const CONNECTIONS = 16;
const IN_FLIGHT = 128;
const MIB = 2 ** 20;
const pool = randomBytes(4 * MIB).map((byte) => (byte === 0x0a ? 0x0b : byte)); // no delimiter inside

function randomSize(): number {
  const dice = Math.random();
  if (dice < 0.05) return Math.floor(Math.random() * 3);
  if (dice < 0.995) return Math.floor(Math.random() * 1000);
  return Math.floor(2 ** (10 + Math.random() * 10));
}

function bodyOf(size: number): Buffer {
  const at = Math.floor(Math.random() * (pool.length - size));
  return Buffer.from(pool.buffer, pool.byteOffset + at, size);
}

const withLength = (body: Buffer): Buffer => {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(body.length);
  return Buffer.concat([head, body]);
};
const withLowLength = (body: Buffer): Buffer => {
  const head = Buffer.alloc(4);
  head.writeUInt32LE(body.length);
  return Buffer.concat([head, body]);
};
const withEnd = (body: Buffer): Buffer => Buffer.concat([body, Buffer.from('\n')]);
const framings = {
  length: { framing: { type: 'length', field: 'u32be', offset: 0, bodyOffset: 4 }, pack: withLength },
  eof: { framing: { type: 'eof', delimiter: '\n', split: true }, pack: withEnd },
  custom: {
    framing: { type: 'custom', length: fileURLToPath(new URL('../fixtures/frame-long.js', import.meta.url)) },
    pack: withLowLength,
  },
};

describe.each(['process', 'base'])('in mode %s', (mode) => {
  it.each(Object.entries(framings))('%s', async (name, { framing, pack }) => {
    const server = await startServer('packets.js', { options: { mode, workerNum: 2, framing } });
    const clients = await TcpClient.connectMany(server.port, CONNECTIONS);
    const each = Math.ceil(PACKETS / CONNECTIONS);
    await Promise.all(clients.map((client) => exchange(client, each, pack)));
    expect(server.events('close'), name).toEqual([]);
    await Promise.all(clients.map((client) => client.close()));
  });
});

/** Sends in pieces that have nothing to do with packets; reads answers in order. */
async function exchange(client: TcpClient, count: number, pack: (body: Buffer) => Buffer): Promise<void> {
  for (let done = 0; done < count; done += IN_FLIGHT) {
    const packets = Array.from({ length: Math.min(IN_FLIGHT, count - done) }, () => pack(bodyOf(randomSize())));
    const all = Buffer.concat(packets);
    for (let from = 0; from < all.length; ) {
      const to = Math.min(all.length, from + 1 + Math.floor(Math.random() * 65_536));
      client.send(all.subarray(from, to));
      from = to;
      if (Math.random() < 0.2) await new Promise((resolve) => setImmediate(resolve));
    }
    const answers = packets.map((packet) => `${packet.length} ${createHash('sha1').update(packet).digest('hex')}\n`);
    const expected = Buffer.from(answers.join(''));
    const got = await client.read(expected.length, 60_000);
    if (!got.equals(expected)) throw new Error('an answer is missing, wrong or out of order');
  }
}
