import { expect, test } from 'vitest';
import { definitions, listenNames } from '../../src/options/definitions.js';

const entries = Object.entries(definitions);

test.each(entries)('%s is explained', (_name, { help, kind }) => {
  expect(help).toMatch(/\.$/);
  expect(kind.expected).not.toBe('');
  expect(kind.type).not.toBe('');
});

test.each(entries)('the name of %s has the unit of a time', (name, definition) => {
  expect('unit' in definition && definition.unit === 'ms').toBe(name.endsWith('Ms'));
});

test('a fixed default passes its own check', () => {
  for (const [name, { default: fallback, kind }] of entries) {
    if ('value' in fallback) expect(kind.check(name, fallback.value)).toEqual(fallback.value);
  }
});

test('the options of a listen port are options of the server', () => {
  expect(Object.keys(definitions)).toEqual(expect.arrayContaining([...listenNames]));
});
