import { deserialize, serialize } from 'node:v8';
import { describe, expect, it } from 'vitest';
import { encodeValue } from '../../src/messaging/value.js';
import { checkReadable, clonedBytes, MOST_LEVELS } from '../../src/shared/cloned.js';
import { deep, wasmModule } from '../helpers/unreadable.js';

const refused = (why: RegExp) =>
  expect.objectContaining({ code: 'ERR_DATA_NOT_CLONEABLE', message: expect.stringMatching(why) });

const wrappers: Record<string, (value: unknown) => unknown> = {
  objects: (value) => ({ text: 'x', value }),
  'lists of one': (value) => [value],
  'lists with holes': (value) => {
    const list: unknown[] = [];
    list[5] = value;
    return list;
  },
  'keys of maps': (value) => new Map([[value, 1]]),
  'values of maps': (value) => new Map([[1, value]]),
  sets: (value) => new Set([value]),
  causes: (value) => new Error('', { cause: value }),
  'objects of a class': (value) => Object.assign(new (class Box {})(), { value }),
  'objects without a prototype': (value) => Object.assign(Object.create(null), { value }),
};

function nested(wrap: (value: unknown) => unknown, levels: number): unknown {
  let value: unknown = 1;
  for (let level = 0; level < levels; level++) value = wrap(value);
  return value;
}

describe.each(Object.entries(wrappers))('%s in each other', (_, wrap) => {
  it('are read again where they are taken, and refused one level deeper', () => {
    const bytes = clonedBytes(nested(wrap, MOST_LEVELS));
    expect(() => deserialize(bytes)).not.toThrow();
    for (const levels of [MOST_LEVELS + 1, 1700])
      expect(() => clonedBytes(nested(wrap, levels))).toThrow(refused(/objects more than 1000 levels deep/));
  });

  it('are refused with a module of WebAssembly among them', () => {
    expect(() => clonedBytes(nested(wrap, 3))).not.toThrow();
    expect(() => clonedBytes(wrap(wrap(wasmModule())))).toThrow(refused(/A WebAssembly\.Module cannot be read/));
  });
});

describe('a value for other processes', () => {
  it('that is too deep to be written is told in the same words', () => {
    expect(() => serialize(deep(20_000))).toThrow(RangeError);
    expect(() => clonedBytes(deep(20_000))).toThrow(refused(/objects more than 1000 levels deep/));
  });

  it('is looked at once where it is held many times, also by itself', () => {
    let value: unknown = {};
    for (let level = 0; level < 60; level++) value = [value, value];
    const circle: { self?: unknown } = {};
    circle.self = circle;
    for (const each of [value, circle]) expect(() => deserialize(clonedBytes(each))).not.toThrow();
  });

  it('may be a list of very many holes', () => {
    const list: unknown[] = [];
    list[4_000_000_000] = deep(MOST_LEVELS - 1);
    expect(() => clonedBytes(list)).not.toThrow();
    list[4_000_000_001] = wasmModule();
    expect(() => clonedBytes(list)).toThrow(refused(/WebAssembly/));
  });

  it('goes by messages too if it can be read', () => {
    expect(() => encodeValue(deep(MOST_LEVELS))).not.toThrow();
    for (const value of [deep(MOST_LEVELS + 1), wasmModule(), { small: wasmModule() }])
      expect(() => encodeValue(value)).toThrow(refused(/./));
    expect(() => encodeValue(deep(MOST_LEVELS + 1), MOST_LEVELS + 1)).not.toThrow();
  });
});

it('what a stranger has written is readable as bytes of a value alone', () => {
  expect(() => checkReadable(clonedBytes({ a: 1 }))).not.toThrow();
  for (const value of [5, 'x', undefined, Buffer.of(0x7e), serialize(deep(2500))])
    expect(() => checkReadable(value)).toThrow();
});
