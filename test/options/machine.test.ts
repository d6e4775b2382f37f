import { availableParallelism } from 'node:os';
import { expect, test } from 'vitest';
import { currentMachine } from '../../src/options/index.js';
import { parseDescriptorLimit } from '../../src/options/machine.js';

test('this machine has cores and a limit of open files', () => {
  const { cores, descriptorLimit } = currentMachine();
  expect(cores).toBe(availableParallelism());
  expect(descriptorLimit).toBeGreaterThan(0);
});

test('the soft limit of open files is read, not the hard one', () => {
  const limits = [
    'Limit                     Soft Limit           Hard Limit           Units     ',
    'Max processes             96365                96365                processes ',
    'Max open files            1024                 1048576              files     ',
  ].join('\n');
  expect(parseDescriptorLimit(limits)).toBe(1024);
});

test('"unlimited" is no limit', () => {
  expect(parseDescriptorLimit('Max open files            unlimited            unlimited            files     ')).toBe(
    Number.POSITIVE_INFINITY,
  );
});

test('a text without the limit gives a cautious one', () => {
  expect(parseDescriptorLimit('')).toBe(10_000);
});
