import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import * as frame from '../../src/ipc/frame.js';

const { CloseCode, closeReason, Event, goneCode, GoneFlag, goneFlags, markOf, Request } = frame;

describe('numbers of frames', () => {
  it.each([
    ['events', Event],
    ['requests', Request],
  ])('are different for all %s, and fit into a byte', (_, types) => {
    const numbers = Object.values(types);
    expect(new Set(numbers).size).toBe(numbers.length);
    for (const number of numbers) expect(number > 0 && number < 256).toBe(true);
  });

  const flags = {
    pieces: frame.PieceFlag,
    closes: frame.CloseFlag,
    requests: frame.RequestFlag,
    bodies: frame.BodyFlag,
    gone: frame.GoneFlag,
    answers: { ...frame.AnswerFlag, ...frame.SendFlag },
    'heads of requests': frame.RequestBit,
  };

  it.each(Object.entries(flags))('that are flags of %s are one bit each, and none is another', (_, bits) => {
    const numbers = Object.values(bits);
    expect(new Set(numbers).size).toBe(numbers.length);
    for (const number of numbers) expect([1, 2, 4, 8, 16, 32, 64, 128]).toContain(number);
  });
});

describe('why a connection has ended', () => {
  it.each(Object.keys(CloseCode))('%s is a code, an initiator and a sentence', (name) => {
    const code = CloseCode[name as keyof typeof CloseCode];
    const reason = closeReason(code, '');
    expect(reason).toEqual({
      code: name,
      initiator: expect.any(String),
      message: expect.stringMatching(/^\w.* .*\w$/),
    });
    expect(['client', 'server', 'timeout', 'limit', 'error']).toContain(reason.initiator);
    expect(closeReason(code, 'another sentence')).toEqual({ ...reason, message: 'another sentence' });
    for (const isHalf of [false, true]) expect(goneCode(goneFlags(code, isHalf))).toBe(code);
  });

  it('is one of those that docs/lifecycle.md names', () => {
    const lifecycle = readFileSync(new URL('../../docs/lifecycle.md', import.meta.url), 'utf8');
    const named = new Set(lifecycle.match(/(?<=`)[A-Z]+_[A-Z_]+(?=`)/g));
    for (const name of Object.keys(CloseCode)) expect([name, named.has(name)]).toEqual([name, true]);
  });

  it.each([
    ['CLIENT_CLOSED', 'client'],
    ['CLIENT_RESET', 'client'],
    ['SERVER_CLOSED', 'server'],
    ['SERVER_SHUTDOWN', 'server'],
    ['CALLBACK_FAILED', 'error'],
    ['SEND_QUEUE_LIMIT', 'limit'],
    ['SOCKET_ERROR', 'error'],
    ['HEARTBEAT_TIMEOUT', 'timeout'],
    ['WRITE_TIMEOUT', 'timeout'],
    ['MEMORY_LIMIT', 'limit'],
    ['WORKER_DIED', 'error'],
    ['WORKER_REPLACED', 'server'],
    ['KEEP_ALIVE_TIMEOUT', 'timeout'],
    ['IDLE_TIMEOUT', 'timeout'],
  ] as const)('%s is by the %s', (name, initiator) => {
    expect(closeReason(CloseCode[name], '').initiator).toBe(initiator);
  });

  it.each([-1, 99, 1.5])('of a code that nobody knows, %d, is a failure of the socket', (code) => {
    expect(closeReason(code, '').code).toBe('SOCKET_ERROR');
  });

  it('says whether the client has ended its side only', () => {
    for (const code of [0, 1, 22]) {
      expect(goneFlags(code, true) & GoneFlag.halfClosed).toBe(GoneFlag.halfClosed);
      expect(goneFlags(code) & GoneFlag.halfClosed).toBe(0);
    }
  });
});

it.each([
  [1, 1],
  [0xffff, 0xffff],
  [0x10000, 1],
  [0x10001, 1],
  [0x12345, 0x2345],
])('the mark of process %i is %i: never 0, and of 16 bits', (pid, mark) => {
  expect(markOf(pid)).toBe(mark);
});

it.each([
  [0, 0],
  [1, 8],
  [8, 8],
  [9, 16],
])('a frame with %i bytes takes as many as its header and %i', (bytes, padded) => {
  expect(frame.frameBytes(bytes)).toBe(frame.HEADER_BYTES + padded);
});
