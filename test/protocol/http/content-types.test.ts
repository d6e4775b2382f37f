import { describe, expect, it } from 'vitest';
import { contentTypeOf, isCompressible } from '../../../src/protocol/http/content-types.js';

describe('contentTypeOf', () => {
  it.each([
    ['index.html', 'text/html; charset=utf-8'],
    ['a/b/style.css', 'text/css; charset=utf-8'],
    ['app.js', 'text/javascript; charset=utf-8'],
    ['app.mjs', 'text/javascript; charset=utf-8'],
    ['data.json', 'application/json; charset=utf-8'],
    ['app.js.map', 'application/json; charset=utf-8'],
    ['app.webmanifest', 'application/manifest+json; charset=utf-8'],
    ['notes.txt', 'text/plain; charset=utf-8'],
    ['notes.md', 'text/markdown; charset=utf-8'],
    ['feed.xml', 'text/xml'],
    ['logo.svg', 'image/svg+xml'],
    ['LOGO.PNG', 'image/png'],
    ['photo.webp', 'image/webp'],
    ['favicon.ico', 'image/x-icon'],
    ['font.woff2', 'font/woff2'],
    ['code.wasm', 'application/wasm'],
    ['a.tar.gz', 'application/gzip'],
    ['README', 'application/octet-stream'],
    ['.html', 'application/octet-stream'],
    ['a.', 'application/octet-stream'],
    ['', 'application/octet-stream'],
    ['a.unheard', 'application/octet-stream'],
    ['a.html/b', 'application/octet-stream'],
    ['a.constructor', 'application/octet-stream'],
    ['a.__proto__', 'application/octet-stream'],
    ['a.toString', 'application/octet-stream'],
  ])('of %j is %s', (path, type) => {
    expect(contentTypeOf(path)).toBe(type);
  });
});

describe('isCompressible', () => {
  it.each([
    'text/html',
    'text/html; charset=utf-8',
    'TEXT/HTML ;charset=utf-8',
    'text/javascript',
    'application/json',
    'application/ld+json',
    'application/problem+json; charset=utf-8',
    'application/xml',
    'application/wasm',
    'image/svg+xml',
    'image/x-icon',
    'font/ttf',
  ])('says yes to %j', (type) => {
    expect(isCompressible(type)).toBe(true);
  });

  it.each([
    '',
    'text',
    'text/',
    'image/png',
    'image/jpeg',
    'video/mp4',
    'application/zip',
    'application/gzip',
    'application/octet-stream',
    'application/x-tar',
    'application/pdf',
    'font/woff2',
    'text/event-stream',
    'text/event-stream; charset=utf-8',
    'application/jsonx',
    'x-text/html/y',
  ])('says no to %j', (type) => {
    expect(isCompressible(type)).toBe(false);
  });
});
