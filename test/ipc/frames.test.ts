import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { detailOf, flagsOf, typeOf, wordOf } from '../../src/ipc/frame.js';
import { ACCEPT_BYTES, readAccept, writeAccept } from '../../src/ipc/frames/accept.js';
import { filePayload, readFileRequest } from '../../src/ipc/frames/file.js';
import {
  bitsOf,
  firstWordOf,
  headBytesOf,
  isTicket,
  methodOf,
  readTaken,
  readTicket,
  secondWordOf,
  takenPayload,
  targetEndOf,
  targetStartOf,
  ticketOf,
} from '../../src/ipc/frames/http.js';

const u8 = fc.integer({ min: 0, max: 0xff });
const u16 = fc.integer({ min: 0, max: 0xffff });
const place = fc.integer({ min: 0, max: 2 ** 48 });

/** A payload somewhere in a ring. */
const frameOf = (payload: Buffer, word = 0, payloadAt = 24) => ({
  ...{ word, sessionId: 1, payloadAt, length: payload.length, address: 0 },
  bytes: Buffer.concat([Buffer.alloc(payloadAt, 0xaa), payload, Buffer.alloc(8, 0xbb)]),
});

describe('both ends agree upon', () => {
  it('the word of type, flags and detail', () => {
    fc.assert(
      fc.property(u8, u8, u16, (type, flags, detail) => {
        const [word] = Int32Array.of(wordOf(type, flags, detail)); // as it lies in the ring
        expect([typeOf(word ?? 0), flagsOf(word ?? 0), detailOf(word ?? 0)]).toEqual([type, flags, detail]);
      }),
    );
  });

  it('an accepted connection', () => {
    const descriptor = fc.integer({ min: 0, max: 0x7fffffff });
    const address = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(descriptor, u16, u16, u16, address, (fd, portIndex, family, remotePort, from) => {
        const payload = Buffer.alloc(ACCEPT_BYTES);
        const arrival = { descriptor: fd, portIndex, family, remotePort, address: from };
        writeAccept(payload, 0, arrival);
        expect(readAccept(frameOf(payload, wordOf(7, 0, portIndex)))).toEqual(arrival);
      }),
    );
    expect(readAccept(frameOf(Buffer.alloc(ACCEPT_BYTES - 1)))).toBeUndefined();
  });

  it('a part of a file', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), place, place, (path, offset, bytes) => {
        const wellFormed = path.toWellFormed();
        const read = readFileRequest(frameOf(filePayload(wellFormed, offset, bytes)));
        expect(read).toEqual({ path: wellFormed, offset, bytes });
      }),
    );
  });

  it('the words before a request', () => {
    fc.assert(
      fc.property(u16, u8, u8, u16, u16, (headBytes, method, bits, start, end) => {
        const [first = 0, second = 0] = Int32Array.of(firstWordOf(headBytes, method, bits), secondWordOf(start, end));
        expect([headBytesOf(first), methodOf(first), bitsOf(first)]).toEqual([headBytes, method, bits]);
        expect([targetStartOf(second), targetEndOf(second)]).toEqual([start, end]);
      }),
    );
  });

  it('how much of a body was taken', () => {
    fc.assert(
      fc.property(place, (bytes) => {
        expect(readTaken(frameOf(takenPayload(bytes)))).toBe(bytes);
      }),
    );
  });

  it('the number of a detached request', () => {
    fc.assert(
      fc.property(u16, u16, u8, u8, (exchange, headBytes, method, bits) => {
        const ticket = ticketOf(exchange, firstWordOf(headBytes, method, bits));
        expect(isTicket(ticket)).toBe(true);
        const read = readTicket(ticket);
        expect(read.exchange).toBe(exchange);
        expect([headBytesOf(read.first), methodOf(read.first), bitsOf(read.first)]).toEqual([0, method, bits]);
      }),
    );
    for (const wrong of [-1, 1.5, 2 ** 32, Number.NaN, '1', undefined]) expect(isTicket(wrong)).toBe(false);
  });
});
