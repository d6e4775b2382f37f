import { expect, it } from 'vitest';
import { plainAnswer } from '../../../src/protocol/http/plain-answer.js';

const linesOf = (text: string): string[] => text.replace(/Date: .* GMT\r\n/, 'Date: now\r\n').split('\r\n');
const usual = ['Content-Type: text/plain; charset=utf-8', 'Content-Length: 9', 'Date: now'];

it('an answer of the server itself has a status, and a sentence that says why', () => {
  expect(linesOf(plainAnswer({ status: 400, why: 'It is so', close: false }))).toEqual([
    'HTTP/1.1 400 Bad Request',
    ...usual,
    '',
    'It is so\n',
  ]);
});

it('says when to come again, and that the connection ends', () => {
  const answer = plainAnswer({ status: 503, why: 'It is so', close: true, retryAfterSeconds: 0 });
  expect(linesOf(answer)).toEqual([
    'HTTP/1.1 503 Service Unavailable',
    ...usual,
    'Retry-After: 0',
    'Connection: close',
    '',
    'It is so\n',
  ]);
});

it('has no body for HEAD, but its length', () => {
  expect(linesOf(plainAnswer({ status: 299, why: 'It is so', close: false, isHead: true }))).toEqual([
    'HTTP/1.1 299 ',
    ...usual,
    '',
    '',
  ]);
});
