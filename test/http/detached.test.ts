import { beforeEach, describe, expect, it } from 'vitest';
import { DetachedAnswers } from '../../src/http/detached.js';
import { AnswerFlag, Request, RequestBit } from '../../src/ipc/frame.js';
import { firstWordOf, ticketOf } from '../../src/ipc/frames/http.js';
import type { Outbox } from '../../src/ipc/outbox.js';
import type { Reply } from '../../src/ipc/reply.js';
import { methods } from '../../src/protocol/http/methods.js';

const FD = 64;
const EXCHANGE = 5;

/** The way out of one process; notes what is sent. */
class FakeOutbox {
  sent: { type: number; fd: number; detail: number; flags: number; text: string }[] = [];

  reply(reply: Reply): boolean {
    const { type, sessionId: fd, detail, flags } = reply;
    const bytes = Buffer.alloc(reply.bytes);
    reply.writeTo(bytes, 0);
    this.sent.push({ type, fd, detail, flags, text: bytes.toString() });
    return true;
  }

  isOpen(): boolean {
    return true;
  }
}

let outbox: FakeOutbox;
let answers: DetachedAnswers;

beforeEach(() => {
  outbox = new FakeOutbox();
  answers = new DetachedAnswers(
    () => outbox as unknown as Outbox,
    (fd) => ({ remoteAddress: '192.0.2.1', remotePort: fd }),
  );
});

function ticket(method: 'GET' | 'HEAD', bits: number = RequestBit.keepAlive): number {
  return ticketOf(EXCHANGE, firstWordOf(0, methods.indexOf(method), bits));
}

describe('an answer from another process', () => {
  it('goes to the request of its ticket, whole', () => {
    answers.response(FD, ticket('GET')).setHeader('x-a', '1').end('hello');
    expect(outbox.sent).toEqual([
      {
        ...{ type: Request.answer, fd: FD, detail: EXCHANGE, flags: AnswerFlag.last },
        text: expect.stringMatching(/^HTTP\/1.1 200 OK\r\n[\s\S]*x-a: 1\r\n[\s\S]*\r\n\r\nhello$/i),
      },
    ]);
  });

  it('ends the connection of a client that wants no more', () => {
    answers.response(FD, ticket('GET', 0)).end('bye');
    expect(outbox.sent.map(({ flags }) => flags)).toEqual([AnswerFlag.last | AnswerFlag.close]);
  });

  it('to HEAD has no body', () => {
    answers.response(FD, ticket('HEAD')).end('hello');
    expect(outbox.sent.map(({ text }) => text.slice(-4))).toEqual(['\r\n\r\n']);
  });

  it('is not compressed, and may come in pieces', () => {
    const response = answers.response(FD, ticket('GET')).setHeader('content-type', 'text/plain');
    expect([response.write('x'.repeat(5000)), response.end('last')]).toEqual([true, true]);
    const text = outbox.sent.map((one) => one.text).join('');
    expect(text).not.toMatch(/content-encoding/i);
    expect(text).toContain(`1388\r\n${'x'.repeat(5000)}\r\n`);
  });

  it('goes out by the present way of the process', () => {
    answers.response(FD, ticket('GET')).end('one');
    const before = outbox;
    outbox = new FakeOutbox();
    answers.response(FD, ticket('GET')).end('two');
    expect([before.sent.length, outbox.sent.length]).toEqual([1, 1]);
    expect(outbox.sent[0]?.text.endsWith('two')).toBe(true);
  });
});
