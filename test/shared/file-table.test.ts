/** A table in a file: what it outlives, who may share it, and what is refused. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Table } from '../../src/index.js';
import { PACE } from '../helpers/deadline.js';

const columns = { n: 'int', s: { type: 'string', size: 16 } } as const;
let folder: string;
let file: string;
const children: ChildProcess[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'file-table-'));
  file = join(folder, 'visits.table');
});
afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  rmSync(folder, { recursive: true });
});

function run(job: string, step?: number): ChildProcess {
  const child = fork(join(import.meta.dirname, '../fixtures/file-table.js'), [
    file,
    job,
    ...(step === undefined ? [] : [String(step)]),
  ]);
  children.push(child);
  return child;
}

const ended = async (child: ChildProcess): Promise<unknown> => (await once(child, 'exit'))[1];
const declare = (rows = 100) => new Table(rows, columns, { file });

function refusal(make: () => unknown): unknown {
  try {
    make();
  } catch (error) {
    return error;
  }
  return undefined;
}

describe('a table in a file', () => {
  it('is there when the next process comes, and goes on', async () => {
    expect(await ended(run('count'))).toBeNull();
    expect(await ended(run('count'))).toBeNull();
    expect(declare().get('n', 'n')).toBe(20_000);
  });

  it('has its whole size on the disk, and is of its user alone', () => {
    const { memoryBytes } = declare();
    const { size, blocks, mode } = statSync(file);
    expect(size).toBeGreaterThanOrEqual(memoryBytes);
    expect(blocks * 512).toBeGreaterThanOrEqual(size);
    expect(mode & 0o777).toBe(0o600);
  });

  it(
    'is whole after its writer was killed at any step, and holds nothing of the dead',
    async () => {
      for (let step = 0; ; step++) {
        const signal = await ended(run('set', step));
        const table = new Table(100, columns, { file });
        expect([undefined, { n: 7, s: 'seven' }]).toContainEqual(table.get('k'));
        table.set('k', { n: 8 });
        expect(table.get('k', 'n')).toBe(8);
        table.delete('k');
        expect(table.size).toBe(0);
        if (signal === null) break;
        expect(step).toBeLessThan(50);
      }
    },
    60_000 * PACE,
  );

  it('is shared by processes that have it open at the same time', async () => {
    const child = run('hold');
    await once(child, 'message');
    const table = declare();
    for (let i = 0; i < 10; i++) {
      table.incr('n', 'n');
      child.send('');
      const [n] = await once(child, 'message');
      expect([n, table.get('n', 'n')]).toEqual([i * 2 + 2, i * 2 + 2]);
    }
  });

  it('counts time by the clock of the day, which outlives the machine', () => {
    const table = declare();
    table.set('short', { n: 1 }, { expiresMs: 60_000 });
    table.set('long', { n: 2 });
    let now = Date.now() + 59_000;
    const later = new Table(100, columns, { file }, { now: () => now });
    expect(later.get('short', 'n')).toBe(1);
    now += 2000;
    expect([later.get('short'), later.get('long', 'n')]).toEqual([undefined, 2]);
  });

  it('goes on behind another path, and under another name', () => {
    declare().set('k', { n: 1 });
    const other = join(folder, 'other.table');
    writeFileSync(other, readFileSync(file));
    expect(new Table(100, columns, { file: other, name: 'x' }).get('k', 'n')).toBe(1);
  });

  it('is told by its name, or that of its file', () => {
    const named = new Table(100, columns, { file, name: 'visits' });
    expect(refusal(() => named.set('x'.repeat(100), {}))).toMatchObject({
      message: expect.stringContaining('"visits"'),
    });
    expect(refusal(() => declare().set('x'.repeat(100), {}))).toMatchObject({
      message: expect.stringContaining('"visits.table"'),
    });
  });
});

describe('a file is refused, and stays as it was,', () => {
  const refused = (why: RegExp, make: () => unknown = declare): void =>
    expect(refusal(make)).toMatchObject({ code: 'ERR_SHARED_FILE', message: expect.stringMatching(why) });

  it('that holds another table, which it tells', () => {
    declare().set('k', { n: 1 });
    refused(/it holds 100 rows of .*; the script declares 200 rows of /, () => declare(200));
    expect(declare().get('k', 'n')).toBe(1);
  });

  it.each([
    ['a text', Buffer.from('x'.repeat(10_000))],
    ['a short text', Buffer.from('x')],
    ['zeros', Buffer.alloc(10_000)],
  ])('that holds %s', (_, bytes) => {
    writeFileSync(file, bytes);
    refused(/it holds no shared objects/);
    expect(readFileSync(file).equals(bytes)).toBe(true);
  });

  it('that is cut off', async () => {
    await ended(run('count'));
    const { size } = statSync(file);
    for (const length of [size - 5000, 1_000_000]) {
      truncateSync(file, length);
      refused(/it is cut off: it has \d+ of \d+ bytes/);
    }
  });

  it('of another version', async () => {
    await ended(run('count'));
    const bytes = readFileSync(file);
    bytes.writeInt32LE(99, 4);
    writeFileSync(file, bytes);
    refused(/laid out by another version \(layout 99, here 1\)/);
  });

  it('that is a folder, a link, or in no folder', () => {
    mkdirSync(file);
    refused(/EISDIR|not a regular file/);
    const link = join(folder, 'link');
    symlinkSync(join(folder, 'target'), link);
    refused(/symbolic link/, () => new Table(100, columns, { file: link }));
    refused(/ENOENT/, () => new Table(100, columns, { file: join(folder, 'no', 'where') }));
  });

  it.each(['', 7, null])('where its path is %j', (path) => {
    const make = () => new Table(100, columns, { file: path as string });
    expect(refusal(make)).toMatchObject({ code: 'ERR_TABLE_DECLARATION' });
  });

  it('while a process opens it that is stopped', async () => {
    const child = fork(join(import.meta.dirname, '../fixtures/flock.js'), [file]);
    children.push(child);
    await once(child, 'message');
    refused(/another process is opening it, and is stopped/);
  });
});
