import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { readLatin1, writeLatin1 } from '../../src/util/latin1.js';
import { scriptHas, watchState } from '../../src/util/script-state.js';
import { signalName } from '../../src/util/signal-name.js';
import { forgetTitleArgument, isTitleArgument, titleArgument } from '../../src/util/title-argument.js';
import { readUnsized, readUnsizedNow, UNSIZED_LIMIT_BYTES } from '../../src/util/unsized-file.js';

it('a title argument has room for a longer title, and is no argument of children', () => {
  const argument = titleArgument('tswoole: master');
  expect(argument).toMatch(/^--title=tswoole: master {81}$/);
  expect([isTitleArgument(argument), isTitleArgument('--trace-warnings')]).toEqual([true, false]);
  const before = process.execArgv;
  process.execArgv = ['--trace-warnings', argument];
  forgetTitleArgument();
  expect(process.execArgv).toEqual(['--trace-warnings']);
  process.execArgv = before;
});

it('the state of a script is watched where somebody has begun to', () => {
  scriptHas('made'); // nobody watches
  const state = watchState();
  expect(state).toEqual({ made: false, started: false });
  scriptHas('started');
  expect(state).toEqual({ made: false, started: true });
  Reflect.deleteProperty(globalThis, Symbol.for('tswoole.scriptState'));
});

it('a signal has its name, and a number where it has none', () => {
  expect([signalName(9), signalName(15), signalName(0)]).toEqual(['SIGKILL', 'SIGTERM', null]);
  expect(signalName(200)).toBe('signal 200');
});

it('characters up to U+00FF are their bytes', () => {
  const bytes = Buffer.alloc(6, 0x2e);
  expect(writeLatin1(bytes, 'aéÿ', 2)).toBe(3);
  expect([...bytes]).toEqual([0x2e, 0x2e, 0x61, 0xe9, 0xff, 0x2e]);
  expect(readLatin1(bytes, 2, 5)).toBe('aéÿ');
});

it('characters are their bytes too where Buffer has no methods of its own for that', async () => {
  const prototype = Buffer.prototype as { latin1Write?: unknown; latin1Slice?: unknown };
  const { latin1Write, latin1Slice } = prototype;
  Object.assign(prototype, { latin1Write: undefined, latin1Slice: undefined });
  vi.resetModules();
  const plain = await import('../../src/util/latin1.js').finally(() =>
    Object.assign(prototype, { latin1Write, latin1Slice }),
  );
  const bytes = Buffer.alloc(6, 0x2e);
  expect(plain.writeLatin1(bytes, 'aéÿ', 2)).toBe(3);
  expect([...bytes]).toEqual([0x2e, 0x2e, 0x61, 0xe9, 0xff, 0x2e]);
  expect(plain.readLatin1(bytes, 2, 5)).toBe('aéÿ');
});

describe('a file whose size is not known', () => {
  let folder: string;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'unsized-'));
  });

  afterAll(() => rmSync(folder, { recursive: true }));

  it.each([0, 1, 65_536, 65_537, UNSIZED_LIMIT_BYTES])('of %i bytes is read to its end', async (length) => {
    const path = join(folder, `of ${length}`);
    const data = Buffer.from(Array.from({ length }, (_, index) => index % 251));
    writeFileSync(path, data);
    expect([data.equals(readUnsizedNow(path) as Buffer), data.equals((await readUnsized(path)) as Buffer)]).toEqual([
      true,
      true,
    ]);
  });

  it('is not read where it is longer than a MiB, or no file', async () => {
    expect(UNSIZED_LIMIT_BYTES).toBe(1_048_576);
    const path = join(folder, 'long');
    writeFileSync(path, Buffer.alloc(UNSIZED_LIMIT_BYTES + 1));
    for (const one of [path, folder])
      expect([readUnsizedNow(one), await readUnsized(one)]).toEqual([undefined, undefined]);
    expect(() => readUnsizedNow(join(folder, 'none'))).toThrowError(expect.objectContaining({ code: 'ENOENT' }));
  });

  it('of /proc has a content', async () => {
    const text = (await readUnsized('/proc/self/status'))?.toString();
    expect(text).toContain(`Pid:\t${process.pid}\n`);
    expect(readUnsizedNow('/proc/self/status')?.length).toBeGreaterThan(100);
  });
});
