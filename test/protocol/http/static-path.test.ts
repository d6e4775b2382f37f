import { describe, expect, it } from 'vitest';
import { encodePath, isPlain, staticPath } from '../../../src/protocol/http/static-path.js';

describe('staticPath', () => {
  it.each([
    ['/', '/', ''],
    ['/a/b.txt', '/a/b.txt', ''],
    ['/a?b=c', '/a', '?b=c'],
    ['/a??', '/a', '??'],
    ['/a?/../b', '/a', '?/../b'],
    ['/a%20b', '/a b', ''],
    ['/%e2%82%ac', '/€', ''],
    ['/%F0%9F%98%80', '/😀', ''],
    ['/%61', '/a', ''],
    ['/%2561', '/%61', ''],
    ['/%252e%252e', '/%2e%2e', ''],
    ['/a%3Fb', '/a?b', ''],
    ['/a%23b', '/a#b', ''],
    ['http://host/a?b', '/a', '?b'],
    ['HTTPS://host:1/a', '/a', ''],
  ])('of %j is %j, with the query %j', (target, path, query) => {
    expect(staticPath(target)).toEqual({ path, query });
  });

  it.each([
    '',
    '*',
    'a',
    'host:80',
    '?a',
    'http://host',
    'http://host?/a',
    'http:///a',
    'http://ho\\st/a',
    'ftp://host/a',
    'file:///a',
    '/a#b',
    '/a b',
    '/a\0',
    '/a\n',
    '/ä',
    '/\\a',
    '/%5ca',
    '/%5Ca',
    '/a%2fb',
    '/a%2Fb',
    '/%00',
    '/a%00.txt',
    '/%',
    '/%4',
    '/%zz',
    '/%u0041',
    '/%ff',
    '/%c0%ae',
    '/%c0%af',
    '/%e0%80%af',
    '/%f0%80%80%af',
    '/%ed%a0%80',
    '/%e2%82',
    `/${'a'.repeat(4096)}`,
  ])('refuses %j', (target) => {
    expect(staticPath(target)).toBeUndefined();
  });
});

describe('isPlain', () => {
  it.each(['', 'a', 'a/', 'a/b', 'a..b', 'a.', '~', 'a b', 'ü/€', '%2e%2e'])('takes %j', (path) => {
    expect(isPlain(path, 'ignore')).toBe(true);
  });

  it.each([
    '/',
    '/a',
    'a//b',
    'a//',
    '.',
    '..',
    './a',
    'a/.',
    'a/..',
    'a/../b',
    '../',
    'a\\b',
    'a\nb',
    'a\x7f',
    'a\x85',
  ])('refuses %j, dot files or not', (path) => {
    expect(isPlain(path, 'ignore')).toBe(false);
    expect(isPlain(path, 'allow')).toBe(false);
  });

  it.each(['.a', 'a/.b', '.a/b', '...'])('takes %j only with dot files', (path) => {
    expect(isPlain(path, 'ignore')).toBe(false);
    expect(isPlain(path, 'allow')).toBe(true);
  });
});

it('encodePath keeps slashes and nothing else that means something', () => {
  expect(encodePath('/a b/ü/?#%;"<>')).toBe('/a%20b/%C3%BC/%3F%23%25%3B%22%3C%3E');
});
