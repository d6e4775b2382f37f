// The half of `os` that only macOS runs, on any machine: its C library is played here.
import { spawnSync } from 'node:child_process';
import { closeSync, fstatSync } from 'node:fs';
import { afterAll, beforeEach, describe, expect, it, vi } from 'vitest';

const system = vi.hoisted(() => {
  const was = Object.getOwnPropertyDescriptor(process, 'platform') as PropertyDescriptor;
  Object.defineProperty(process, 'platform', { ...was, value: 'darwin' });
  return {
    calls: [] as unknown[][],
    /** By the name of a call; others give 0. */
    results: {} as Record<string, (...given: never[]) => number>,
    loaded: [] as unknown[],
    restore: () => Object.defineProperty(process, 'platform', was),
  };
});
vi.mock('node:os', async (original) => ({
  ...(await original<typeof import('node:os')>()),
  platform: () => 'darwin',
}));
vi.mock('node:child_process', async (original) => ({
  ...(await original<typeof import('node:child_process')>()),
  spawnSync: vi.fn(),
}));
vi.mock('../../src/os/koffi.js', () => {
  const func = (prototype: string) => {
    const name = /(\w+)\(/.exec(prototype)?.[1] ?? '';
    return (...given: unknown[]): number => {
      // Buffers may be used again: what they hold now counts.
      system.calls.push([name, ...given.map((one) => (Buffer.isBuffer(one) ? Buffer.from(one) : one))]);
      return system.results[name]?.(...(given as never[])) ?? 0;
    };
  };
  const load = (path: unknown) => {
    system.loaded.push(path);
    return { func };
  };
  const handle = { start() {}, stop() {}, close() {} };
  return { koffi: { load, errno: () => 35, address: () => 4096n, node: { poll: () => handle } } };
});

import { decodeAddress, decodePeer, encodeAddress, encodeUnixAddress } from '../../src/os/address.js';
import * as constants from '../../src/os/constants.js';
import { createPoller } from '../../src/os/create-poller.js';
import { createMessagePair, DescriptorMessage } from '../../src/os/descriptor-passing.js';
import { clearDoorbell, createDoorbell, ringDoorbell } from '../../src/os/doorbell.js';
import { hasSendfile } from '../../src/os/file.js';
import { libc } from '../../src/os/libc.js';
import { createSharedFile, PAGE_BYTES, punchHole } from '../../src/os/memory.js';
import { processStartTime, processUsage } from '../../src/os/other-process.js';
import { peerUid } from '../../src/os/peer.js';
import { allowedCores, runOnCore } from '../../src/os/privileges.js';
import { becomeSubreaper, findEndedChild, setThreadName } from '../../src/os/process.js';
import * as S from '../../src/os/socket.js';

beforeEach(() => {
  system.calls.length = 0;
  system.results = {};
});
afterAll(() => void system.restore());

/** Names and numbers of the calls since the last look. */
const called = (): unknown[][] => system.calls.splice(0).map((call) => call.filter((one) => !Buffer.isBuffer(one)));
/** fcntl(2) that makes a descriptor non-blocking and close-on-exec. */
const flagsOf = (descriptor: number): unknown[][] => [
  ['fcntl', descriptor, 3, 0],
  ['fcntl', descriptor, 4, 4],
  ['fcntl', descriptor, 2, 1],
];

describe('on macOS', () => {
  it('the C library is that of the system, and calls of Linux are refused', () => {
    expect(system.loaded).toEqual(['/usr/lib/libSystem.B.dylib']);
    expect(() => libc.epoll_create1(0)).toThrow(/exists on Linux only/);
  });

  it('the numbers are those of its headers', () => {
    // sys/socket.h, netinet/in.h, netinet/tcp.h, sys/fcntl.h, sys/mman.h
    expect(constants).toMatchObject({
      ...{ AF_UNIX: 1, AF_INET: 2, AF_INET6: 30, SOCK_STREAM: 1, SOCK_DGRAM: 2, SOL_SOCKET: 0xffff },
      ...{ SO_REUSEADDR: 0x4, SO_REUSEPORT: 0x200, SO_ERROR: 0x1007, SO_TYPE: 0x1008, SO_KEEPALIVE: 0x8 },
      ...{ SO_LINGER: 0x80, SO_NOSIGPIPE: 0x1022, IPPROTO_TCP: 6, TCP_NODELAY: 1, TCP_KEEPIDLE: 0x10 },
      ...{ TCP_KEEPINTVL: 0x101, TCP_KEEPCNT: 0x102, TCP_FASTOPEN: 0x105, IPPROTO_IPV6: 41, IPV6_V6ONLY: 27 },
      ...{ MSG_NOSIGNAL: 0, SCM_RIGHTS: 1, SHUT_WR: 1, F_SETFD: 2, F_GETFL: 3, F_SETFL: 4, FD_CLOEXEC: 1 },
      ...{ O_NONBLOCK: 4, MAP_ANONYMOUS: 0x1000, MAP_SHARED: 1, MAP_PRIVATE: 2, MAP_FIXED: 0x10, F_PUNCHHOLE: 99 },
    });
  });

  it('an address begins with its length and family', () => {
    expect(encodeAddress('1.2.3.4', 0x1234).toString('hex')).toBe(`1002${'1234'}01020304${'00'.repeat(8)}`);
    expect(encodeAddress('::1', 80).toString('hex')).toBe(`1c1e${'0050'}${'00'.repeat(19)}01${'00'.repeat(4)}`);
    expect(decodeAddress(encodeAddress('1.2.3.4', 1))).toEqual({ address: '1.2.3.4', port: 1, family: 4 });
    expect(decodeAddress(encodeAddress('::1', 1))).toEqual({ address: '::1', port: 1, family: 6 });
    expect(encodeUnixAddress('/a').subarray(0, 5).toString('hex')).toBe('6a012f6100');
    expect(decodePeer(encodeUnixAddress('/a'))).toEqual({ address: '/a', port: 0 });
    expect(() => encodeUnixAddress('/'.repeat(104))).toThrow(/less than 104 bytes/);
  });

  it('a socket gets its flags one by one', () => {
    system.results['socket'] = () => 7;
    expect(S.bindTcp('127.0.0.1', 80, true)).toBe(7);
    expect(called()).toEqual([
      ['socket', 2, 1, 0],
      ...flagsOf(7),
      ['setsockopt', 7, 0xffff, 0x1022, 4], // no SIGPIPE
      ['setsockopt', 7, 0xffff, 4, 4],
      ['setsockopt', 7, 0xffff, 0x200, 4],
      ['bind', 7, 16],
    ]);
    system.results['accept'] = () => 8;
    expect(S.accept(7, Buffer.alloc(28))).toBe(8);
    expect(called()).toEqual([['accept', 7], ...flagsOf(8)]);
    system.results['accept'] = () => -1;
    expect(S.accept(7, Buffer.alloc(28))).toBe(-35);
    expect(called()).toEqual([['accept', 7]]);
  });

  it('only some settings of TCP are there, and nobody knows what a peer has acknowledged', () => {
    const settings = { deferAccept: true, fastOpen: 5, userTimeoutMs: 1000, keepAliveCount: 3 };
    S.setTcpSettings(7, { ...settings, keepAliveIdleMs: 1000, keepAliveIntervalMs: 1000 });
    expect(called().map(([, , , name]) => name)).toEqual([0x10, 0x101, 0x102, 0x105]);
    expect([S.acknowledgedBytes(7), S.hasPeerEnded(7), hasSendfile]).toEqual([-1, false, false]);
  });

  it('a socket from outside is known by the family in its second byte', () => {
    const socket = (family: number, type: number) => {
      system.results['getsockname'] = (_fd: number, into: Buffer, length: Buffer) => {
        const address = family === 1 ? encodeUnixAddress('/a') : encodeAddress('::1', 80);
        length.writeUInt32LE(address.copy(into));
        return 0;
      };
      system.results['getsockopt'] = (_fd: number, _level: number, _name: number, into: Buffer) => {
        into.writeInt32LE(type);
        return 0;
      };
      return S.adoptSocket(3);
    };
    expect(socket(1, 1)).toEqual({ descriptor: 3, type: 'unix', host: '', port: 0, path: '/a' });
    expect(socket(30, 2)).toEqual({ descriptor: 3, type: 'udp', host: '::1', port: 80, path: '' });
  });

  it('a doorbell is a pipe', () => {
    system.results['pipe'] = (pair: Buffer) => {
      pair.writeInt32LE(5, 0);
      pair.writeInt32LE(6, 4);
      return 0;
    };
    const bell = createDoorbell();
    expect(bell).toEqual({ read: 5, write: 6 });
    expect(called().slice(1)).toEqual(
      [5, 6].flatMap((end) => [
        ['fcntl', end, 4, 4],
        ['fcntl', end, 2, 1],
      ]),
    );
    ringDoorbell(bell);
    clearDoorbell(bell);
    expect(called()).toEqual([
      ['write', 6, 4096, 1],
      ['read', 5, 4096, 64],
    ]);
  });

  it('a user at the other end is asked for by getpeereid', () => {
    system.results['getpeereid'] = (_fd: number, uid: Buffer) => {
      uid.writeUInt32LE(501);
      return 0;
    };
    expect(peerUid(7)).toBe(501);
    system.results['getpeereid'] = () => -1;
    expect(peerUid(7)).toBeUndefined();
  });

  it('shared memory is a file that has no name any more, and holes are punched by fcntl', () => {
    const descriptor = createSharedFile('tswoole', 100);
    expect([PAGE_BYTES, fstatSync(descriptor).nlink, called()]).toEqual([16_384, 0, [['ftruncate', descriptor, 100]]]);
    closeSync(descriptor);
    punchHole(7, 0x4000, 0x8000);
    const [, , what, hole] = system.calls[0] as [string, number, number, Buffer];
    // struct fpunchhole: flags, reserved, offset, length
    expect([what, hole.length, hole.readBigInt64LE(0), hole.readBigInt64LE(8), hole.readBigInt64LE(16)]).toEqual([
      ...[99, 24, 0n, 0x4000n, 0x8000n],
    ]);
  });

  it('descriptors travel in a control message of 4-byte fields', () => {
    createMessagePair();
    expect(called()).toEqual([['socketpair', 1, 2, 0], ...flagsOf(0), ...flagsOf(0)]);
    const message = new DescriptorMessage();
    expect(message.send(7, 3, 9)).toBe(true);
    expect(called()).toEqual([['sendmsg', 7, 4096, 0]]);
    system.results['recvmsg'] = () => 3;
    expect(message.receive(7)).toEqual({ length: 3, descriptor: -1 });
    expect(called()).toEqual([['recvmsg', 7, 4096, 0]]);
  });

  it('threads have no names, orphans go to init, and all cores are allowed', () => {
    setThreadName('x');
    becomeSubreaper();
    runOnCore(1);
    expect([findEndedChild(), allowedCores(), called()]).toEqual([0, [], []]);
  });

  it('descriptors are watched by the event loop, one by one', () => {
    const handler = { ready() {}, turnEnd() {} };
    const poller = createPoller('auto', handler);
    poller.close();
    expect(poller.name).toBe('poll');
  });

  it('another process is known by ps', () => {
    const ps = vi.mocked(spawnSync);
    ps.mockReturnValue({ status: 0, stdout: 'Mon Jan  1 00:00:00 2024    \n' } as never);
    expect(processStartTime(42)).toBe('Mon Jan  1 00:00:00 2024');
    expect(ps).toHaveBeenCalledWith('ps', ['-o', 'lstart=', '-p', '42'], { encoding: 'utf8' });
    ps.mockReturnValue({ status: 1, stdout: '' } as never);
    expect(processStartTime(42)).toBeUndefined();
    expect(processUsage(42)).toBeUndefined();
  });
});
