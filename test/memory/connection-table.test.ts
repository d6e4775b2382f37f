import { beforeEach, describe, expect, it } from 'vitest';
import { ConnectionTable, type NewConnection, SlotFlag, SlotState } from '../../src/memory/connection-table.js';
import { Region } from '../../src/memory/region.js';
import { AF_INET, AF_INET6, AF_UNIX } from '../../src/os/constants.js';
import { monotonicMs } from '../../src/util/clock.js';
import { testShape } from '../helpers/test-shape.js';

const SLOTS = 64;
const IPV4 = Uint8Array.of(192, 0, 2, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
const IPV6 = Uint8Array.of(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);

let region: Region;
let table: ConnectionTable;

beforeEach(() => {
  region = Region.create(testShape({ reactorNum: 3, slots: SLOTS, tlsSlots: SLOTS, tlsRecordBytes: 768 }));
  table = new ConnectionTable(region);
});

/** As a reactor does it. @returns the session id */
function open(slot: number, more: Partial<NewConnection> = {}): number {
  const sessionId = table.nextSessionId(slot);
  const usual = { worker: 0, portIndex: 0, descriptor: 9, family: AF_INET, address: IPV4, remotePort: 4711, now: 1 };
  table.open(slot, { ...usual, sessionId, ...more });
  return sessionId;
}

describe('a session id', () => {
  it('names slot and reactor, and is new with each use of the slot', () => {
    const ids = [open(5), open(5), open(5)];
    expect(ids).toEqual([SLOTS + 5, 2 * SLOTS + 5, 3 * SLOTS + 5]);
    expect(ids.map((id) => table.slotOf(id))).toEqual([5, 5, 5]);
    expect(ids.map((id) => table.reactorOf(id))).toEqual([2, 2, 2]);
    expect(table.sessionId(5)).toBe(ids[2]);
  });

  it('is never that of slot 0 before its first use', () => {
    expect(open(0)).toBe(SLOTS);
  });

  it('tells its slot above 2^32 too', () => {
    const sessionId = 2 ** 40 + 3 * SLOTS + 17;
    open(17, { sessionId });
    expect(table.slotOf(sessionId)).toBe(17);
    expect(table.isOpen(sessionId)).toBe(true);
    expect(table.nextSessionId(17)).toBe(sessionId + SLOTS);
  });
});

describe('of a connection is told', () => {
  it('everything that was written, each by its name', () => {
    region.ports = [9501, 9502];
    const before = Date.now() - 60_000;
    const now = monotonicMs() - 60_000;
    const fd = open(7, { worker: 3, portIndex: 1, descriptor: 21, remotePort: 55_000, now });
    table.countReceived(7, 100, now + 1);
    table.countReceived(7, 11, now + 2);
    table.countSent(7, 50, now + 3);
    table.countSent(7, 5, now + 4);
    table.dispatched(7, now + 5);
    table.setCloseErrno(7, 104);
    table.setSendQueued(7, 77);
    expect(table.bindUid(7, 1234)).toBe(true);
    const info = table.info(fd);
    const { connectedAt = 0 } = info ?? {};
    const about = (ms: number): unknown => expect.closeTo(region.unixMs(ms), -1); // rounded at another moment
    expect(Math.abs(connectedAt - before)).toBeLessThan(1000);
    expect(info).toEqual({
      ...{ fd, workerId: 3, reactorId: 1, remoteAddress: '192.0.2.7', remotePort: 55_000, serverPort: 9502 },
      ...{ portIndex: 1, socketFd: 21, uid: 1234, protected: false, paused: false, connectedAt },
      ...{ lastReceivedAt: about(now + 2), lastSentAt: about(now + 4) },
      ...{ lastDispatchTime: about(now + 5), closeErrno: 104, receivedBytes: 111, sentBytes: 55 },
      ...{ sendQueuedBytes: 77, closing: false, webSocket: false },
    });
    expect([table.worker(7), table.portIndex(7), table.sendQueued(7), table.sentBytes(7)]).toEqual([3, 1, 77, 55]);
    expect([table.lastReceivedAt(7), table.lastMovedAt(7)]).toEqual([now + 2, now + 4]);
  });

  it('nothing of the connection that had the slot before', () => {
    const now = monotonicMs();
    open(7, { now });
    table.countReceived(7, 100, now);
    table.countSent(7, 100, now);
    table.countDispatched(7, 100);
    table.countHandled(7, 30);
    table.dispatched(7, now);
    table.setCloseErrno(7, 104);
    table.setSendQueued(7, 9);
    table.bindUid(7, 8);
    table.setTaker(7, 4711);
    table.setFlag(7, SlotFlag.protected, true);
    table.setFlag(7, SlotFlag.tls, true);
    table.setFlag(7, SlotFlag.webSocket, true);
    expect(table.info(table.sessionId(7))).toMatchObject({ webSocket: true });
    const fd = open(7, { now });
    expect(table.info(fd)).toMatchObject({
      ...{ uid: 0, protected: false, paused: false, lastReceivedAt: 0, lastSentAt: 0, lastDispatchTime: 0 },
      ...{ closeErrno: 0, receivedBytes: 0, sentBytes: 0, sendQueuedBytes: 0, closing: false },
      webSocket: false,
    });
    expect(table.info(fd)).not.toHaveProperty('tls');
    expect([table.taker(7), table.queuedBytes(7), table.isBeingHandled(7), table.uid(7)]).toEqual([0, 0, false, 0]);
  });

  it('nothing to who asks for an earlier session, or a slot that is free', () => {
    const first = open(7);
    const second = open(7);
    expect(table.info(first)).toBeUndefined();
    expect(table.info(second)?.fd).toBe(second);
    table.setState(7, SlotState.free);
    expect(table.info(second)).toBeUndefined();
  });

  it.each([
    [AF_INET, IPV4, '192.0.2.7', false],
    [AF_INET6, IPV6, '2001:db8::1', false],
    [AF_UNIX, IPV6, '', true],
  ])('the address of family %i', (family, address, text, isUnix) => {
    const fd = open(2, { family, address });
    expect(table.info(fd)?.remoteAddress).toBe(text);
    expect(table.isUnix(2)).toBe(isUnix);
    expect([...table.address(2)]).toEqual([...address]);
  });

  it('port 0 where the listen port is not known', () => {
    expect(table.info(open(2, { portIndex: 5 }))?.serverPort).toBe(0);
  });

  it('that nothing was received before the time of its connect', () => {
    open(2, { now: 500 });
    expect([table.lastReceivedAt(2), table.lastMovedAt(2)]).toEqual([500, 500]);
    table.countReceived(2, 1, 700);
    expect([table.lastReceivedAt(2), table.lastMovedAt(2)]).toEqual([700, 700]);
    table.countSent(2, 1, 900);
    expect([table.lastReceivedAt(2), table.lastMovedAt(2)]).toEqual([700, 900]);
  });

  it('which process has its socket and which worker its packets, also after they changed', () => {
    const fd = open(2);
    table.setDescriptor(2, 33);
    table.setWorker(2, 1);
    expect(table.info(fd)).toMatchObject({ socketFd: 33, workerId: 1 });
  });

  it('what its handshake has agreed upon', () => {
    const tls = { version: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384', alpn: 'h2', serverName: 'a.test' };
    const told = { ...tls, authorized: false, subject: '', fingerprint256: '', certificate: '' };
    const fd = open(2);
    table.setTls(2, told);
    expect(table.hasFlag(2, SlotFlag.tls)).toBe(true);
    expect(table.info(fd)?.tls).toEqual(told);
  });
});

describe('a flag', () => {
  const all = Object.values(SlotFlag);

  it.each(Object.entries(SlotFlag))('%s is set and taken away without the others', (_, flag) => {
    open(4);
    const shown = () => all.filter((one) => table.hasFlag(4, one));
    table.setFlag(4, flag, true);
    expect(shown()).toEqual([flag]);
    for (const one of all) table.setFlag(4, one, true);
    table.setFlag(4, flag, false);
    expect(shown()).toEqual(all.filter((one) => one !== flag));
  });

  it('of protection and of a pause is what the user is told', () => {
    const fd = open(4);
    table.setFlag(4, SlotFlag.protected, true);
    expect(table.info(fd)).toMatchObject({ protected: true, paused: false });
    table.setFlag(4, SlotFlag.protected, false);
    table.setFlag(4, SlotFlag.paused, true);
    expect(table.info(fd)).toMatchObject({ protected: false, paused: true });
  });
});

describe('a connection', () => {
  it.each([
    ['free', { isOpen: false, isKnown: false, isGone: true }],
    ['open', { isOpen: true, isKnown: true, isGone: false }],
    ['closing', { isOpen: false, isKnown: true, isGone: false }],
    ['closed', { isOpen: false, isKnown: true, isGone: true }],
  ] as const)('that is %s', (state, expected) => {
    const fd = open(6);
    table.setState(6, SlotState[state]);
    const isOpen = table.isOpen(fd);
    expect({ isOpen, isKnown: table.isKnown(fd), isGone: table.isGone(fd) }).toEqual(expected);
    expect(table.info(fd)?.closing).toBe({ free: undefined, open: false, closing: true, closed: true }[state]);
    expect([table.isOpen(fd + SLOTS), table.isKnown(fd + SLOTS), table.isGone(fd + SLOTS)]).toEqual([
      false,
      false,
      true,
    ]);
  });

  it('that the server has closed is closed for every process at once, and a late mark hits no other session', () => {
    const first = open(6);
    expect(table.isClosedByServer(first)).toBe(false);
    table.markClosedByServer(first);
    expect([table.isClosedByServer(first), table.isOpen(first), table.info(first)?.closing]).toEqual([
      true,
      false,
      true,
    ]);
    const second = open(6);
    table.markClosedByServer(first);
    expect([table.isClosedByServer(second), table.isOpen(second)]).toEqual([false, true]);
  });

  it('that has ended is only told so while it is the same, and open', () => {
    const first = open(6);
    const second = open(6);
    table.markEnded(first);
    expect(table.state(6)).toBe(SlotState.open);
    table.markEnded(second);
    expect(table.state(6)).toBe(SlotState.closing);
    table.setState(6, SlotState.closed);
    table.markEnded(second);
    expect(table.state(6)).toBe(SlotState.closed);
  });

  it('is bound to a uid once', () => {
    open(6);
    expect([table.bindUid(6, 42), table.bindUid(6, 43), table.uid(6)]).toEqual([true, false, 42]);
  });

  it('has a taker of its request until it is said to have none', () => {
    open(6);
    table.setTaker(6, 4711);
    expect([table.taker(6), table.taker(5)]).toEqual([4711, 0]);
    table.setTaker(6, 0);
    expect(table.taker(6)).toBe(0);
  });
});

describe('bytes of a connection', () => {
  it('wait from when they are received until they are handled', () => {
    open(1);
    table.countReceived(1, 10, 1);
    expect(table.queuedBytes(1)).toBe(10);
    expect(table.isBeingHandled(1)).toBe(false);
    table.countDispatched(1, 10);
    expect(table.isBeingHandled(1)).toBe(true);
    expect(table.countHandled(1, 4)).toBe(6);
    expect(table.isBeingHandled(1)).toBe(true);
    expect(table.countHandled(1, 6)).toBe(0);
    expect([table.isBeingHandled(1), table.queuedBytes(1)]).toEqual([false, 0]);
  });

  it('are told right beyond 2^31 and 2^32', () => {
    open(1);
    for (let i = 0; i < 5; i++) {
      table.countReceived(1, 2 ** 30, 1);
      table.countDispatched(1, 2 ** 30);
      expect(table.queuedBytes(1)).toBe(2 ** 30);
      expect(table.countHandled(1, 2 ** 30)).toBe(0);
      expect(table.isBeingHandled(1)).toBe(false);
    }
    expect(table.info(table.sessionId(1))?.receivedBytes).toBe(5 * 2 ** 30);
  });

  it('that have gone with a worker wait no more', () => {
    open(1);
    table.countReceived(1, 30, 1);
    table.countDispatched(1, 20);
    table.forgetQueued(1);
    expect([table.queuedBytes(1), table.isBeingHandled(1)]).toEqual([0, false]);
    table.countReceived(1, 5, 1);
    expect(table.queuedBytes(1)).toBe(5);
  });
});

describe('the open sessions', () => {
  it('are listed in the order of their slots, those of no session and closed ones left out', () => {
    const [a, b, c] = [open(0), open(4), open(8)];
    const closing = open(3);
    table.setState(3, SlotState.closing);
    table.markClosedByServer(open(5));
    expect([...table.sessions()]).toEqual([a, b, c]);
    expect(table.countOpen()).toBe(3);
    expect([...table.sessions(a)]).toEqual([b, c]);
    expect([...table.sessions(closing)]).toEqual([b, c]);
    expect([...table.sessions(b)]).toEqual([c]);
    expect([...table.sessions(c)]).toEqual([]);
  });

  it('are none in a fresh table', () => {
    expect([[...table.sessions()], table.countOpen()]).toEqual([[], 0]);
  });

  it.each([0, 1, 2, 3, 31, 32, 61, 62, 63])(
    'are found up to slot %i when the reactors fill their slots in order',
    (last) => {
      for (let slot = 0; slot <= last; slot++) open(slot);
      expect(table.countOpen()).toBe(last + 1);
      expect([...table.sessions()]).toHaveLength(last + 1);
    },
  );

  it.each([0, 1, 2])('are found when reactor %i alone has connections', (reactor) => {
    for (let row = 0; row < 7; row++) open(row * 3 + reactor);
    expect(table.countOpen()).toBe(7);
  });
});
