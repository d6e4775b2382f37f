import { describe, expect, it } from 'vitest';
import {
  CloseStatus,
  isReceivable,
  isSendable,
  names,
  readClosePayload,
  writeClosePayload,
} from '../../../src/protocol/websocket/close-codes.js';

/** RFC 6455 7.4.1, 7.4.2 and IANA's registry of close codes. */
const valid = (code: number): boolean =>
  [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014].includes(code) ||
  (code >= 3000 && code <= 4999);

function payload(code: number, reason: string | readonly number[] = ''): Buffer {
  const bytes = Buffer.from([code >> 8, code & 0xff, ...(typeof reason === 'string' ? Buffer.from(reason) : reason)]);
  return Buffer.concat([Buffer.from([0xff]), bytes, Buffer.from([0xff])]);
}

function read(bytes: Buffer): ReturnType<typeof readClosePayload> {
  return readClosePayload(bytes, 1, bytes.length - 2);
}

describe('a code', () => {
  it('may be sent and received as the registry says: all 65,536', () => {
    for (let code = 0; code < 65_536; code++) {
      expect([code, isSendable(code), isReceivable(code)]).toEqual([code, valid(code), valid(code)]);
    }
  });

  it.each([Number.NaN, 1000.5, 3000.1, -1000, Number.POSITIVE_INFINITY, 1e9])('%d may not be sent', (code) => {
    expect(isSendable(code)).toBe(false);
  });

  it('has a name', () => {
    for (let code = 1000; code <= 1015; code++) expect(names[code]).toMatch(/^[A-Z]/);
    expect(names[CloseStatus.tooBig]).toBe('Message Too Big');
    expect(names[3000]).toBeUndefined();
  });
});

describe("a client's close payload", () => {
  it('of 0 bytes says 1005 (7.1.5)', () => {
    expect(readClosePayload(Buffer.alloc(4), 2, 0)).toEqual({ code: 1005, reason: '' });
  });

  it('of 1 byte is refused (5.5.1)', () => {
    expect(readClosePayload(Buffer.from([3, 0xe8]), 0, 1)).toEqual({
      refuse: 1002,
      why: 'The close frame has half a status code.',
    });
  });

  it('of 2 bytes is a code: all 65,536 (7.4)', () => {
    for (let code = 0; code < 65_536; code++) {
      const said = read(payload(code));
      if (valid(code)) expect(said).toEqual({ code, reason: '' });
      else expect(said).toMatchObject({ refuse: 1002 });
    }
  });

  it.each(['a', 'going away', 'größer', '日本語', '😀', '\0', '\u{feff}bom', 'x'.repeat(123)])(
    'has the reason %j (7.1.6)',
    (reason) => {
      expect(read(payload(4000, reason))).toEqual({ code: 4000, reason });
    },
  );

  it.each([[[0x80]], [[0x61, 0xff]], [[0xc0, 0xaf]], [[0xed, 0xa0, 0x80]], [[0xf4, 0x90, 0x80, 0x80]], [[0xe2, 0x82]]])(
    'with a reason of %j, not UTF-8, is refused with 1007 (8.1)',
    (reason) => {
      expect(read(payload(1000, reason))).toEqual({
        refuse: 1007,
        why: 'The reason in the close frame is not UTF-8.',
      });
    },
  );

  it('with a bad code and a bad reason is refused for its code', () => {
    expect(read(payload(1005, [0xff]))).toMatchObject({ refuse: 1002 });
  });
});

describe("a server's close payload", () => {
  function written(code: number, reason: string): Buffer {
    const target = Buffer.alloc(140, 0xaa);
    const bytes = writeClosePayload(target, 3, code, reason);
    expect(target.subarray(0, 3).toString('hex')).toBe('aaaaaa');
    expect(target.subarray(3 + Math.max(bytes, 125)).every((byte) => byte === 0xaa)).toBe(true);
    return target.subarray(3, 3 + bytes);
  }

  it('is what the other side reads', () => {
    const bytes = written(1001, 'bye');
    expect(bytes.toString('hex')).toBe('03e9627965');
    expect(readClosePayload(bytes, 0, bytes.length)).toEqual({ code: 1001, reason: 'bye' });
    expect(written(4999, '').toString('hex')).toBe('1387');
  });

  it('is empty for 1005, whatever the reason', () => {
    expect(written(1005, 'lost').length).toBe(0);
  });

  it.each(['a', 'é', '€', '😀', 'a😀', '日a'])('has as many whole %j as fit into 123 bytes', (unit) => {
    for (let lead = 0; lead <= 123; lead++) {
      const reason = 'x'.repeat(lead) + unit.repeat(124);
      let expected = '';
      for (const character of reason) {
        if (Buffer.byteLength(expected + character) > 123) break;
        expected += character;
      }
      expect(written(1000, reason).toString('utf8', 2)).toBe(expected);
    }
  });

  it('replaces halves of a surrogate pair', () => {
    const bytes = written(1000, 'a\ud83d');
    expect(readClosePayload(bytes, 0, bytes.length)).toEqual({ code: 1000, reason: 'a\ufffd' });
  });
});
