import { describe, expect, it } from 'vitest';
import { maskAt, turned, unmask } from '../../../src/protocol/websocket/unmask.js';
import { Copier, unmaskCopy } from '../../../src/protocol/websocket/unmask-copy.js';
import { loadVectorUnmask, STEP_BYTES } from '../../../src/protocol/websocket/vector-unmask.js';

const GUARD = 0x5a;

/** Numbers that look random and are the same each time (xorshift). */
function randomBytes(seed: number, length: number, highest = 256): Buffer {
  let state = seed * 2_654_435_761 + 1;
  return Buffer.from(
    Array.from({ length }, () => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return (state >>> 8) % highest;
    }),
  );
}

/** RFC 6455 5.3, letter by letter: transformed-octet-i = original-octet-i XOR masking-key-octet-(i MOD 4). */
function masked(payload: Buffer, key: Buffer): Buffer {
  return Buffer.from(payload.map((byte, i) => byte ^ key[i % 4]!));
}

const isAscii = (payload: Buffer): boolean => payload.every((byte) => byte < 0x80);

interface Place {
  readonly bytes: Buffer;
  readonly words: Int32Array;
}

function place(length: number, isShared = false): Place {
  const size = (length + 7) & ~7;
  const memory = isShared ? new SharedArrayBuffer(size) : new ArrayBuffer(size);
  return { bytes: Buffer.from(memory).fill(GUARD), words: new Int32Array(memory) };
}

/** What surrounds the payload is not touched. */
function expectAlone(bytes: Buffer, from: number, payload: Buffer): void {
  const whole = Buffer.alloc(bytes.length, GUARD);
  payload.copy(whole, from);
  if (!bytes.equals(whole)) expect(bytes.toString('hex')).toBe(whole.toString('hex'));
}

describe('maskAt', () => {
  it('reads the first byte of the key into the lowest bits', () => {
    const bytes = Buffer.from([9, 0x01, 0x02, 0x03, 0xf4, 9]);
    expect(maskAt(bytes, 1)).toBe(bytes.readInt32LE(1));
    expect(maskAt(bytes, 2)).toBe(bytes.readInt32LE(2));
  });
});

describe('turned', () => {
  it('is the key as seen further on', () => {
    const key = Buffer.from([0x11, 0x82, 0x33, 0xf4]);
    for (let by = 0; by < 12; by++) {
      const seen = Buffer.alloc(4);
      seen.writeInt32LE(turned(maskAt(key, 0), by));
      expect([...seen]).toEqual([0, 1, 2, 3].map((i) => key[(by + i) % 4]));
    }
  });
});

describe('unmask', () => {
  it('gives the Hello of RFC 6455 5.7', () => {
    const frame = Buffer.from('818537fa213d7f9f4d5158', 'hex');
    const { bytes, words } = place(16);
    frame.copy(bytes);
    expect(unmask(bytes, words, 6, 5, maskAt(bytes, 2))).toBe(true);
    expect(bytes.toString('latin1', 6, 11)).toBe('Hello');
  });

  it.each([false, true])(
    'equals the RFC at each place of 0-7 and each length of 0-300, in shared memory: %s',
    (shared) => {
      const { bytes, words } = place(320, shared);
      for (let at = 0; at < 8; at++) {
        for (let length = 0; length <= 300; length++) {
          const key = randomBytes(length + 1, 4);
          const payload = randomBytes(at * 301 + length + 7, length, length % 2 === 0 ? 256 : 128);
          bytes.fill(GUARD);
          masked(payload, key).copy(bytes, at);
          expect(unmask(bytes, words, at, length, maskAt(key, 0))).toBe(isAscii(payload));
          expectAlone(bytes, at, payload);
        }
      }
    },
  );

  it('sees a single byte that is not ASCII, wherever it is', () => {
    const key = Buffer.from([0xff, 0x80, 0x00, 0x7f]);
    const { bytes, words } = place(64);
    for (let at = 0; at < 4; at++) {
      for (let odd = 0; odd < 37; odd++) {
        const payload = Buffer.alloc(37, 0x41);
        payload[odd] = 0x80;
        masked(payload, key).copy(bytes, at);
        expect(unmask(bytes, words, at, 37, maskAt(key, 0))).toBe(false);
      }
    }
  });

  it('in pieces, with the key turned, gives what it gives at once', () => {
    const key = randomBytes(3, 4);
    const payload = randomBytes(4, 100);
    const whole = masked(payload, key);
    for (let cut = 0; cut <= 100; cut++) {
      for (let at = 0; at < 4; at++) {
        const { bytes, words } = place(112);
        whole.copy(bytes, at);
        unmask(bytes, words, at, cut, maskAt(key, 0));
        unmask(bytes, words, at + cut, 100 - cut, turned(maskAt(key, 0), cut));
        expectAlone(bytes, at, payload);
      }
    }
  });

  it('with a key of zeros changes nothing', () => {
    const { bytes, words } = place(32);
    expect(unmask(bytes, words, 1, 30, 0)).toBe(true);
    expectAlone(bytes, 0, Buffer.alloc(0));
  });
});

const lengths = [
  ...Array.from({ length: 3 * STEP_BYTES + 2 }, (_, i) => i),
  ...[4095, 4096, 4097, 16_383, 16_384, 16_385, 16_384 + 63, 32_768, 65_535, 65_536, 65_537, 200_000],
];

describe.each([
  ['vector instructions', new Copier(loadVectorUnmask())],
  ['words', new Copier(undefined)],
])('copying and unmasking by %s', (_, copier) => {
  it.each([0, 1, 6, 7])('equals the RFC, to place %d', (at) => {
    for (const length of lengths) {
      const key = randomBytes(length + 5, 4);
      const payload = randomBytes(length + at, length, length % 2 === 0 ? 256 : 128);
      const source = masked(payload, key);
      const before = Buffer.from(source);
      const { bytes } = place(length + 16, true);
      expect(copier.copy(source, bytes, at, maskAt(key, 0))).toBe(isAscii(payload));
      expectAlone(bytes, at, payload);
      expect(source.equals(before)).toBe(true);
    }
  });

  it('sees a single byte that is not ASCII, wherever it is, and forgets it after', () => {
    const { bytes } = place(256);
    const key = Buffer.from([0x00, 0xff, 0x55, 0xaa]);
    for (let odd = 0; odd < 200; odd++) {
      const payload = Buffer.alloc(200, 0x7f);
      payload[odd] = 0xff;
      expect(copier.copy(masked(payload, key), bytes, 0, maskAt(key, 0))).toBe(false);
      expect(copier.copy(masked(Buffer.alloc(100, 0x7f), key), bytes, 0, maskAt(key, 0))).toBe(true);
    }
  });

  it('sees one in each of several pieces', () => {
    const { bytes } = place(60_000);
    for (const odd of [0, 16_383, 16_384, 40_000, 49_999]) {
      const payload = Buffer.alloc(50_000, 0x20);
      payload[odd] = 0x80;
      expect(copier.copy(payload, bytes, 0, 0)).toBe(false);
    }
    expect(copier.copy(Buffer.alloc(50_000, 0x20), bytes, 0, 0)).toBe(true);
  });

  it('may copy a payload to where it lies', () => {
    const key = randomBytes(8, 4);
    const payload = randomBytes(9, 50_001);
    const { bytes } = place(50_016);
    masked(payload, key).copy(bytes, 5);
    copier.copy(bytes.subarray(5, 5 + payload.length), bytes, 5, maskAt(key, 0));
    expectAlone(bytes, 5, payload);
  });
});

describe('unmaskCopy', () => {
  it('gives the Hello of RFC 6455 5.7', () => {
    const frame = Buffer.from('818537fa213d7f9f4d5158', 'hex');
    const target = Buffer.alloc(8);
    expect(unmaskCopy(frame.subarray(6), target, 2, maskAt(frame, 2))).toBe(true);
    expect(target.toString('latin1')).toBe('\0\0Hello\0');
  });
});

describe('loadVectorUnmask', () => {
  it('finds vector instructions where the tests run', () => {
    expect(loadVectorUnmask()).toBeDefined();
  });

  it('does without WebAssembly, and without memory for it', () => {
    const { WebAssembly: whole } = globalThis as { WebAssembly?: unknown };
    const without = (value: unknown): unknown => {
      Object.assign(globalThis, { WebAssembly: value });
      try {
        return loadVectorUnmask();
      } finally {
        Object.assign(globalThis, { WebAssembly: whole });
      }
    };
    expect(without(undefined)).toBeUndefined();
    const Instance = (): void => {
      throw new RangeError('WebAssembly.Instance(): Out of memory: Cannot allocate Wasm memory for new instance');
    };
    expect(without({ Module: Object, Instance })).toBeUndefined();
  });
});
