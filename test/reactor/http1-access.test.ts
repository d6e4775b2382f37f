// How the access log reads answers as they pass: their status, and how many bytes stand behind the head.
import { describe, expect, it } from 'vitest';
import type { AccessEntry } from '../../src/access-log/entry.js';
import { Request } from '../../src/ipc/frame.js';
import { Reply } from '../../src/ipc/reply.js';
import { Access } from '../../src/reactor/protocols/http1/access.js';
import type { Cursor } from '../../src/reactor/protocols/http1/cursor.js';
import type { HttpState } from '../../src/reactor/protocols/http1/http-state.js';

const REQUEST = 'GET / HTTP/1.1\r\n\r\n';
const connection = { sessionId: 1, isFlushed: true, out: null };

function open() {
  const entries: AccessEntry[] = [];
  const log = { format: 'common', skipsPaths: false, write: (entry: AccessEntry) => entries.push(entry) };
  const context = { now: 0, table: { info: () => ({ remoteAddress: '127.0.0.1' }) } };
  const access = new Access(log as never, { options: { trustProxy: null }, context } as never);
  const http = { access: null, peer: null } as unknown as HttpState;
  const head = { targetStart: 4, targetEnd: 5, lineStart: 0, linesStart: 16 };
  const cursor = { connection, http, bytes: Buffer.from(REQUEST), at: 0, head };
  access.begin(cursor as unknown as Cursor);
  return {
    ...{ access, http },
    /** @returns the entry that was written */
    end: (): AccessEntry | undefined => {
      access.end(http, true);
      return entries.at(-1);
    },
  };
}

const BODY = 'x\r\n\r\ny\r\r\n';
const HEADS = [
  'HTTP/1.1 201 Created\r\n\r\n',
  'HTTP/1.1 404 Not Found\r\nA: b\r\nLonger: than that\r\n\r\n',
  'HTTP/1.1 200 \r\nA: \r\r\nB:\n\r\n\r\n',
];

describe.each(HEADS)('an answer that begins %j', (head) => {
  const whole = Buffer.from(head + BODY);
  const expected = { status: Number(head.slice(9, 12)), bytes: BODY.length };

  it('is read whole, wherever it lies in its memory', () => {
    for (let before = 0; before < 5; before++) {
      const { access, http, end } = open();
      access.sent(http, Buffer.concat([Buffer.alloc(before, '\r\n'), whole]), before, whole.length);
      expect(end()).toMatchObject(expected);
    }
  });

  it('is read in two pieces, cut anywhere behind its status, and byte by byte', () => {
    for (let cut = 12; cut < whole.length; cut++) {
      const { access, http, end } = open();
      access.sent(http, whole, 0, cut);
      access.sent(http, whole, cut, whole.length - cut);
      expect(end(), `cut at ${cut}`).toMatchObject(expected);
    }
    const { access, http, end } = open();
    access.sent(http, whole, 0, 12);
    for (let at = 12; at < whole.length; at++) access.sent(http, whole, at, 1);
    expect(end()).toMatchObject(expected);
  });

  it('is read of the parts of a reply', () => {
    const replies: Partial<Reply>[] = [
      { head: Buffer.from(head), text: BODY },
      { head: Buffer.from(head), body: Buffer.from(BODY) },
      { text: head + BODY },
      { text: head, body: Buffer.from(BODY.slice(0, 3)), tail: BODY.slice(3) },
    ];
    for (const parts of replies) {
      const { access, http, end } = open();
      access.replied(http, Object.assign(new Reply(Request.answer, 0), parts));
      expect(end()).toMatchObject(expected);
    }
  });
});

it('an answer of which no head has left is none: 499', () => {
  const entry = open().end();
  expect(entry).toMatchObject({ status: 499, bytes: 0 });
  expect(entry?.request.texts).toMatchObject({ requestLine: 'GET / HTTP/1.1' });
});
