import { expect, test } from 'vitest';
import { deferred } from '../../src/util/index.js';

test('a deferred is resolved from outside', async () => {
  const { promise, resolve } = deferred<number>();
  resolve(5);
  expect(await promise).toBe(5);
});

test('a deferred is rejected from outside, and what comes later does not count', async () => {
  const { promise, resolve, reject } = deferred();
  reject(new Error('no'));
  resolve();
  await expect(promise).rejects.toThrow('no');
});
