import fc from 'fast-check';
import { expect, it } from 'vitest';
import { whyNotJson } from '../../src/util/json-failure.js';

function told(text: string): string {
  try {
    JSON.parse(text);
  } catch (error) {
    return whyNotJson(text, error);
  }
  throw new Error(`it is JSON: ${text}`);
}

it.each([
  ['{\n "a": 1,\n}', /^line 3: Expected double-quoted property name$/],
  ['{\n "a": 1\n "b": 2}', /^line 3: Expected ',' or '}' after property value$/],
  ['{\n  // a comment\n "a": 1}', /^line 2: Expected property name or '}'$/],
  ['{\n "a": 1,\n "token": secret, "b": "some more text"}', /^line 3: Unexpected token 's'$/],
  ['{"a": 01}', /^line 1: /],
  ['{"a":\n "x\ty"}', /^line 2: Bad control character in string literal$/],
  ['[1]\nx', /^line 2: Unexpected non-whitespace character after JSON$/],
  ['{"a": }', /^Unexpected token '}'$/],
  ['', /^Unexpected end of JSON input$/],
])('what is wrong with %j is told with its line', (text, why) => {
  expect(told(text)).toMatch(why);
});

it('nothing of the text is quoted but the one character', () => {
  const secret = 'open-sesame';
  fc.assert(
    fc.property(fc.nat(60), fc.constantFrom('x', '"', '}', '\n', ','), (at, foreign) => {
      const text = JSON.stringify({ name: 'api', admin: { token: secret }, again: secret });
      const broken = text.slice(0, at) + foreign + text.slice(at);
      try {
        JSON.parse(broken);
      } catch (error) {
        expect(whyNotJson(broken, error)).not.toMatch(/sesame|token"|admin/);
      }
    }),
  );
});
