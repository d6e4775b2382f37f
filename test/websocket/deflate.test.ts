import { randomBytes } from 'node:crypto';
import { constants, createDeflateRaw, createInflateRaw, deflateRawSync, inflateRawSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { Deflater, Inflater } from '../../src/websocket/deflate.js';

const MIB = 1024 * 1024;
const TAIL = Buffer.from([0x00, 0x00, 0xff, 0xff]);
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const noHandle = (): object => ({});

const kept = { name: 'the kept handle', inflater: new Inflater(), deflater: new Deflater() };
const fallback = { name: 'the public API', inflater: new Inflater(noHandle), deflater: new Deflater(noHandle) };

/** As another implementation would: with the tail removed. */
function pack(data: Buffer, level = 6): Buffer {
  return deflateRawSync(data, { level, finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -TAIL.length);
}

function unpack(data: Buffer): Buffer {
  return inflateRawSync(Buffer.concat([data, TAIL]), { finishFlush: constants.Z_SYNC_FLUSH });
}

function textOf(bytes: number): Buffer {
  return Buffer.from('{"id":7919,"name":"Jürgen","score":0.5}, '.repeat(Math.ceil(bytes / 40))).subarray(0, bytes);
}

const LENGTHS = [0, 1, 2, 125, 126, 1024, 16_383, 16_384, 65_517, 65_526, 65_527, 65_535, 65_536, 65_537, 131_072, MIB];
const messages = LENGTHS.flatMap((length) => [
  { kind: 'text', length, data: textOf(length) },
  { kind: 'random', length, data: randomBytes(length) },
  { kind: 'zeros', length, data: Buffer.alloc(length) },
]);

afterAll(() => {
  for (const { inflater, deflater } of [kept, fallback]) {
    inflater.close();
    deflater.close();
  }
});

it('keeps the handle on this Node, and falls back where the stream has another form', () => {
  expect([kept.inflater.isFallback, kept.deflater.isFallback]).toEqual([false, false]);
  expect([fallback.inflater.isFallback, fallback.deflater.isFallback]).toEqual([true, true]);
});

it('falls back where the handle has the form but does something else', () => {
  const close = (): void => {};
  const handle = { writeSync: close, reset: close };
  const mute = (): object => ({ _handle: handle, _writeState: new Uint32Array(2), close });
  const throwing = (): never => {
    throw new Error('no stream');
  };
  for (const open of [mute, throwing, () => createDeflateRaw({ strategy: constants.Z_FIXED, dictionary: TAIL })]) {
    const inflater = new Inflater(open);
    expect(inflater.isFallback).toBe(true);
    expect(inflater.inflate(hex('f248cdc9c90700'), 5)).toEqual(Buffer.from('Hello'));
    inflater.close();
  }
  for (const open of [mute, throwing, () => createInflateRaw()]) {
    const deflater = new Deflater(open);
    expect(deflater.isFallback).toBe(true);
    expect(unpack(deflater.deflate(textOf(1024)))).toEqual(textOf(1024));
    deflater.close();
  }
});

describe.each([kept, fallback])('with $name', ({ inflater, deflater }) => {
  it.each([
    ['one block (7.2.3.1)', 'f2 48 cd c9 c9 07 00'],
    ['both fragments of it (7.2.3.1)', 'f2 48 cd c9 c9 07 00'],
    ['a block without compression (7.2.3.3)', '00 05 00 fa ff 48 65 6c 6c 6f 00'],
    ['a final block (7.2.3.4)', 'f3 48 cd c9 c9 07 00 00'],
    ['two blocks (7.2.3.5)', 'f2 48 05 00 00 00 ff ff ca c9 c9 07 00'],
  ])('reads "Hello" in %s', (_, bytes) => {
    expect(inflater.inflate(hex(bytes), 5)).toEqual(Buffer.from('Hello'));
  });

  it('reads the empty message (7.2.3.6), also from clients that send nothing at all', () => {
    expect(inflater.inflate(hex('00'), 0)).toEqual(Buffer.alloc(0));
    expect(inflater.inflate(Buffer.alloc(0), 0)).toEqual(Buffer.alloc(0));
  });

  it('refuses the second message of 7.2.3.2, which needs the context of the first', () => {
    expect(inflater.inflate(hex('f2 48 cd c9 c9 07 00'), 100)).toEqual(Buffer.from('Hello'));
    expect(inflater.inflate(hex('f2 00 11 00 00'), 100)).toBe('broken');
  });

  it('writes the empty message as one zero byte, and "Hello" as 7.2.3.1 does', () => {
    expect(deflater.deflate(Buffer.alloc(0))).toEqual(hex('00'));
    expect(deflater.deflate(Buffer.from('Hello'))).toEqual(hex('f2 48 cd c9 c9 07 00'));
  });

  it('reads messages with several final blocks, and with one that has no block behind it', () => {
    const final = hex('f3 48 cd c9 c9 07 00');
    const hello = Buffer.from('Hello');
    expect(inflater.inflate(final, 5)).toEqual(hello);
    expect(inflater.inflate(Buffer.concat([final, final]), 10)).toEqual(Buffer.concat([hello, hello]));
    expect(inflater.inflate(Buffer.concat([final, final, hex('00')]), 10)).toEqual(Buffer.concat([hello, hello]));
    expect(inflater.inflate(Buffer.concat([final, pack(hello)]), 10)).toEqual(Buffer.concat([hello, hello]));
    expect(inflater.inflate(Buffer.concat([pack(hello), TAIL, final]), 10)).toEqual(Buffer.concat([hello, hello]));
    // The tail belongs to a final block that is empty.
    expect(inflater.inflate(Buffer.concat([pack(hello), TAIL, hex('01')]), 5)).toEqual(hello);
    expect(inflater.inflate(Buffer.concat([final, final]), 9)).toBe('tooLong');
    expect(inflater.inflate(Buffer.concat([final, final]), 4)).toBe('tooLong');
  });

  it('refuses bytes behind a final block that are no block, and more final blocks than anybody sends', () => {
    const final = hex('f3 48 cd c9 c9 07 00');
    expect(inflater.inflate(Buffer.concat([final, hex('ff')]), 100)).toBe('broken');
    expect(inflater.inflate(Buffer.concat([final, Buffer.from('more')]), 100)).toBe('broken');
    expect(inflater.inflate(hex('0300'.repeat(100)), 100)).toEqual(Buffer.alloc(0));
    const before = performance.now();
    expect(inflater.inflate(hex('0300'.repeat(MIB / 2)), MIB)).toBe('broken');
    expect(performance.now() - before).toBeLessThan(2000);
  });

  it.each(messages)('$kind of $length bytes goes round', ({ data }) => {
    const packed = deflater.deflate(data);
    expect(packed.subarray(-4)).not.toEqual(TAIL);
    expect(unpack(packed).equals(data)).toBe(true);
    for (const made of [packed, pack(data), pack(data, 0), pack(data, 9)]) {
      const back = inflater.inflate(made, data.length);
      expect(typeof back !== 'string' && back.equals(data)).toBe(true);
      if (data.length > 0) expect(inflater.inflate(made, data.length - 1)).toBe('tooLong');
    }
  });

  it('reads a message from shared memory, and leaves it as it was', () => {
    const shared = Buffer.from(new SharedArrayBuffer(4096), 100, 1000);
    textOf(1000).copy(shared);
    const packed = deflater.deflate(shared);
    const source = Buffer.from(new SharedArrayBuffer(4096), 8, packed.length);
    packed.copy(source);
    expect(inflater.inflate(source, 1000)).toEqual(textOf(1000));
    expect(shared.equals(textOf(1000))).toBe(true);
    expect(source.equals(packed)).toBe(true);
  });

  it('gives results that later messages do not change', () => {
    const all = messages.filter(({ length }) => length <= 65_537);
    const packed = all.map(({ data }) => deflater.deflate(data));
    const back = packed.map((bytes, at) => inflater.inflate(bytes, all[at]?.length ?? 0));
    expect(back.every((bytes, at) => typeof bytes !== 'string' && bytes.equals(all[at]?.data ?? TAIL))).toBe(true);
    expect(packed.every((bytes, at) => unpack(bytes).equals(all[at]?.data ?? TAIL))).toBe(true);
  });

  it('keeps no context: a message has the same bytes whatever came before it', () => {
    const first = deflater.deflate(textOf(1024));
    for (const { data } of messages) {
      deflater.deflate(data);
      inflater.inflate(data, 65_536);
      expect(deflater.deflate(textOf(1024)).equals(first)).toBe(true);
      expect(inflater.inflate(first, 1024)).toEqual(textOf(1024));
    }
  });

  it('stops at a bomb: 64 KiB of 10 MiB are held, not more', () => {
    const bomb = pack(Buffer.alloc(10 * MIB), 9);
    const before = process.memoryUsage();
    for (let i = 0; i < 20; i++) expect(inflater.inflate(bomb, 65_536)).toBe('tooLong');
    const after = process.memoryUsage();
    expect(after.rss - before.rss).toBeLessThan(10 * MIB);
    const began = performance.now();
    for (let i = 0; i < 20; i++) inflater.inflate(bomb, 65_536);
    expect((performance.now() - began) / 20).toBeLessThan(50);
    const back = inflater.inflate(bomb, 10 * MIB);
    expect(back.length).toBe(10 * MIB);
  });

  it('finds that the end is missing, wherever a message is cut', () => {
    const final = deflateRawSync(textOf(300));
    const wholes = [pack(textOf(300)), pack(textOf(300), 1), deflater.deflate(textOf(50)), final];
    for (const whole of wholes) {
      for (let bytes = 1; bytes < whole.length; bytes++) {
        expect(inflater.inflate(whole.subarray(0, bytes), 10_000), `${bytes} of ${whole.toString('hex')}`).toBe(
          'broken',
        );
      }
    }
  });

  it('finds a missing end of a block without compression, unless the tail is right there by RFC 7692', () => {
    const text = textOf(300);
    const whole = pack(text, 0);
    for (let bytes = 1; bytes < whole.length; bytes++) {
      const back = inflater.inflate(whole.subarray(0, bytes), 10_000);
      if (bytes === 1) expect(back).toEqual(Buffer.alloc(0));
      else if (bytes === whole.length - 5) expect(back).toEqual(Buffer.concat([text.subarray(0, -4), TAIL]));
      else expect(back, `${bytes} bytes`).toBe('broken');
    }
  });

  it('takes every changed bit of a small message: another text or `broken`, and the next message is read', () => {
    const whole = deflater.deflate(Buffer.from('{"name":"Jürgen","again":"Jürgen"}'));
    for (let bit = 0; bit < whole.length * 8; bit++) {
      const changed = Buffer.from(whole);
      changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      const back = inflater.inflate(changed, 1000);
      expect(Buffer.isBuffer(back) || back === 'broken' || back === 'tooLong').toBe(true);
      expect(inflater.inflate(whole, 1000)).toEqual(Buffer.from('{"name":"Jürgen","again":"Jürgen"}'));
    }
  });
});

it('both engines say the same of garbage', () => {
  for (let i = 0; i < 3000; i++) {
    const data = i % 2 === 0 ? randomBytes(1 + (i % 40)) : changedAt(pack(textOf(20 + (i % 200))), i);
    const [one, other] = [kept, fallback].map(({ inflater }) => inflater.inflate(data, 300));
    // Only one may have seen how it goes on behind the 300 bytes.
    if (typeof one === 'string' && typeof other === 'string') continue;
    expect(one, data.toString('hex')).toEqual(other);
  }
});

function changedAt(data: Buffer, seed: number): Buffer {
  data.writeUInt8((seed * 37) % 256, seed % data.length);
  return data;
}
