import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LineBatch } from '../../src/access-log/line-batch.js';
import { LineWriter, LogFile, standardError } from '../../src/util/log-file.js';
import { poll } from '../helpers/server-process.js';

let folder = '';
const told: string[] = [];
const open: number[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'access-log-'));
  told.length = 0;
  vi.spyOn(standardError, 'write').mockImplementation((line) => void told.push(line));
});

afterEach(() => {
  vi.restoreAllMocks();
  for (const descriptor of open.splice(0)) closeSync(descriptor);
  rmSync(folder, { recursive: true });
});

function add(batch: LineBatch, line: string): void {
  if (!batch.reserve(line.length)) return;
  batch.added(batch.length + batch.bytes.write(line, batch.length));
}

const at = (name: string): string => join(folder, name);
const textOf = (name: string): string => readFileSync(at(name), 'utf8');

describe('lines for a file', () => {
  it('leave together, after a while, when they are many, and at the end', async () => {
    const batch = new LineBatch(new LogFile(at('log')));
    add(batch, 'one\n');
    add(batch, 'two\n');
    expect(textOf('log')).toBe('');
    await poll('they are written', () => textOf('log') === 'one\ntwo\n');
    const long = `${'x'.repeat(1023)}\n`;
    for (let i = 0; i < 256; i++) add(batch, long);
    expect(textOf('log')).toBe(`one\ntwo\n${long.repeat(256)}`);
    add(batch, 'last\n');
    batch.close();
    expect(textOf('log').endsWith('last\n')).toBe(true);
    expect(told).toEqual([]);
  });

  it('go to the new file after a rotation', () => {
    const file = new LogFile(at('log'));
    let epoch = 0;
    file.epoch = () => epoch;
    const batch = new LineBatch(file);
    add(batch, 'before\n');
    batch.flush();
    renameSync(at('log'), at('log.1'));
    epoch++;
    add(batch, 'after\n');
    batch.close();
    expect([textOf('log.1'), textOf('log')]).toEqual(['before\n', 'after\n']);
  });

  it.skipIf(process.platform !== 'linux')('are counted where the disk is full', () => {
    const full = openSync('/dev/full', 'w');
    open.push(full);
    const batch = new LineBatch(new LineWriter(full));
    for (let i = 0; i < 3; i++) add(batch, 'lost\n');
    batch.flush();
    add(batch, 'lost too\n');
    batch.flush();
    expect(told.map((line) => line.replace(/^.*\] /, ''))).toEqual(['lines of the access log are lost: ENOSPC\n']);
    batch.close();
    expect(told.at(-1)).toContain('4 lines of the access log were lost: ENOSPC');
  });
});

it('go on as whole lines where a disk was full within one', async ({ skip }) => {
  mkdirSync(at('small'));
  skip(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'small', at('small')]).status !== 0, 'needs to mount');
  try {
    writeFileSync(at('small/other'), Buffer.alloc(40_000));
    const batch = new LineBatch(new LogFile(at('small/log')));
    for (let nth = 0; nth < 100; nth++) add(batch, `${String(nth).padStart(999, '0')}\n`);
    batch.flush();
    add(batch, 'lost\n');
    batch.flush();
    rmSync(at('small/other'));
    add(batch, 'after\n');
    batch.close();
    const lines = textOf('small/log').split('\n');
    const written = lines.length - 2;
    expect(lines.slice(0, written).map(Number)).toEqual(Array.from({ length: written }, (_, nth) => nth));
    expect(lines.slice(written)).toEqual(['after', '']);
    expect(told.at(-1)).toContain(`${101 - written} lines of the access log were lost: ENOSPC`);
  } finally {
    spawnSync('umount', ['-l', at('small')]);
  }
});

it('go to the named pipe that has taken the place of another one', () => {
  const open = (name: string): number => openSync(at(name), constants.O_RDONLY | constants.O_NONBLOCK);
  spawnSync('mkfifo', [at('one')]);
  const readers = [open('one')];
  const file = new LogFile(at('one'));
  let epoch = 0;
  file.epoch = () => epoch;
  const batch = new LineBatch(file);
  add(batch, 'before\n');
  batch.flush();
  renameSync(at('one'), at('old'));
  spawnSync('mkfifo', [at('one')]);
  readers.push(open('one'));
  epoch++;
  add(batch, 'after\n');
  batch.close();
  const texts = readers.map((reader) => {
    const bytes = Buffer.alloc(100);
    return bytes.toString('latin1', 0, readSync(reader, bytes));
  });
  for (const reader of readers) closeSync(reader);
  expect(texts).toEqual(['before\n', 'after\n']);
});

describe('lines for a pipe', () => {
  /** @returns both ends of a named pipe */
  function pipe(flags = 0): [reader: number, writer: number] {
    spawnSync('mkfifo', [at('pipe')]);
    const reader = openSync(at('pipe'), constants.O_RDONLY | constants.O_NONBLOCK);
    const writer = openSync(at('pipe'), constants.O_WRONLY | flags);
    open.push(reader, writer);
    return [reader, writer];
  }

  function read(reader: number): string {
    const bytes = Buffer.alloc(1_048_576);
    try {
      return bytes.toString('latin1', 0, readSync(reader, bytes));
    } catch {
      return ''; // EAGAIN: nothing is there
    }
  }

  it.each([
    ['that blocks', 0],
    ['that does not block', constants.O_NONBLOCK],
  ])('%s wait for their reader, and nothing waits for them', async (_, flags) => {
    const [reader, writer] = pipe(flags);
    const batch = new LineBatch(new LineWriter(writer));
    const lines = Array.from({ length: 4000 }, (__, nth) => `${String(nth).padStart(99, '0')}\n`);
    const begin = performance.now();
    for (const line of lines) add(batch, line); // 400 kB, of which a pipe holds 64
    const took = performance.now() - begin;
    let text = '';
    await poll('all have come', () => {
      text += read(reader);
      return text.length === 400_000;
    });
    expect(text).toBe(lines.join(''));
    expect(took).toBeLessThan(2000); // it did return: a write that blocks would never have
    expect(told).toEqual([]);
  });

  it('are not lost where the reader is as fast as a program can be', async () => {
    spawnSync('mkfifo', [at('pipe')]);
    const reader = spawn('sh', ['-c', 'exec cat < "$0" > "$1"', at('pipe'), at('copy')], { stdio: 'inherit' });
    const ended = once(reader, 'exit');
    const writer = openSync(at('pipe'), constants.O_WRONLY);
    const batch = new LineBatch(new LineWriter(writer));
    const line = `${'x'.repeat(999)}\n`;
    for (let turn = 0; turn < 200; turn++) {
      for (let i = 0; i < 100; i++) add(batch, line); // 20 MB in all, five times what may wait
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await poll('all have left', () => {
      batch.flush();
      return statSync(at('copy')).size === 20_000_000;
    });
    reader.kill(); // the batch has a descriptor of the pipe too
    await ended;
    closeSync(writer);
    expect(told).toEqual([]);
  });

  it('stay whole where two processes write, and their reader is slow', async () => {
    const [reader, writer] = pipe();
    const batches = ['a', 'b'].map((name) => ({ name, batch: new LineBatch(new LineWriter(writer)) }));
    for (let nth = 0; nth < 1000; nth++) {
      for (const { name, batch } of batches) add(batch, `${name.repeat(100 + (nth % 900))}\n`);
    }
    let text = '';
    await poll('all have come', () => {
      text += read(reader);
      return text.split('\n').length === 2001;
    });
    expect(text.split('\n').filter((line) => !/^(a+|b+)?$/.test(line))).toEqual([]);
    expect(told).toEqual([]);
  });

  it('are bounded where nobody reads', async () => {
    const [reader, writer] = pipe(constants.O_NONBLOCK);
    const batch = new LineBatch(new LineWriter(writer));
    const line = `${'x'.repeat(999)}\n`;
    for (let i = 0; i < 6000; i++) add(batch, line);
    expect(told).toEqual([expect.stringContaining('lines of the access log are lost: its reader does not keep up')]);
    let bytes = 0;
    await poll('what was kept has come', () => {
      bytes += read(reader).length;
      return told.length === 2;
    });
    const lost = Number(/(\d+) lines/.exec(told[1] ?? '')?.[1]);
    await poll('the rest has come', () => {
      bytes += read(reader).length;
      return bytes >= (6000 - lost) * 1000;
    });
    expect(bytes).toBe((6000 - lost) * 1000);
    expect(lost).toBeGreaterThan(1000);
    expect(lost).toBeLessThan(2500);
  });
});
