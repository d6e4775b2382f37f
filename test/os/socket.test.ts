import { closeSync, existsSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { decodeAddress, decodePeer, encodeAddress, LONGEST_SOCKADDR_BYTES } from '../../src/os/address.js';
import { closeFile, openFile, readFileAt, sendFile } from '../../src/os/file.js';
import { addressOf, allocateStable, EAGAIN, EMSGSIZE, errnoOf, libc } from '../../src/os/libc.js';
import { peerUid } from '../../src/os/peer.js';
import * as S from '../../src/os/socket.js';

const space = allocateStable(70_000);
const address = addressOf(space);
const opened = new Set<number>();
const folders: string[] = [];
afterEach(() => {
  for (const descriptor of opened) S.closeDescriptor(descriptor);
  opened.clear();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

const keep = (descriptor: number): number => {
  expect(descriptor).toBeGreaterThan(2);
  opened.add(descriptor);
  return descriptor;
};
const close = (descriptor: number): void => {
  opened.delete(descriptor);
  S.closeDescriptor(descriptor);
};
const path = (): string => {
  folders.push(mkdtempSync(join(tmpdir(), 'socket-')));
  return join(folders.at(-1) as string, 'it');
};

/** Both ends of a connection; the client is in the backlog when connect(2) has returned. */
function pair(host = '127.0.0.1'): { listener: number; port: number; client: number; server: number; peer: Buffer } {
  const listener = keep(S.bindTcp(host, 0));
  S.listen(listener, 10);
  const { port } = S.localAddress(listener);
  const client = keep(S.connectTcp(host, port));
  const peer = Buffer.alloc(28);
  const server = keep(S.accept(listener, peer));
  return { listener, port, client, server, peer };
}

function put(text: string): number {
  return space.write(text);
}

function option(descriptor: number, level: number, name: number): number {
  const [value, length] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32LE(4);
  expect(libc.getsockopt(descriptor, level, name, value, length)).toBe(0);
  return value.readInt32LE(0);
}

/** fcntl(2): F_GETFD, F_GETFL. */
const closesOnExec = (descriptor: number): boolean => libc.fcntl(descriptor, 1, 0) === 1;
const isNonBlocking = (descriptor: number): boolean => (libc.fcntl(descriptor, 3, 0) & 0x800) !== 0;
const onLinux = process.platform === 'linux';

describe('a TCP socket', () => {
  it.each(['127.0.0.1', '::1'])('is bound to %s, listens, and knows who has come', (host) => {
    const { listener, port, client, server, peer } = pair(host);
    expect(S.localAddress(listener)).toMatchObject({ address: host, port });
    expect(decodeAddress(peer)).toMatchObject({ address: host, port: S.localAddress(client).port });
    expect(S.localAddress(server)).toMatchObject({ address: host, port });
    expect(S.accept(listener, Buffer.alloc(28))).toBe(-EAGAIN);
  });

  it.runIf(onLinux)('never blocks, and no child gets it', () => {
    const { listener, client, server } = pair();
    for (const descriptor of [listener, client, server]) {
      expect([isNonBlocking(descriptor), closesOnExec(descriptor)]).toEqual([true, true]);
    }
  });

  it('carries bytes, tells the end of a side, and errors as negative numbers', () => {
    const { client, server } = pair();
    expect(S.receive(server, address, 10)).toBe(-EAGAIN);
    expect(S.send(client, address, put('hello'))).toBe(5);
    space.fill(0);
    expect(S.receive(server, address, 3)).toBe(3);
    expect(S.receive(server, address + 3, 10)).toBe(2);
    expect(space.toString('latin1', 0, 5)).toBe('hello');
    S.shutdownWrite(client);
    expect(S.receive(server, address, 10)).toBe(0);
    expect(S.send(client, address, 1)).toBe(-errnoOf('EPIPE'));
    expect(S.receive(-1, address, 10)).toBe(-errnoOf('EBADF'));
  });

  it('refuses clients until it listens', () => {
    const listener = keep(S.bindTcp('127.0.0.1', 0));
    const { port } = S.localAddress(listener);
    // On loopback connect(2) may fail at once, or the socket knows.
    const outcome = (): string => {
      try {
        const client = keep(S.connectTcp('127.0.0.1', port));
        return S.socketError(client) === errnoOf('ECONNREFUSED') ? 'ECONNREFUSED' : 'connected';
      } catch (error) {
        return (error as { code: string }).code;
      }
    };
    expect(outcome()).toBe('ECONNREFUSED');
    S.listen(listener, 1);
    expect(outcome()).toBe('connected');
  });

  it('knows its error once', () => {
    const { client, server } = pair();
    expect(S.socketError(client)).toBe(0);
    opened.delete(server);
    S.resetConnection(server);
    expect(S.socketError(client)).toBe(errnoOf('ECONNRESET'));
    expect(S.socketError(client)).toBe(0);
    expect(() => S.socketError(-1)).toThrow(/getsockopt failed: EBADF/);
  });

  it('may be bound again at once by a server that follows, and not beside one that listens', () => {
    const { listener, port, client, server } = pair();
    expect(() => S.bindTcp('127.0.0.1', port)).toThrow(/bind failed: EADDRINUSE/);
    for (const descriptor of [server, client, listener]) close(descriptor); // ours waits in TIME_WAIT
    expect(S.localAddress(keep(S.bindTcp('127.0.0.1', port))).port).toBe(port);
  });

  it('shares its port with others that want to share it', () => {
    const first = keep(S.bindTcp('127.0.0.1', 0, true));
    S.listen(first, 1);
    const { port } = S.localAddress(first);
    S.listen(keep(S.bindTcp('127.0.0.1', port, true)), 1);
    expect(() => S.bindTcp('127.0.0.1', port)).toThrow(/EADDRINUSE/);
  });

  it('does not lose a descriptor where it cannot be bound', () => {
    const next = (): number => {
      const descriptor = openSync('/dev/null', 'r');
      closeSync(descriptor);
      return descriptor;
    };
    const before = next();
    expect(() => S.bindTcp('192.0.2.1', 0)).toThrow(/bind failed: EADDRNOTAVAIL/);
    expect(() => S.bindTcp('localhost', 0)).toThrow(TypeError);
    expect(next() - before).toBeLessThanOrEqual(1);
  });

  it('of IPv6 leaves IPv4 to others, unless it is bound to all', () => {
    const six = keep(S.bindTcp('::1', 0));
    expect(option(six, 41, onLinux ? 26 : 27)).toBe(1);
    const all = keep(S.bindTcp('::', 0));
    S.listen(all, 1);
    keep(S.connectTcp('127.0.0.1', S.localAddress(all).port));
    const peer = Buffer.alloc(28);
    keep(S.accept(all, peer));
    expect(decodeAddress(peer).address).toBe('127.0.0.1');
  });

  it.runIf(onLinux)('has the settings it was given, in seconds rounded up', () => {
    const listener = keep(S.bindTcp('127.0.0.1', 0));
    const settings = { deferAccept: true, fastOpen: 5, userTimeoutMs: 1234, keepAliveCount: 3 };
    S.setTcpSettings(listener, { ...settings, keepAliveIdleMs: 1001, keepAliveIntervalMs: 3000 });
    const read = (name: number): number => option(listener, 6, name);
    // tcp(7): TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_FASTOPEN, TCP_USER_TIMEOUT
    expect([4, 5, 6, 23, 18].map(read)).toEqual([2, 3, 3, 5, 1234]);
    expect(read(9)).toBeGreaterThanOrEqual(10); // TCP_DEFER_ACCEPT: the kernel rounds up to retransmissions
    expect(read(9)).toBeLessThan(20);
  });

  it.runIf(onLinux)("leaves the system's settings where it was given none", () => {
    const [one, other] = [keep(S.bindTcp('127.0.0.1', 0)), keep(S.bindTcp('127.0.0.1', 0))];
    const none = { fastOpen: 0, userTimeoutMs: 0, keepAliveIdleMs: 0, keepAliveIntervalMs: 0, keepAliveCount: 0 };
    S.setTcpSettings(one, { deferAccept: false, ...none });
    for (const name of [4, 5, 6, 9, 18, 23]) expect(option(one, 6, name)).toBe(option(other, 6, name));
    expect(option(one, 6, 9)).toBe(0);
  });

  it('sends small pieces at once and looks for a peer that is gone, where it was told to', () => {
    const { client } = pair();
    const before = [option(client, 6, 1), option(client, onLinux ? 1 : 0xffff, onLinux ? 9 : 8)];
    S.setNoDelay(client);
    S.setKeepAlive(client);
    expect(before).toEqual([0, 0]);
    expect(option(client, 6, 1)).not.toBe(0);
    expect(option(client, onLinux ? 1 : 0xffff, onLinux ? 9 : 8)).not.toBe(0);
  });

  it.runIf(onLinux)('knows what its peer has acknowledged, and whether it has ended', () => {
    const { client, server, listener } = pair();
    expect([S.acknowledgedBytes(server), S.hasPeerEnded(server)]).toEqual([0, false]);
    S.send(server, address, 1000);
    expect(S.acknowledgedBytes(server)).toBe(1000); // the kernel of the loopback does it within send(2)
    S.send(client, address, 10); // not read by us
    S.shutdownWrite(client);
    expect(S.hasPeerEnded(server)).toBe(true);
    expect(S.hasPeerEnded(client)).toBe(false);
    expect(S.hasPeerEnded(listener)).toBe(false);
    opened.delete(server);
    S.resetConnection(server);
    expect(S.hasPeerEnded(client)).toBe(true);
    expect([S.acknowledgedBytes(-1), S.hasPeerEnded(-1)]).toEqual([-1, false]);
    expect(S.hasPeerEnded(keep(S.openUnixDatagram()))).toBe(false);
  });

  it('that is reset is no orderly end for its peer', () => {
    const { client, server } = pair();
    opened.delete(server);
    S.resetConnection(server);
    expect(S.receive(client, address, 10)).toBe(-errnoOf('ECONNRESET'));
  });
});

describe('flags of a descriptor', () => {
  it.runIf(onLinux)('are whether it blocks, and whether children get it', () => {
    const descriptor = keep(openSync('/dev/null', 'r'));
    S.makeNonBlocking(descriptor);
    expect([isNonBlocking(descriptor), closesOnExec(descriptor)]).toEqual([true, true]);
    libc.fcntl(descriptor, 2, 0);
    S.makeBlocking(descriptor);
    expect([isNonBlocking(descriptor), closesOnExec(descriptor)]).toEqual([false, false]);
    S.closeOnExec(descriptor);
    expect(closesOnExec(descriptor)).toBe(true);
    expect(() => S.makeNonBlocking(-1)).toThrow(/fcntl failed: EBADF/);
  });
});

describe('datagrams', () => {
  it('come with their sender over UDP', () => {
    const [one, other] = [keep(S.bindUdp('127.0.0.1', 0)), keep(S.bindUdp('127.0.0.1', 0))];
    const { port } = S.localAddress(one);
    const sender = allocateStable(LONGEST_SOCKADDR_BYTES);
    expect(S.receiveFrom(one, address, 10, addressOf(sender))).toBe(-EAGAIN);
    expect(S.sendTo(other, Buffer.from('hello'), encodeAddress('127.0.0.1', port))).toBe(5);
    expect(S.receiveFrom(one, address, 100, addressOf(sender))).toBe(5);
    expect(space.toString('latin1', 0, 5)).toBe('hello');
    expect(S.lengthOfSender()).toBe(16);
    expect(decodePeer(sender)).toMatchObject({ address: '127.0.0.1', port: S.localAddress(other).port });
    expect(S.receiveFrom(one, address, 100, addressOf(sender))).toBe(-EAGAIN);
  });

  it('share a port where all want to', () => {
    const first = keep(S.bindUdp('127.0.0.1', 0, true));
    const { port } = S.localAddress(first);
    keep(S.bindUdp('127.0.0.1', port, true));
    expect(() => S.bindUdp('127.0.0.1', port)).toThrow(/EADDRINUSE/);
    expect(option(keep(S.bindUdp('::1', 0)), 41, onLinux ? 26 : 27)).toBe(1);
  });

  it('are not longer than the protocol allows', () => {
    const one = keep(S.bindUdp('127.0.0.1', 0));
    const to = encodeAddress('127.0.0.1', S.localAddress(one).port);
    expect(S.sendTo(one, Buffer.alloc(65_537), to)).toBe(-EMSGSIZE); // ours
    expect(S.sendTo(one, Buffer.alloc(65_536), to)).toBe(-EMSGSIZE); // the kernel's
  });

  it('come over unix sockets, from a path or from nowhere', () => {
    const [here, there] = [path(), path()];
    const [one, other] = [keep(S.bindUnix(here, 'datagram')), keep(S.bindUnix(there, 'datagram'))];
    const sender = allocateStable(LONGEST_SOCKADDR_BYTES);
    const to = Buffer.alloc(LONGEST_SOCKADDR_BYTES);
    if (onLinux) to.writeUInt16LE(1, 0);
    else to[1] = 1;
    to.write(here, 2);
    expect(S.sendTo(other, Buffer.from('x'), to)).toBe(1);
    expect(S.receiveFrom(one, address, 10, addressOf(sender))).toBe(1);
    expect(decodePeer(sender.subarray(0, S.lengthOfSender())).address).toBe(there);
    expect(S.sendTo(keep(S.openUnixDatagram()), Buffer.from('y'), to)).toBe(1);
    expect(S.receiveFrom(one, address, 10, addressOf(sender))).toBe(1);
    expect(S.lengthOfSender()).toBeLessThanOrEqual(2); // it has no name to answer to
  });
});

describe('a unix socket', () => {
  it.each(['stream', 'datagram'] as const)('of a %s is served as long as a process has it', (kind) => {
    const file = path();
    expect(S.isUnixServed(file, kind)).toBe(false);
    const descriptor = keep(S.bindUnix(file, kind));
    if (kind === 'stream') S.listen(descriptor, 1);
    expect(existsSync(file)).toBe(true);
    expect(S.isUnixServed(file, kind)).toBe(true);
    expect(S.isUnixServed(file, kind === 'stream' ? 'datagram' : 'stream')).toBe(true); // somebody else's, of another kind
    close(descriptor);
    expect(S.isUnixServed(file, kind)).toBe(false);
    expect(() => S.bindUnix(file, kind)).toThrow(/EADDRINUSE/);
  });

  it('is served although its backlog is full', () => {
    const file = path();
    S.listen(keep(S.bindUnix(file, 'stream')), 0);
    for (let i = 0; i < 5; i++) expect(S.isUnixServed(file, 'stream')).toBe(true);
  });

  it('knows the user at its other end', () => {
    const ends = Buffer.alloc(8);
    libc.socketpair(1, 1, 0, ends);
    const [one, other] = [keep(ends.readInt32LE(0)), keep(ends.readInt32LE(4))];
    expect([peerUid(one), peerUid(other)]).toEqual([process.getuid?.(), process.getuid?.()]);
    expect(peerUid(-1)).toBeUndefined();
  });
});

describe('a socket that this process was started with', () => {
  it('is recognised', () => {
    const file = path();
    const blocking = (descriptor: number): number => {
      S.makeBlocking(descriptor);
      libc.fcntl(descriptor, 2, 0);
      return keep(descriptor);
    };
    const tcp = blocking(S.bindTcp('127.0.0.1', 0));
    const { port } = S.localAddress(tcp);
    const known = { host: '127.0.0.1', port, path: '' };
    expect(S.adoptSocket(tcp)).toEqual({ descriptor: tcp, type: 'tcp', ...known });
    if (onLinux) expect([isNonBlocking(tcp), closesOnExec(tcp)]).toEqual([true, true]);
    const udp = keep(S.bindUdp('::1', 0));
    expect(S.adoptSocket(udp)).toMatchObject({ type: 'udp', host: '::1', port: S.localAddress(udp).port, path: '' });
    const stream = keep(S.bindUnix(file, 'stream'));
    expect(S.adoptSocket(stream)).toEqual({ descriptor: stream, type: 'unix', host: '', port: 0, path: file });
    const datagram = keep(S.bindUnix(`${file}2`, 'datagram'));
    expect(S.adoptSocket(datagram)).toMatchObject({ type: 'unix-dgram', path: `${file}2` });
  });

  it('is refused where it is none', () => {
    const file = keep(openSync('/dev/null', 'r'));
    expect(() => S.adoptSocket(file)).toThrow(/getsockname failed: ENOTSOCK/);
  });
});

describe('a file', () => {
  const some = (): string => {
    const file = path();
    writeFileSync(file, '0123456789');
    return file;
  };

  it.runIf(onLinux)('is sent from any place, and at its end there is nothing to send', () => {
    const { client, server } = pair();
    const file = openFile(some());
    expect(sendFile(server, file, 2, 5)).toBe(5);
    expect(S.receive(client, address, 100)).toBe(5);
    expect(space.toString('latin1', 0, 5)).toBe('23456');
    expect(sendFile(server, file, 8, 5)).toBe(2);
    expect(sendFile(server, file, 10, 5)).toBe(0);
    close(client);
    expect(sendFile(-1, file, 0, 5)).toBe(-errnoOf('EBADF'));
    closeFile(file);
    expect(sendFile(server, file, 0, 5)).toBe(-errnoOf('EBADF'));
  });

  it('is read from any place', () => {
    const file = openFile(some());
    const into = Buffer.alloc(4);
    expect(readFileAt(file, into, 3, 8)).toBe(2);
    expect(into.toString('latin1')).toBe('89\0\0');
    expect(readFileAt(file, into, 3, 10)).toBe(0);
    closeFile(file);
    expect(() => openFile('/no/such/file')).toThrow(/ENOENT/);
  });
});
