import { spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
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
