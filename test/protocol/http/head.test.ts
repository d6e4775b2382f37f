import { METHODS } from 'node:http';
import { describe, expect, it } from 'vitest';
import { type HeadLimits, MORE, RequestHead } from '../../../src/protocol/http/head.js';
import { methods } from '../../../src/protocol/http/methods.js';
import { corpus } from '../../corpus/http/index.js';

const limits: HeadLimits = { lineBytes: 1000, headerBytes: 2000, headerCount: 20 };
const simple = 'GET /a?b HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n';

function parse(text: string, head = new RequestHead(limits)): number {
  const bytes = Buffer.from(text, 'latin1');
  return head.parse(bytes, 0, bytes.length);
}

describe('RequestHead', () => {
  it('tells where the parts of a head are, from where it begins', () => {
    const bytes = Buffer.from(`before${simple}behind`);
    const head = new RequestHead(limits);
    expect(head.parse(bytes, 6, bytes.length)).toBe(simple.length);
    const { targetStart, targetEnd, linesStart } = head;
    expect(simple.slice(targetStart, targetEnd)).toBe('/a?b');
    expect(simple.slice(linesStart)).toBe('Host: a\r\nX: y\r\n\r\n');
  });

  it('counts an empty line before the request to its head', () => {
    const head = new RequestHead(limits);
    expect(parse(`\r\n${simple}`, head)).toBe(simple.length + 2);
    expect([head.targetStart, head.targetEnd, head.linesStart]).toEqual([6, 10, 21]);
  });

  it('asks for more at each prefix of a good head, whatever lies behind', () => {
    const bytes = Buffer.from(`\r\n${simple}`);
    const head = new RequestHead(limits);
    for (let to = 0; to < bytes.length; to++) expect(head.parse(bytes, 0, to), `up to ${to}`).toBe(MORE);
  });

  it('does not look behind the head', () => {
    expect(parse(`${simple}\0\n\x7f`)).toBe(simple.length);
  });

  it('tells whether the answer to a file depends on what the client has or wants', () => {
    const head = new RequestHead(limits);
    const isConditional = (...names: string[]): boolean => {
      expect(
        parse(`GET / HTTP/1.1\r\nHost: a\r\n${names.map((name) => `${name}: x\r\n`).join('')}\r\n`, head),
      ).toBeGreaterThan(0);
      return head.isConditional;
    };
    const names = ['If-Match', 'if-none-match', 'IF-MODIFIED-SINCE', 'If-Unmodified-Since', 'if-range', 'Range'];
    for (const name of names) expect([name, isConditional('Accept', name, 'Referer')]).toEqual([name, true]);
    const others = ['Accept-Ranges', 'Referer', 'Ranges', 'I', 'R', 'Iff-Match', 'X-If-Match', 'Rangy'];
    expect(isConditional(...others)).toBe(false);
  });

  it('refuses a fault at its very byte', () => {
    const faults: [string, string][] = [
      ['G', '('],
      ['\r', '\r'],
      ['GET ', ' '],
      ['GET ', '*'],
      ['GET /', '\0'],
      ['GET /', '#'],
      ['GET / ', 'h'],
      ['GET / HTTP/1', ','],
      ['GET / HTTP/1.1', ' '],
      ['GET / HTTP/1.1\r', 'x'],
      ['GET / HTTP/1.1\r\n', ' '],
      ['GET / HTTP/1.1\r\n', ':'],
      ['GET / HTTP/1.1\r\nHost', ' '],
      ['GET / HTTP/1.1\r\nX: 1234567', '\0'],
      ['GET / HTTP/1.1\r\nX: 12345678', '\n'],
      ['GET / HTTP/1.1\r\nX: y\r', '\r'],
      ['GET / HTTP/1.1\r\nHost: a\r\n\r', ' '],
    ];
    for (const [good, bad] of faults) {
      expect(parse(good), good).toBe(MORE);
      expect(parse(good + bad), good + bad).toBe(-400);
    }
  });

  it('holds a length up to the largest whole number', () => {
    const head = new RequestHead(limits);
    const of = (length: string): string => `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n`;
    expect(parse(of('9007199254740991'), head)).toBeGreaterThan(0);
    expect(head.contentLength).toBe(Number.MAX_SAFE_INTEGER);
    expect(parse(of('9007199254740992'), head)).toBe(-413);
  });

  it('remembers nothing of the request before', () => {
    const head = new RequestHead(limits);
    const fields = 'Host: a\r\nUpgrade: x\r\nExpect: 100-continue\r\nConnection: close, upgrade\r\nContent-Length: 5';
    expect(parse(`POST / HTTP/1.1\r\n${fields}\r\n\r\n`, head)).toBeGreaterThan(0);
    expect(head).toMatchObject({ contentLength: 5, expectsContinue: true, isUpgrade: true, keepAlive: false });
    expect(parse('PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n', head)).toBeGreaterThan(0);
    expect(head).toMatchObject({ isChunked: true, contentLength: -1 });
    expect(parse('BREW', head)).toBe(MORE);
    expect(parse('BREW ', head)).toBe(-501);
    expect(head.why).not.toBe('');
    expect(parse(simple, head)).toBe(simple.length);
    expect(head).toMatchObject({ method: 0, minor: 1, contentLength: -1, isChunked: false, keepAlive: true });
    expect(head).toMatchObject({ expectsContinue: false, isUpgrade: false, why: '' });
  });

  it('says why in a sentence, the same for whatever a client sent', () => {
    const said = new Set<string>();
    for (const { bytes, verdict } of corpus) {
      const head = new RequestHead(limits);
      if (verdict.accept.length === 0 && parse(bytes, head) < 0) said.add(head.why);
    }
    for (const why of said) expect(why).toMatch(/^[A-Z][\w .,/-]+\.$/);
    expect(said.size).toBeLessThan(40);
  });

  it('takes no limits at all at their word', () => {
    const none = new RequestHead({ lineBytes: 14, headerBytes: 0, headerCount: 0 });
    expect(parse('GET / HTTP/1.0\r\n\r\n', none)).toBe(18);
    expect(parse('GET / HTTP/1.0\r\nX', none)).toBe(-431);
    expect(parse('GET /a HTTP/1.0', none)).toBe(-414);
    expect(parse('G', new RequestHead({ ...limits, lineBytes: 0 }))).toBe(-414);
  });

  it('finds the six fields it looks for among others of their lengths', () => {
    const others = ['Hose: a', 'Accept: x', 'Upgradf: x', 'User-Agent: x', 'Content-Lengti: x', 'Transfer-Encodinh: x'];
    expect(parse(`GET / HTTP/1.1\r\nHost: a\r\n${others.join('\r\n')}\r\n\r\n`)).toBeGreaterThan(0);
  });
});

describe('methods', () => {
  it('begin with those that are asked for most, whose places are known', () => {
    expect(methods.slice(0, 7)).toEqual(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']);
  });

  it('are those of Node but CONNECT, each once', () => {
    expect(new Set(methods).size).toBe(methods.length);
    expect(METHODS).toEqual(expect.arrayContaining([...methods]));
    expect(methods).not.toContain('CONNECT');
  });
});
