import { describe, expect, it } from 'vitest';
import { AnswerGuard } from '../../src/http/node/answer-guard.js';

const guardOf = ({ isHead = false, closes = false } = {}): AnswerGuard => new AnswerGuard(isHead, closes);
const head = (...lines: string[]): string => `${lines.join('\r\n')}\r\n\r\n`;

/** What is let through of all pieces, as bytes. */
function passed(guard: AnswerGuard, ...pieces: (string | Uint8Array)[]): string {
  return pieces
    .map((piece) => {
      const result = guard.pass(piece, 'latin1');
      if ('fault' in result) throw result.fault;
      return Buffer.from(result.data as string, result.encoding).toString('latin1');
    })
    .join('');
}

const wrong = (declared: string, received: string) =>
  expect.objectContaining({ code: 'ERR_HTTP_CONTENT_LENGTH', detail: { declared, received } });

describe('an answer with a length', () => {
  const text = head('HTTP/1.1 200 OK', 'Content-Length: 5');

  it('passes as it is where its body is as long', () => {
    const guard = guardOf();
    expect(guard.hasBegun).toBe(false);
    expect(passed(guard, `${text}ab`, 'c', Buffer.from('de'))).toBe(`${text}abcde`);
    expect([guard.hasBegun, guard.shortFault, guard.endsWithConnection]).toEqual([true, undefined, false]);
  });

  it('passes nothing of what is beyond it', () => {
    expect(() => passed(guardOf(), `${text}abcdef`)).toThrowError(wrong('5', '6 bytes'));
    const guard = guardOf();
    passed(guard, text, 'abcd');
    expect(() => passed(guard, 'ef')).toThrowError(wrong('5', '6 bytes'));
    expect(passed(guard, 'e')).toBe('e');
    expect(() => passed(guard, 'x')).toThrowError(wrong('5', '6 bytes'));
  });

  it('is short where less comes', () => {
    const guard = guardOf();
    passed(guard, text, 'abc');
    expect(guard.shortFault).toEqual(wrong('5', '3 bytes'));
  });

  it('counts bytes, not characters', () => {
    const guard = guardOf();
    const whole = guard.pass(`${text}éé`, 'utf8');
    expect(whole).toEqual({ data: `${text}éé`, encoding: 'utf8' });
    expect(guard.shortFault).toEqual(wrong('5', '4 bytes'));
    expect(guard.pass('é', 'utf8')).toEqual({ fault: wrong('5', '6 bytes') });
    expect(guard.pass('é', 'latin1')).toEqual({ data: 'é', encoding: 'latin1' });
  });

  it.each([
    ['5, 5', ['Content-Length: 5', 'X-A: 1', 'content-length: 5'], ['X-A: 1', 'Content-Length: 5']],
    ['5', ['content-length:  5 '], ['content-length:  5 ']],
  ])('has one length: %s', (_, lines, sent) => {
    expect(passed(guardOf(), `${head('HTTP/1.1 200 OK', ...lines)}abcde`)).toBe(
      `${head('HTTP/1.1 200 OK', ...sent)}abcde`,
    );
  });

  it.each([
    [['Content-Length: 5', 'Content-Length: 6'], '5, 6'],
    [['Content-Length: -1'], '-1'],
    [['Content-Length: 0x5'], '0x5'],
    [['Content-Length: 1234567890123456'], '1234567890123456'],
    [['Content-Length: '], ''],
  ])('is not sent with %j', (lines, declared) => {
    expect(() => passed(guardOf(), head('HTTP/1.1 200 OK', ...lines))).toThrowError(
      wrong(declared, 'no number of bytes'),
    );
  });

  it.each([
    [{ isHead: true }, 'HTTP/1.1 200 OK'],
    [{}, 'HTTP/1.1 304 Not Modified'],
  ])('has no body for %j', (options, line) => {
    const guard = guardOf(options);
    const sent = head(line, 'Content-Length: 5');
    expect(passed(guard, sent)).toBe(sent);
    expect([guard.shortFault, guard.endsWithConnection]).toEqual([undefined, false]);
    expect(guard.pass('x', 'latin1')).toHaveProperty('fault');
  });
});

describe('an answer without a length', () => {
  it('is ended by its connection', () => {
    const guard = guardOf();
    const text = head('HTTP/1.1 200 OK', 'X-A: 1');
    expect(passed(guard, text, 'any', 'number')).toBe(`${text}anynumber`);
    expect([guard.endsWithConnection, guard.shortFault]).toEqual([true, undefined]);
  });

  it('is not where it has no body', () => {
    const guard = guardOf({ isHead: true });
    passed(guard, head('HTTP/1.1 200 OK'));
    expect(guard.endsWithConnection).toBe(false);
  });

  it('that is chunked has no length besides, and any number of bytes', () => {
    const guard = guardOf();
    const text = head('HTTP/1.1 200 OK', 'Content-Length: 1', 'Transfer-Encoding: gzip, Chunked', 'X: 1');
    expect(passed(guard, text, '5\r\nabcde\r\n')).toBe(
      `${head('HTTP/1.1 200 OK', 'Transfer-Encoding: gzip, Chunked', 'X: 1')}5\r\nabcde\r\n`,
    );
    expect([guard.endsWithConnection, guard.shortFault]).toEqual([false, undefined]);
  });

  it('of another coding is ended by its connection, and says so', () => {
    const guard = guardOf();
    const text = head('HTTP/1.1 200 OK', 'Transfer-Encoding: gzip', 'Connection: keep-alive', 'X: 1');
    expect(passed(guard, text)).toBe(head('HTTP/1.1 200 OK', 'X: 1', 'Connection: close'));
    expect(guard.endsWithConnection).toBe(true);
  });

  it('of status 204 has neither length nor coding', () => {
    const guard = guardOf();
    const text = head('HTTP/1.1 204 No Content', 'Content-Length: 5', 'Transfer-Encoding: chunked', 'X: 1');
    expect(passed(guard, text)).toBe(head('HTTP/1.1 204 No Content', 'X: 1'));
    expect(guard.endsWithConnection).toBe(false);
  });

  it('to HEAD says that it would be chunked', () => {
    const text = head('HTTP/1.1 200 OK', 'Transfer-Encoding: chunked');
    expect(passed(guardOf({ isHead: true }), text)).toBe(text);
  });
});

describe('what comes before the answer', () => {
  it('is passed without framing, and is not the answer', () => {
    const guard = guardOf();
    const hint = head('HTTP/1.1 103 Early Hints', 'Link: </a>', 'Content-Length: 5', 'Transfer-Encoding: chunked');
    expect(passed(guard, hint)).toBe(head('HTTP/1.1 103 Early Hints', 'Link: </a>'));
    const text = head('HTTP/1.1 200 OK', 'Content-Length: 2');
    expect(passed(guard, `${head('HTTP/1.1 199 More')}${text}ab`)).toBe(`${head('HTTP/1.1 199 More')}${text}ab`);
    expect(guard.shortFault).toBeUndefined();
  });
});

describe('a head that comes in pieces', () => {
  it('is held until it is whole, whatever it is cut into', () => {
    const text = `${head('HTTP/1.1 200 OK', 'Content-Length: 2', 'X: \xe9')}ab`;
    for (let cut = 1; cut < text.length; cut++) {
      const guard = guardOf();
      expect(passed(guard, text.slice(0, cut), Buffer.from(text.slice(cut), 'latin1'))).toBe(text);
      expect(guard.shortFault).toBeUndefined();
    }
  });

  it('ends some time', () => {
    const guard = guardOf();
    expect(passed(guard, 'x'.repeat(1024 * 1024))).toBe('');
    expect(() => passed(guard, 'x')).toThrowError(wrong('nothing', 'a head without an end'));
  });
});

describe('an upgrade', () => {
  const upgrade = (status: string, ...lines: string[]) =>
    head(`HTTP/1.1 ${status}`, 'Content-Length: 0', 'Upgrade: h2c', ...lines);

  it('is not offered where Connection does not say so', () => {
    expect(passed(guardOf(), upgrade('200 OK'))).toBe(head('HTTP/1.1 200 OK', 'Content-Length: 0'));
  });

  it('passes where it does', () => {
    const text = upgrade('200 OK', 'Connection: keep-alive, Upgrade');
    expect(passed(guardOf(), text)).toBe(text);
  });

  it('with 426 gets its option', () => {
    expect(passed(guardOf(), upgrade('426 Upgrade Required', 'Connection: keep-alive'))).toBe(
      upgrade('426 Upgrade Required', 'Connection: keep-alive, upgrade'),
    );
    expect(passed(guardOf(), upgrade('426 Upgrade Required'))).toBe(
      upgrade('426 Upgrade Required', 'Connection: upgrade'),
    );
  });

  it('on a connection that ends says that too, once', () => {
    const closes = { closes: true };
    expect(passed(guardOf(closes), upgrade('200 OK', 'Connection: keep-alive, upgrade'))).toBe(
      upgrade('200 OK', 'Connection: upgrade, close'),
    );
    const text = upgrade('200 OK', 'Connection: close, upgrade');
    expect(passed(guardOf(closes), text)).toBe(text);
  });
});
