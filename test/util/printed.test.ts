import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { deserializeError, serializeError } from '../../src/errors/index.js';
import type { Log } from '../../src/util/log.js';
import { jsonOutput, LoggerOutput, printedLine, TextOutput, type UserLogger } from '../../src/util/log-output.js';
import { replaceWrite, restAfterAWhile, takePrinted } from '../../src/util/printed.js';

/** What was written to a stream as Node sees it. */
function streamOf(): NodeJS.WriteStream & { written: unknown[] } {
  const written: unknown[] = [];
  return { written, write: (...all: unknown[]) => written.push(all) > 0 } as never;
}

describe('what an app writes', () => {
  it('is taken as bytes, whatever it is written as, and its callback called later', async () => {
    const stream = streamOf();
    const bytes: string[] = [];
    replaceWrite(stream, (piece) => bytes.push(piece.toString('latin1')));
    const called: string[] = [];
    expect(stream.write('a')).toBe(true);
    stream.write('é', 'latin1');
    stream.write('6162', 'hex', () => called.push('three'));
    stream.write('b', () => called.push('two'));
    stream.write('c', 'no encoding' as BufferEncoding);
    stream.write(new Uint8Array([120, 121, 122]).subarray(1, 2));
    expect([bytes.join('|'), called]).toEqual(['a|é|ab|b|c|y', []]);
    await new Promise(setImmediate);
    expect([called, stream.written]).toEqual([['three', 'two'], []]);
  });

  it('goes to Node where it is neither text nor bytes', () => {
    const stream = streamOf();
    replaceWrite(stream, () => expect.unreachable());
    const called = () => {};
    stream.write(5 as never, 'utf8', called);
    expect(stream.written).toEqual([[5, 'utf8', called]]);
  });
});

describe('a line that has no end', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  });

  afterEach(() => {
    vi.useRealTimers();
  });

  it('is taken when it has not gone on for a second', () => {
    const lines: string[] = [];
    const write = restAfterAWhile((line) => lines.push(line));
    write(Buffer.from('one\nbegin'));
    expect(lines).toEqual(['one']);
    vi.advanceTimersByTime(999);
    write(Buffer.from(' goes on'));
    vi.advanceTimersByTime(999);
    expect(lines).toEqual(['one']);
    vi.advanceTimersByTime(1);
    expect(lines).toEqual(['one', 'begin goes on']);
    write(Buffer.from('last\n'));
    expect([lines.at(-1), vi.getTimerCount()]).toEqual(['last', 0]);
  });
});

describe('what is printed where a parent reads the descriptor', () => {
  let folder: string;
  let descriptor: number;
  const write = process.stdout.write;
  const fd = Object.getOwnPropertyDescriptor(process.stdout, 'fd');

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'printed-'));
    descriptor = openSync(join(folder, 'out'), 'w');
    Object.defineProperty(process.stdout, 'fd', { value: descriptor, configurable: true });
  });

  afterEach(() => {
    process.stdout.write = write;
    if (fd === undefined) Reflect.deleteProperty(process.stdout, 'fd');
    else Object.defineProperty(process.stdout, 'fd', fd);
    closeSync(descriptor);
    rmSync(folder, { recursive: true });
  });

  /** Prints each piece. @returns the lines of the log, and the bytes of the descriptor */
  function print(pieces: string[], role: string | undefined): [unknown[], string] {
    const lines: unknown[] = [];
    const log = { print: (by: unknown, line: string) => lines.push([by, line]) } as unknown as Log;
    takePrinted('stdout', log, true, () => role);
    for (const piece of pieces) process.stdout.write(piece);
    process.stdout.write = write;
    return [lines, readFileSync(join(folder, 'out'), 'utf8')];
  }

  it('is a line of the log where it is one, and left to the parent where it has no end yet', () => {
    const [lines, left] = print(['one\n', 'two\nthr', 'e', 'e\nfour\n', 'five\nsix'], 'worker 1');
    const by = { stream: 'stdout', pid: process.pid, role: 'worker 1' };
    expect(lines).toEqual(['one', 'two', 'four', 'five'].map((line) => [by, line]));
    expect(left).toBe('three\nsix');
  });

  it('is by the role of the log where there is no other', () => {
    expect(print(['a\n'], undefined)[0]).toEqual([[{ stream: 'stdout', pid: process.pid }, 'a']]);
  });
});

describe('a printed line in the log', () => {
  const by = { role: 'worker 3', pid: 12, stream: 'stdout' as const };

  it('is text with its time, and cannot forge another line', () => {
    expect(printedLine(true, by, 'a\tb\nc\u001b[1m')).toMatch(
      /^\d{4}-\S+Z info {2}worker 3\[12\] a\tb\\nc\\u001b\[1m\n$/,
    );
    expect(printedLine(true, { ...by, stream: 'stderr' }, 'x')).toMatch(/ warn {2}worker 3\[12\] x\n$/);
  });

  it('is JSON with who has printed it', () => {
    const line = JSON.parse(printedLine(false, by, 'text'));
    expect(line).toEqual({
      ...{ level: 'info', time: expect.any(String), role: 'worker', workerId: 3, pid: 12, stream: 'stdout' },
      msg: 'text',
    });
    expect(JSON.parse(printedLine(false, { ...by, role: 'master', stream: 'stderr' }, 'x'))).toMatchObject({
      level: 'warn',
      role: 'master',
    });
  });

  it('that is an object of JSON can be searched by its fields', () => {
    expect(JSON.parse(printedLine(false, by, '{"user":7}'))).toMatchObject({ json: { user: 7 }, msg: '{"user":7}' });
    for (const other of ['7', '"text"', '{broken', 'null']) {
      expect(JSON.parse(printedLine(false, by, other))).not.toHaveProperty('json');
    }
  });
});

describe('messages of the log', () => {
  it('as text have their fields behind them', () => {
    const lines: string[] = [];
    new TextOutput((line) => lines.push(line)).write('warn', 'manager', 'two\nlines', { a: 1, b: 'text' });
    expect(lines).toEqual([expect.stringMatching(/^\S+Z warn {2}manager\[\d+\] two\\nlines a=1 b=\S*text\S*$/)]);
  });

  it('as JSON say by whom and when', () => {
    const lines: string[] = [];
    jsonOutput((line) => lines.push(line)).write('error', 'task worker 4', 'failed', { error: new Error('why') });
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      ...{ level: 'error', role: 'task worker', workerId: 4, pid: process.pid, msg: 'failed' },
      error: { message: 'why' },
    });
  });

  it('as JSON have the class of an error, and of its causes, of another process too', () => {
    class PaymentRefused extends Error {}
    const lines: string[] = [];
    const thrown = new PaymentRefused('no', { cause: new RangeError('why', { cause: new TypeError('fetch failed') }) });
    for (const error of [thrown, deserializeError(serializeError(thrown))]) {
      jsonOutput((line) => lines.push(line)).write('warn', 'user process 1', 'failed', { error });
    }
    const [here, there] = lines.map((line) => (JSON.parse(line) as { error: unknown }).error);
    expect(here).toMatchObject({ type: 'PaymentRefused', cause: { type: 'RangeError', cause: { type: 'TypeError' } } });
    expect(there).toEqual(here);
  });

  it('go to a logger of the user, with the process in each, where it has no children', () => {
    const told: unknown[] = [];
    const note = (fields: object, message: string) => told.push([fields, message]);
    const logger: UserLogger = { debug: note, info: note, warn: note, error: note };
    new LoggerOutput(logger).write('info', 'worker 3', 'text', { a: 1 });
    expect(told).toEqual([[{ role: 'worker', workerId: 3, pid: process.pid, a: 1 }, 'text']]);
  });

  it('go to a child of the logger for each role, made once', () => {
    const told: unknown[] = [];
    const note = (fields: object, message: string) => told.push([fields, message]);
    const logger: UserLogger = { debug: note, info: note, warn: note, error: note };
    const output = new LoggerOutput({
      ...logger,
      child(bindings) {
        told.push(bindings);
        return logger;
      },
    });
    for (const role of ['worker 3', 'worker 3', 'manager']) output.write('error', role, 'text', {});
    const of3 = { role: 'worker', workerId: 3, pid: process.pid };
    expect(told).toEqual([of3, [{}, 'text'], [{}, 'text'], { role: 'manager', pid: process.pid }, [{}, 'text']]);
  });
});
