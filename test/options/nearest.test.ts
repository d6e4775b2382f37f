import fc from 'fast-check';
import { expect, test } from 'vitest';
import { nearest, resolveOptions } from '../../src/options/index.js';

const known = ['workerNum', 'reactorNum', 'port', 'noDelay'];

test.each([
  ['workerNum', 'workerNum'],
  ['worker_num', 'workerNum'],
  ['WORKER_NUM', 'workerNum'],
  ['wokrerNum', 'workerNum'], // two letters swapped are one slip
  ['workrNum', 'workerNum'],
  ['workersNum', 'workerNum'],
  ['prot', 'port'],
  ['reactor_nmu', 'reactorNum'],
])('%s is nearest to %s', (name, expected) => {
  expect(nearest(name, known)).toBe(expected);
});

test.each([
  ['worker', 'workerNum'],
  ['lease', 'leaseMs'],
  ['max_job', 'maxJobBytes'],
])('%s, without its unit, is nearest to %s', (name, expected) => {
  expect(nearest(name, [...known, 'maxLeaseLosses', 'leaseMs', 'maxJobBytes'])).toBe(expected);
});

test.each(['', 'x', 'po', 'timeout', 'delay the whole thing'])('nothing is near %j', (name) => {
  expect(nearest(name, known)).toBeUndefined();
});

test('another word for a known name leads to it', () => {
  expect(nearest('open_tcp_nodelay', known, [['open_tcp_nodelay', 'noDelay']])).toBe('noDelay');
});

test('an exact name wins over a similar one', () => {
  expect(nearest('finish', ['finished', 'finish'])).toBe('finish');
});

test('any one slip in a name of six letters or more is found', () => {
  const slip = fc.tuple(
    fc.constantFrom('workerNum', 'reactorNum'),
    fc.nat(),
    fc.constantFrom('drop', 'double', 'swap'),
  );
  fc.assert(
    fc.property(slip, ([name, seed, kind]) => {
      const at = seed % (name.length - 1);
      const [here, next] = [name[at], name[at + 1]];
      const middle = { drop: next, double: `${here}${here}${next}`, swap: `${next}${here}` }[kind];
      expect(nearest(`${name.slice(0, at)}${middle}${name.slice(at + 2)}`, known)).toBe(name);
    }),
  );
});

test('a long name costs little', () => {
  expect(nearest('w'.repeat(1_000_000), known)).toBeUndefined();
});

test.each([
  ['workers', 'workerNum'],
  ['instances', 'workerNum'],
  ['taskWorkers', 'taskWorkerNum'],
  ['threads', 'reactorNum'],
])('an option "%s" is told that it is called %s', (name, expected) => {
  expect(() => resolveOptions({ [name]: 4 } as never)).toThrow(
    expect.objectContaining({ code: 'ERR_OPTION_UNKNOWN', detail: { name, nearest: expected } }),
  );
});
