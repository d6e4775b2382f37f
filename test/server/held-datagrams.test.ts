import { constants } from 'node:os';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { encodeAddress } from '../../src/os/address.js';
import { DATAGRAMS_PER_SEND, LONGEST_SENT_TOGETHER } from '../../src/os/datagram-sends.js';
import { isLinux } from '../../src/os/libc.js';
import { bindUdp, closeDescriptor, localAddress } from '../../src/os/socket.js';
import { HeldDatagrams, type Refused } from '../../src/server/held-datagrams.js';
import { textsOf } from '../helpers/datagrams.js';

let sockets: number[];
let reader: number;
let to: Buffer;
let now: number;
let refused: Refused[][];
let atExit: (() => void)[];
let held: HeldDatagrams;
beforeEach(() => {
  sockets = [bindUdp('127.0.0.1', 0), bindUdp('127.0.0.1', 0), bindUdp('127.0.0.1', 0)];
  reader = sockets[2] as number;
  to = encodeAddress('127.0.0.1', localAddress(reader).port);
  [now, refused, atExit] = [5, [], []];
  held = new HeldDatagrams({
    descriptorOf: (portIndex) => sockets[portIndex] as number,
    refused: (datagrams) => refused.push([...datagrams]),
    now: () => now,
    atExit: (flush) => atExit.push(flush),
  });
});
afterEach(() => sockets.forEach(closeDescriptor));

function answer(text: string, portIndex = 0, address = to): boolean {
  held.beginCallback();
  const waits = held.takes(portIndex, Buffer.from(text), address);
  held.endCallback();
  return waits;
}

function makeBusy(): void {
  answer('');
  answer('');
  held.endTurn();
}

describe.runIf(isLinux)('an answer to a datagram', () => {
  it('waits only where a turn of late had several, and only in a callback', () => {
    expect([answer('1'), answer('2')]).toEqual([false, false]);
    held.endTurn();
    expect(held.takes(0, Buffer.from('outside'), to)).toBe(false);
    for (let turn = 0; turn < 16; turn++) {
      expect(answer('alone')).toBe(true);
      held.endTurn();
      expect(textsOf(reader)).toEqual(['alone']);
      held.endTurn(); // one without answers says nothing
    }
    expect(answer('behind many alone')).toBe(false);
  });

  it('does not wait when it is long', () => {
    makeBusy();
    expect(answer('x'.repeat(LONGEST_SENT_TOGETHER + 1))).toBe(false);
    expect(answer('x'.repeat(LONGEST_SENT_TOGETHER))).toBe(true);
    expect(answer('')).toBe(true);
    held.endTurn();
    expect(textsOf(reader).map(({ length }) => length)).toEqual([LONGEST_SENT_TOGETHER, 0]);
  });

  it('leaves when as many wait as one call sends', () => {
    makeBusy();
    const texts = Array.from({ length: 2 * DATAGRAMS_PER_SEND + 1 }, (_, i) => String(i));
    for (const text of texts) answer(text);
    expect(textsOf(reader)).toEqual(texts.slice(0, -1));
    held.endTurn();
    expect(textsOf(reader)).toEqual(texts.slice(-1));
  });

  it('leaves by its own port, before one by another port', () => {
    makeBusy();
    answer('a', 0);
    answer('b', 1);
    expect(textsOf(reader)).toEqual(['a']);
    held.endTurn();
    expect(textsOf(reader)).toEqual(['b']);
  });

  it('waits for no callback behind one that took long', () => {
    makeBusy();
    answer('quick');
    now += 0.04;
    answer('quick too');
    expect(textsOf(reader)).toEqual([]);
    now += 0.06;
    held.beginCallback();
    expect(textsOf(reader)).toEqual(['quick', 'quick too']);
    held.endCallback();
  });

  it('leaves when the process ends', () => {
    makeBusy();
    answer('last words');
    expect(atExit).toHaveLength(1);
    atExit[0]?.();
    expect(textsOf(reader)).toEqual(['last words']);
  });

  it('that the kernel refuses is told of, the others leave, and none waits for a second', () => {
    makeBusy();
    const nobody = encodeAddress('255.255.255.255', 9); // SO_BROADCAST is not set
    answer('a', 0, nobody);
    answer('leaves');
    answer('bcd', 0, nobody);
    held.endTurn();
    expect(textsOf(reader)).toEqual(['leaves']);
    const errno = constants.errno.EACCES;
    expect(refused).toEqual([
      [
        { bytes: 1, errno },
        { bytes: 3, errno },
      ],
    ]);
    now += 999;
    expect([answer('1'), answer('2')]).toEqual([false, false]);
    held.endTurn();
    expect([answer('1'), answer('2')]).toEqual([false, false]);
    now += 2;
    held.endTurn();
    expect(answer('waits again')).toBe(true);
    held.endTurn();
  });
});
