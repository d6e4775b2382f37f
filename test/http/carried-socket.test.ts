import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CarriedSocket, type Sink } from '../../src/http/node/carried-socket.js';

let written: [string, string][];
let hasRoom: boolean;
let drained: () => void;

const sink: Sink = {
  write(data, encoding) {
    written.push([typeof data === 'string' ? data : Buffer.from(data).toString('latin1'), encoding]);
    return hasRoom;
  },
  drain: () => new Promise((resolve) => (drained = resolve)),
};

function socketOf(more: object = {}): CarriedSocket {
  const socket = new CarriedSocket({ remoteAddress: '192.0.2.1', remotePort: 4711, isEncrypted: false, ...more });
  socket.carryTo(sink);
  return socket;
}

beforeEach(() => {
  [written, hasRoom] = [[], true];
});

afterEach(() => vi.useRealTimers());

describe('a carried socket', () => {
  it('looks like one of that client', () => {
    const socket = socketOf();
    expect(socket).toMatchObject({
      ...{ remoteAddress: '192.0.2.1', remotePort: 4711, remoteFamily: 'IPv4', encrypted: false, readyState: 'open' },
      ...{ connecting: false, pending: false, bytesRead: 0, bytesWritten: 0, timeout: 0, isTunnel: false },
    });
    expect(socketOf({ remoteAddress: '::1', isEncrypted: true })).toMatchObject({
      remoteFamily: 'IPv6',
      encrypted: true,
    });
    socket.destroy();
    expect(socket.readyState).toBe('closed');
  });

  it.each([
    ['é', 'utf8', 'é', 'utf8', 2],
    ['é', 'latin1', 'é', 'latin1', 1],
    ['ab', 'ascii', 'ab', 'latin1', 2],
    ['6162', 'hex', 'ab', 'latin1', 2],
  ] as const)('writes the text %s in %s', (text, encoding, sent, as, bytes) => {
    const socket = socketOf();
    socket.write(text, encoding);
    expect([written, socket.bytesWritten]).toEqual([[[sent, as]], bytes]);
  });

  it('writes what was held together as one, up to 64 KiB', async () => {
    const socket = socketOf();
    socket.cork();
    socket.write('a');
    socket.write(Buffer.from('b'));
    socket.write('c'.repeat(65_534));
    socket.uncork();
    await new Promise(setImmediate);
    expect([written.length, written[0]?.[0].length, written[0]?.[1]]).toEqual([1, 65_536, 'latin1']);
    socket.cork();
    socket.write('a');
    socket.write('b'.repeat(65_536));
    socket.uncork();
    await new Promise(setImmediate);
    expect([written.length, socket.bytesWritten]).toEqual([3, 131_073]);
  });

  it('waits for a client that does not keep up', async () => {
    const socket = socketOf();
    hasRoom = false;
    let told = false;
    socket.write('a', () => {
      told = true;
    });
    socket.write('b');
    await new Promise(setImmediate);
    expect([told, written.length]).toEqual([false, 1]);
    hasRoom = true;
    drained();
    await new Promise(setImmediate);
    expect([told, written.map(([text]) => text).join('')]).toEqual([true, 'ab']);
  });

  it('times out when nothing is written for so long, until it is told not to', () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const socket = socketOf();
    let timeouts = 0;
    const listener = () => timeouts++;
    socket.setTimeout(100, listener);
    expect(socket.timeout).toBe(100);
    vi.advanceTimersByTime(99);
    socket.write('a');
    vi.advanceTimersByTime(99);
    expect(timeouts).toBe(0);
    vi.advanceTimersByTime(1);
    expect(timeouts).toBe(1);
    socket.setTimeout(100, listener);
    socket.setTimeout(0, listener);
    expect([socket.listenerCount('timeout'), vi.getTimerCount(), socket.timeout]).toEqual([0, 0, 0]);
    socket.setTimeout(100);
    socket.destroy();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is destroyed when all has been written', async () => {
    const socket = socketOf();
    hasRoom = false;
    socket.write('a');
    socket.destroySoon();
    await new Promise(setImmediate);
    expect(socket.destroyed).toBe(false);
    drained();
    await new Promise(setImmediate);
    expect([socket.destroyed, written.length]).toEqual([true, 1]);
  });

  it('tells its writer when there is room, and drops what no reader waits for', async () => {
    const socket = socketOf();
    socket.carryTo(null);
    expect(socket.write('a')).toBe(true);
    await new Promise(setImmediate);
    expect([written, socket.bytesWritten, socket.address()]).toEqual([[], 1, {}]);
  });

  it('tells its feeder when more is wanted, and when it is gone', async () => {
    const socket = socketOf();
    expect([socket.feed(Buffer.alloc(70_000)), socket.bytesRead]).toEqual([false, 70_000]);
    let isWanted = false;
    const wanted = socket.wanted().then(() => {
      isWanted = true;
    });
    await new Promise(setImmediate);
    expect(isWanted).toBe(false);
    socket.resume();
    await wanted;
    const atEnd = socket.wanted();
    socket.destroy();
    await atEnd;
    await socket.wanted();
    expect([socket.feed('late'), socket.bytesRead]).toEqual([true, 70_000]);
  });

  it('keeps its side open when the client has ended, and says so', async () => {
    const socket = socketOf();
    socket.resume().push(null);
    await new Promise(setImmediate);
    expect([socket.readyState, socket.destroyed]).toEqual(['writeOnly', false]);
    const other = socketOf();
    other.end();
    await new Promise(setImmediate);
    expect(other.readyState).toBe('readOnly');
  });

  it('that times out again does so anew, and once', () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const socket = socketOf();
    let timeouts = 0;
    socket.on('timeout', () => timeouts++).setTimeout(100);
    vi.advanceTimersByTime(90);
    socket.feed('x');
    vi.advanceTimersByTime(90);
    socket.setTimeout(50);
    vi.advanceTimersByTime(1000);
    expect(timeouts).toBe(1);
  });
});
