import { closeSync, fstatSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { createMessagePair, DescriptorMessage, LONGEST_MESSAGE } from '../../src/os/descriptor-passing.js';
import { clearDoorbell, createDoorbell, ringDoorbell } from '../../src/os/doorbell.js';
import {
  addressOf,
  allocateStable,
  check,
  errnoName,
  errnoOf,
  lastErrno,
  libc,
  pin,
  viewMemory,
} from '../../src/os/libc.js';
import { duplicateTo, tryLock } from '../../src/os/lock.js';
import { createSharedFile, mapRing, mapShared, PAGE_BYTES, punchHole } from '../../src/os/memory.js';
import { SyscallError } from '../../src/os/syscall-error.js';
import { closeDoorbell } from '../helpers/doorbell.js';

const cleanUp: (() => void)[] = [];
afterEach(() => {
  for (const undo of cleanUp.splice(0).reverse()) undo();
});
const later = (undo: () => void): number => cleanUp.push(undo);
const onLinux = process.platform === 'linux';
/** fcntl(2): F_GETFD. */
const closesOnExec = (descriptor: number): boolean => libc.fcntl(descriptor, 1, 0) === 1;

function sharedFile(bytes: number): number {
  const descriptor = createSharedFile('test', bytes);
  later(() => closeSync(descriptor));
  return descriptor;
}

describe('memory that calls get by its address', () => {
  it('is zeroed, and stays where it is', () => {
    const small = allocateStable(8);
    expect([small.length, small.every((byte) => byte === 0)]).toEqual([8, true]);
    expect(small.buffer.byteLength).toBeGreaterThan(64); // V8 moves what is smaller
    expect(allocateStable(1000)).toHaveLength(1000);
    small.write('here');
    expect(Buffer.from(viewMemory(addressOf(small), 4)).toString()).toBe('here');
    const pinned = pin(small);
    expect(pinned).toEqual({ buffer: small, address: addressOf(small) });
  });
});

describe('a failed call', () => {
  it('throws the name of its error', () => {
    expect(check(0, 'x')).toBe(0);
    expect(check(7, 'x')).toBe(7);
    expect(libc.close(-1)).toBe(-1);
    expect(lastErrno()).toBe(constants.errno.EBADF);
    const thrown = (): unknown => {
      try {
        return check(libc.close(-1), 'close');
      } catch (error) {
        return error;
      }
    };
    expect(thrown()).toBeInstanceOf(SyscallError);
    expect(thrown()).toMatchObject({
      ...{ name: 'SyscallError', code: 'EBADF', errno: constants.errno.EBADF, syscall: 'close' },
      message: 'close failed: EBADF',
    });
  });

  it('has a number for each name, and a name for each number', () => {
    expect([errnoName(constants.errno.ECONNRESET), errnoName(9999)]).toEqual(['ECONNRESET', 'errno 9999']);
    expect([errnoOf('ECONNRESET'), errnoOf('ENOSUCH')]).toEqual([constants.errno.ECONNRESET, 0]);
  });
});

describe('a shared file', () => {
  it('has the size it was given, zeroed, and no child gets it', () => {
    const descriptor = sharedFile(PAGE_BYTES * 2);
    expect(fstatSync(descriptor).size).toBe(PAGE_BYTES * 2);
    expect(closesOnExec(descriptor)).toBe(true);
    expect(new Uint8Array(mapShared(descriptor, 0, PAGE_BYTES)).every((byte) => byte === 0)).toBe(true);
  });

  it('is the same memory for all that map it, from any page on', () => {
    const descriptor = sharedFile(PAGE_BYTES * 3);
    const whole = new Uint8Array(mapShared(descriptor, 0, PAGE_BYTES * 3));
    const part = new Uint8Array(mapShared(descriptor, PAGE_BYTES, PAGE_BYTES));
    whole[PAGE_BYTES + 1] = 7;
    part[2] = 8;
    expect(part).toHaveLength(PAGE_BYTES);
    expect([part[1], whole[PAGE_BYTES + 2]]).toEqual([7, 8]);
    expect(() => mapShared(-1, 0, PAGE_BYTES)).toThrow(/mmap failed: EBADF/);
  });

  it('is a ring that lies twice in a row', () => {
    const descriptor = sharedFile(PAGE_BYTES * 2);
    const whole = new Uint8Array(mapShared(descriptor, 0, PAGE_BYTES * 2));
    const { buffer, address } = mapRing(descriptor, PAGE_BYTES, PAGE_BYTES);
    const ring = new Uint8Array(buffer);
    expect(ring).toHaveLength(PAGE_BYTES * 2);
    expect(addressOf(ring)).toBe(address);
    ring.set([1, 2, 3, 4], PAGE_BYTES - 2); // across the end
    expect([...ring.subarray(0, 2), ...ring.subarray(PAGE_BYTES * 2 - 2)]).toEqual([3, 4, 1, 2]);
    expect([...whole.subarray(PAGE_BYTES, PAGE_BYTES + 2), whole[0]]).toEqual([3, 4, 0]);
    expect(() => mapRing(-1, 0, PAGE_BYTES)).toThrow(/mmap failed: EBADF/);
  });

  it.runIf(onLinux)('gives pages back, and only those', () => {
    const descriptor = sharedFile(PAGE_BYTES * 3);
    const bytes = new Uint8Array(mapShared(descriptor, 0, PAGE_BYTES * 3)).fill(1);
    punchHole(descriptor, PAGE_BYTES, PAGE_BYTES);
    expect([0, 1, 2].map((page) => bytes[page * PAGE_BYTES])).toEqual([1, 0, 1]);
    expect(fstatSync(descriptor).size).toBe(PAGE_BYTES * 3);
    expect(() => punchHole(-1, 0, PAGE_BYTES)).toThrow(/fallocate failed: EBADF/);
  });
});

describe('a doorbell', () => {
  /** Bytes that a read finds; 0: none. */
  const heard = (descriptor: number): number => {
    try {
      return readSync(descriptor, Buffer.alloc(64));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return 0;
      throw error;
    }
  };

  it('is heard once however often it was rung, and can be rung for ever', () => {
    const bell = createDoorbell();
    later(() => closeDoorbell(bell));
    expect(heard(bell.read)).toBe(0);
    for (let i = 0; i < 3; i++) ringDoorbell(bell);
    expect(heard(bell.read)).toBeGreaterThan(0);
    expect(heard(bell.read)).toBe(0);
    ringDoorbell(bell);
    clearDoorbell(bell);
    expect(heard(bell.read)).toBe(0);
    expect([closesOnExec(bell.read), closesOnExec(bell.write)]).toEqual([true, true]);
  });

  it('does not stay open', () => {
    const bell = createDoorbell();
    closeDoorbell(bell);
    for (const descriptor of [bell.read, bell.write]) expect(() => heard(descriptor)).toThrow(/EBADF/);
  });
});

describe('the lock of a file', () => {
  const open = (): number => {
    const folder = mkdtempSync(join(tmpdir(), 'lock-'));
    later(() => rmSync(folder, { recursive: true }));
    return openAgain(join(folder, 'it'));
  };
  const openAgain = (path: string): number => {
    lastPath = path;
    const descriptor = openSync(path, 'a+');
    open_.add(descriptor);
    later(() => open_.delete(descriptor) && closeSync(descriptor));
    return descriptor;
  };
  let lastPath = '';
  const open_ = new Set<number>();

  it('has one holder, and ends with it', () => {
    const one = open();
    const other = openAgain(lastPath);
    expect([tryLock(one), tryLock(one), tryLock(other)]).toEqual([true, true, false]);
    open_.delete(one);
    closeSync(one);
    expect(tryLock(other)).toBe(true);
    expect(() => tryLock(-1)).toThrow(/flock failed: EBADF/);
  });

  it('a number can lead to the file of another', () => {
    const [one, other] = [open(), open()];
    duplicateTo(one, other);
    writeSync(other, 'x');
    expect(fstatSync(one).size).toBe(1);
    expect(fstatSync(other).ino).toBe(fstatSync(one).ino);
    expect(() => duplicateTo(-1, other)).toThrow(/dup2 failed: EBADF/);
  });
});

describe('messages with descriptors', () => {
  const pair = (): [number, number] => {
    const ends = createMessagePair();
    later(() => {
      for (const end of ends) closeSync(end);
    });
    return ends;
  };

  it('arrive whole, one by one, each with the descriptor that was given to it', () => {
    const [one, other] = pair();
    const message = new DescriptorMessage();
    const received = new DescriptorMessage();
    const file = sharedFile(10);
    expect(received.receive(other)).toBeUndefined();
    message.bytes.write('first');
    expect(message.send(one, 5, file)).toBe(true);
    message.bytes.write('second');
    expect(message.send(one, 6, -1)).toBe(true);
    const first = received.receive(other);
    later(() => closeSync(first?.descriptor as number));
    expect(first?.length).toBe(5);
    expect(received.bytes.toString('latin1', 0, 5)).toBe('first');
    expect(first?.descriptor).not.toBe(file);
    expect(fstatSync(first?.descriptor as number).ino).toBe(fstatSync(file).ino);
    expect(closesOnExec(first?.descriptor as number)).toBe(true);
    expect(received.receive(other)).toEqual({ length: 6, descriptor: -1 });
    expect(received.bytes.toString('latin1', 0, 6)).toBe('second');
    expect(received.receive(other)).toBeUndefined();
  });

  it('go both ways, the longest too', () => {
    const [one, other] = pair();
    const message = new DescriptorMessage();
    message.bytes.fill(9);
    expect(message.send(other, LONGEST_MESSAGE, -1)).toBe(true);
    const received = new DescriptorMessage();
    expect(received.receive(one)).toEqual({ length: LONGEST_MESSAGE, descriptor: -1 });
    expect(received.bytes.every((byte) => byte === 9)).toBe(true);
  });

  it('wait when the other side has to read first, and fail when it has gone', () => {
    const [one, other] = createMessagePair();
    const message = new DescriptorMessage();
    let sent = 0;
    while (message.send(one, LONGEST_MESSAGE, -1) && sent < 1000) sent++;
    expect(sent).toBeGreaterThan(0);
    expect(sent).toBeLessThan(1000);
    while (message.receive(other) !== undefined);
    expect(message.send(one, 1, -1)).toBe(true);
    closeSync(other);
    expect(() => message.send(one, 1, -1)).toThrow(/sendmsg failed: E/);
    expect(message.receive(one)).toBeUndefined();
    closeSync(one);
    expect(() => message.send(-1, 1, -1)).toThrow(/EBADF/);
  });

  it.runIf(onLinux)('neither block nor go to children', () => {
    for (const end of pair()) expect([closesOnExec(end), libc.fcntl(end, 3, 0) & 0x800]).toEqual([true, 0x800]);
  });
});
