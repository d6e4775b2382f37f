import { spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { Log, type LogFields, type LogLevel } from '../../src/util/index.js';

const HEAD = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z /;

function record(level: LogLevel = 'debug') {
  const lines: string[] = [];
  return { lines, log: new Log({ role: 'manager', level, write: (line) => lines.push(line) }) };
}

/** The line of one message, without the time. */
function lineOf(message: string, fields?: LogFields): string {
  const { lines, log } = record();
  log.info(message, fields);
  expect(lines).toHaveLength(1);
  return lines[0]!.replace(HEAD, '');
}

test('a line has time, level, role, pid, message and fields', () => {
  const { lines, log } = record();
  log.warn('worker exited', { workerId: 3, signal: 'SIGKILL' });
  expect(lines[0]).toMatch(HEAD);
  expect(lines[0]!.replace(HEAD, '')).toBe(`warn  manager[${process.pid}] worker exited workerId=3 signal=SIGKILL`);
});

test.each([
  ['debug', ['debug', 'info', 'warn', 'error']],
  ['info', ['info', 'warn', 'error']],
  ['warn', ['warn', 'error']],
  ['error', ['error']],
  ['silent', []],
] as const)('level %s lets %j through', (level, expected) => {
  const { lines, log } = record(level);
  log.debug('m');
  log.info('m');
  log.warn('m');
  log.error('m');
  expect(lines.map((line) => line.split(/ +/)[1])).toEqual(expected);
});

test('a child speaks for another role at the same level', () => {
  const { lines, log } = record('warn');
  log.child('worker 0').info('hidden');
  log.child('worker 0').warn('shown');
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain(`worker 0[${process.pid}] shown`);
});

test.each([
  ['plain', 'k=plain'],
  ['', 'k=""'],
  ['two words', 'k="two words"'],
  ['a=b', 'k="a=b"'],
  ['say "x"', 'k="say \\"x\\""'],
  [undefined, 'k=undefined'],
  [null, 'k=null'],
  [1n, 'k=1n'],
  [{ a: [1, { b: 2 }] }, 'k={ a: [ 1, { b: 2 } ] }'],
])('%# a field is written so that it can be told from the next', (value, expected) => {
  expect(lineOf('m', { k: value })).toMatch(new RegExp(`${escapeForRegExp(expected)}$`));
});

test('an error is written with its stack', () => {
  const line = lineOf('failed', { error: new TypeError('no') });
  expect(line).toContain('error=TypeError: no\\n    at ');
});

test('what a client sent can neither forge a line nor drive a terminal', () => {
  const line = lineOf('a\nb\u001b[2J\u007f\u0085\u2028', { 'k\n': 'v\r\u009b' });
  expect(line).toContain('a\\nb\\u001b[2J\\u007f\\u0085\\u2028');
  expect(line).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}]/u);
});

test('whatever is logged, it is one line', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.anything(), (message, value) => {
      expect(lineOf(message, { value })).not.toMatch(/[\n\r]/);
    }),
    { numRuns: 50 },
  );
});

describe('a log that cannot be written', () => {
  test('does not throw when the writer does', () => {
    const write = () => {
      throw new Error('disk full');
    };
    expect(() => new Log({ role: 'master', level: 'info', write }).error('lost')).not.toThrow();
  });

  test('does not throw for a value that throws when it is looked at', () => {
    const throwing = () => {
      throw new Error('do not touch');
    };
    expect(lineOf('m', { value: { [inspect.custom]: throwing }, after: 1 })).toMatch(/value=object after=1$/);
  });

  test('does not throw for fields that throw when they are read', () => {
    const { log } = record();
    const fields = Object.defineProperty({}, 'k', {
      enumerable: true,
      get() {
        throw new Error('do not touch');
      },
    });
    expect(() => log.info('m', fields)).not.toThrow();
  });

  // /dev/full answers every write with ENOSPC. The built file is used, since a process of its own runs it.
  test.skipIf(process.platform !== 'linux')('does not take the process down when standard error is broken', () => {
    const log = new URL('../../build/util/log.js', import.meta.url).href;
    const script = `
      const { Log } = await import(${JSON.stringify(log)});
      new Log({ role: 'master', level: 'info' }).error('lost');
      process.stdout.write('alive');
    `;
    const broken = openSync('/dev/full', 'w');
    try {
      const args = ['--input-type=module', '-e', script];
      const { status, stdout } = spawnSync(process.execPath, args, { stdio: ['ignore', 'pipe', broken] });
      expect([status, String(stdout)]).toEqual([0, 'alive']);
    } finally {
      closeSync(broken);
    }
  });
});

function escapeForRegExp(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}

describe('a line that comes again', () => {
  test('is written though what was thrown throws when it is looked at', () => {
    const { lines, log } = record();
    const trap = (): never => {
      throw new Error('trap');
    };
    const error = new Proxy({}, { getPrototypeOf: trap, get: trap, ownKeys: trap });
    for (let i = 0; i < 3; i++) log.error('a callback has failed', { error });
    log.info('after');
    expect(lines.at(-1)).toContain('after');
  });

  test('is counted, and the count told a second later, or with the next one', () => {
    vi.useFakeTimers();
    const { log, lines } = record();
    const said = () => lines.splice(0).map((line) => line.replace(/^\S+ (\w+) +(\S+)\[\d+\] /, '$1 $2: '));
    for (let i = 0; i < 4; i++) log.warn('again', { a: 1 });
    expect(said()).toEqual(['warn manager: again a=1']);
    vi.advanceTimersByTime(999);
    expect(said()).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(said()).toEqual(['warn manager: again (3 times more) a=1']);
    for (let i = 0; i < 2; i++) log.warn('again');
    log.info('other');
    expect(said()).toEqual(['warn manager: again', 'warn manager: again (once more)', 'info manager: other']);
    vi.useRealTimers();
  });

  test('is counted with the names in it, and without the error, which was told', () => {
    const { log, lines } = record();
    const error = new Error('why');
    for (let i = 0; i < 2; i++) log.info('a job has failed', { job: 'mail:7', attempt: 1, error });
    log.flush();
    expect(lines.at(-1)).toMatch(/a job has failed \(once more\) job=\S*mail:7\S* attempt=1$/);
  });

  test.each<[string, (log: Log) => void]>([
    ['level', (log) => log.error('again', { a: 1, b: 2 })],
    ['role', (log) => log.child('worker').warn('again', { a: 1, b: 2 })],
    ['text', (log) => log.warn('agaim', { a: 1, b: 2 })],
    ['number of fields', (log) => log.warn('again', { a: 1 })],
    ['value of a field', (log) => log.warn('again', { a: 1, b: 3 })],
    [
      'time',
      (log) => vi.setSystemTime(Date.now()) && vi.advanceTimersByTime(5001) && log.warn('again', { a: 1, b: 2 }),
    ],
  ])('is another one where it has another %s', (_, another) => {
    vi.useFakeTimers();
    const { log, lines } = record();
    log.warn('again', { a: 1, b: 2 });
    another(log);
    expect(lines).toHaveLength(2);
    vi.useRealTimers();
  });

  test('with errors is the same where these say the same', () => {
    const { log, lines } = record();
    const error = new Error('why');
    const same = Object.assign(new Error('why'), { stack: error.stack });
    log.warn('failed', { error });
    log.warn('failed', { error: same });
    expect(lines).toHaveLength(1);
    log.warn('failed', { error: Object.assign(new Error('why'), { stack: 'elsewhere' }) });
    log.warn('failed', { error: Object.assign(new Error('other'), { stack: 'elsewhere' }) });
    log.warn('failed', { error: 'other' });
    expect(lines).toHaveLength(5); // one of them tells the count
    log.flush();
  });
});

test('what is printed and relayed goes to where the log was redirected, and the level that others set counts', () => {
  const { log, lines } = record();
  const told: unknown[] = [];
  log.print({ pid: 1, stream: 'stdout' }, 'lost');
  log.relay('lost');
  const note = (...all: unknown[]) => void told.push(all);
  const printer = { print: note, relay: note, refresh: () => note('refresh'), reopen: () => note('reopen') };
  log.redirect({ write: (severity, role, message) => note(severity, role, message) }, 'error', printer);
  log.print({ pid: 1, stream: 'stdout' }, 'a');
  log.print({ pid: 1, stream: 'stderr', role: 'worker 1' }, 'b');
  log.relay('c');
  log.refresh();
  log.warn('too low');
  log.error('d');
  log.follow(() => 'debug');
  log.child('worker 0').debug('e');
  log.follow(() => undefined);
  log.warn('too low');
  expect(told).toEqual([
    [{ role: 'manager', pid: 1, stream: 'stdout' }, 'a'],
    [{ role: 'worker 1', pid: 1, stream: 'stderr' }, 'b'],
    ['c'],
    ['refresh'],
    ['error', 'manager', 'd'],
    ['debug', 'worker 0', 'e'],
  ]);
  expect(lines).toEqual([]);
});

test('a tap sees what is logged and printed, in every role, after the output, and whatever becomes of that', () => {
  const { log } = record('info');
  const seen: unknown[] = [];
  log.tap({
    logged: (severity, role, message, fields) => void seen.push([severity, role, message, fields]),
    printed: (severity, role, line) => void seen.push([severity, role, line]),
  });
  log.debug('too low');
  log.child('worker 0').warn('a', { b: 1 });
  log.print({ pid: 1, stream: 'stdout' }, 'c');
  log.print({ pid: 1, stream: 'stderr', role: 'worker 1' }, 'd');
  const fails = (): never => {
    throw new Error('the disk is full');
  };
  log.redirect({ write: fails }, 'info');
  log.info('e');
  expect(seen).toEqual([
    ['warn', 'worker 0', 'a', { b: 1 }],
    ['info', 'manager', 'c'],
    ['warn', 'worker 1', 'd'],
    ['info', 'manager', 'e', {}],
  ]);
});
