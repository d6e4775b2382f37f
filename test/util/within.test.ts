import { expect, test } from 'vitest';
import { deferred } from '../../src/util/index.js';
import { within } from '../../src/util/within.js';

const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;

test('what comes in time is given, and no timer is left', async () => {
  const before = timers();
  expect(await within(Promise.resolve(5), 60_000)).toBe(5);
  await expect(within(Promise.reject(new Error('no')), 60_000)).rejects.toThrow('no');
  expect(timers()).toBe(before);
});

test('what does not come is not waited for', async () => {
  expect(await within(deferred().promise, 5)).toBeUndefined();
});
