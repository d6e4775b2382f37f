/** TCP sockets, all non-blocking and close-on-exec. */
import {
  decodeAddress,
  decodePeer,
  encodeAddress,
  encodeUnixAddress,
  isIPv6,
  LONGEST_SOCKADDR_BYTES,
  SOCKADDR_BYTES,
  type SocketAddress,
} from './address.js';
import * as C from './constants.js';
import {
  addressOf,
  allocateStable,
  check,
  EAGAIN,
  EINPROGRESS,
  EMSGSIZE,
  EPROTOTYPE,
  isLinux,
  lastErrno,
  libc,
  pin,
  syscallError,
} from './libc.js';

const one = Buffer.from([1, 0, 0, 0]);

function setFlag(descriptor: number, level: number, option: number): void {
  check(libc.setsockopt(descriptor, level, option, one, 4), 'setsockopt');
}

/** Node makes pipes of standard output and error non-blocking; other writers of the same pipe do not expect it. */
export function makeBlocking(descriptor: number): void {
  const flags = libc.fcntl(descriptor, C.F_GETFL, 0);
  if (flags >= 0) libc.fcntl(descriptor, C.F_SETFL, flags & ~C.O_NONBLOCK);
}

/** Close-on-exec too. */
export function makeNonBlocking(descriptor: number): void {
  const flags = check(libc.fcntl(descriptor, C.F_GETFL, 0), 'fcntl');
  check(libc.fcntl(descriptor, C.F_SETFL, flags | C.O_NONBLOCK), 'fcntl');
  check(libc.fcntl(descriptor, C.F_SETFD, C.FD_CLOEXEC), 'fcntl');
}

function openSocket(family: number, kind: number): number {
  if (isLinux) return check(libc.socket(family, kind | C.SOCK_NONBLOCK | C.SOCK_CLOEXEC, 0), 'socket');
  const descriptor = check(libc.socket(family, kind, 0), 'socket');
  makeNonBlocking(descriptor);
  setFlag(descriptor, C.SOL_SOCKET, C.SO_NOSIGPIPE);
  return descriptor;
}

function openStream(family: number): number {
  return openSocket(family, C.SOCK_STREAM);
}

/** Binds a newly opened socket; closes it on failure. */
function bindTo(descriptor: number, address: Buffer, prepare: () => void = () => {}): number {
  try {
    prepare();
    check(libc.bind(descriptor, address, address.length), 'bind');
    return descriptor;
  } catch (error) {
    libc.close(descriptor);
    throw error;
  }
}

/** IPv6 addresses other than `::` leave IPv4 to other sockets. */
function keepToIPv6(descriptor: number, host: string): void {
  if (isIPv6(host) && host !== '::') setFlag(descriptor, C.IPPROTO_IPV6, C.IPV6_V6ONLY);
}

const familyOf = (host: string): number => (isIPv6(host) ? C.AF_INET6 : C.AF_INET);

/**
 * A bound TCP socket that does not listen yet: connecting to it is refused until `listen`.
 * @param reusePort this user's other sockets may bind the same address; the kernel spreads clients @throws SyscallError
 */
export function bindTcp(host: string, port: number, reusePort = false): number {
  const descriptor = openStream(familyOf(host));
  return bindTo(descriptor, encodeAddress(host, port), () => {
    setFlag(descriptor, C.SOL_SOCKET, C.SO_REUSEADDR);
    if (reusePort) setFlag(descriptor, C.SOL_SOCKET, C.SO_REUSEPORT);
    keepToIPv6(descriptor, host);
  });
}

/** A bound UDP socket, which receives datagrams from now on. @throws SyscallError */
export function bindUdp(host: string, port: number, reusePort = false): number {
  const descriptor = openSocket(familyOf(host), C.SOCK_DGRAM);
  return bindTo(descriptor, encodeAddress(host, port), () => {
    if (reusePort) setFlag(descriptor, C.SOL_SOCKET, C.SO_REUSEPORT);
    keepToIPv6(descriptor, host);
  });
}

/** A bound unix socket; creates the file at `path`. @throws SyscallError, RangeError */
export function bindUnix(path: string, kind: 'stream' | 'datagram'): number {
  const address = encodeUnixAddress(path);
  return bindTo(openSocket(C.AF_UNIX, kind === 'stream' ? C.SOCK_STREAM : C.SOCK_DGRAM), address);
}

/** A datagram socket without a name, for sending only. @throws SyscallError */
export function openUnixDatagram(): number {
  return openSocket(C.AF_UNIX, C.SOCK_DGRAM);
}

/** True when a process listens on the unix socket's file. */
export function isUnixServed(path: string, kind: 'stream' | 'datagram'): boolean {
  const address = encodeUnixAddress(path);
  const descriptor = openSocket(C.AF_UNIX, kind === 'stream' ? C.SOCK_STREAM : C.SOCK_DGRAM);
  const failed = libc.connect(descriptor, address, address.length) < 0;
  const errno = failed ? lastErrno() : 0;
  libc.close(descriptor);
  return !failed || errno === EAGAIN || errno === EPROTOTYPE;
}

const peerLength = pin(allocateStable(4));

/**
 * Receives one datagram and writes its sender's address to `sockaddrAddress` (room for `LONGEST_SOCKADDR_BYTES`).
 * @returns bytes, or the negative error number; `lengthOfSender` has the length of the address
 */
export function receiveFrom(descriptor: number, address: number, length: number, sockaddrAddress: number): number {
  peerLength.buffer.writeUInt32LE(LONGEST_SOCKADDR_BYTES, 0);
  const n = libc.recvfrom(descriptor, address, length, 0, sockaddrAddress, peerLength.address);
  return n < 0 ? -lastErrno() : n;
}

/** Bytes of the sender's address of the last datagram received. */
export function lengthOfSender(): number {
  return Math.min(peerLength.buffer.readUInt32LE(0), LONGEST_SOCKADDR_BYTES);
}

/** Copying is cheaper than passing a buffer to the kernel's interface: 0.2 µs each (Node 20). */
const outgoing = pin(allocateStable(65_536));
const outgoingAddress = pin(allocateStable(LONGEST_SOCKADDR_BYTES));

/** @returns bytes the kernel took, or the negative error number */
export function sendTo(descriptor: number, data: Uint8Array, sockaddr: Buffer): number {
  const { length } = data;
  if (length > outgoing.buffer.length) return -EMSGSIZE;
  outgoing.buffer.set(data);
  outgoingAddress.buffer.set(sockaddr);
  const n = libc.sendto(descriptor, outgoing.address, length, C.MSG_NOSIGNAL, outgoingAddress.address, sockaddr.length);
  return n < 0 ? -lastErrno() : n;
}

/** 0 and false: the system's setting. Times in ms; the kernel counts some of them in seconds, at least one. */
export interface TcpSettings {
  readonly deferAccept: boolean;
  readonly fastOpen: number;
  readonly userTimeoutMs: number;
  readonly keepAliveIdleMs: number;
  readonly keepAliveIntervalMs: number;
  readonly keepAliveCount: number;
}

/** How long the kernel keeps a client that sends nothing, with `deferAccept`. */
const DEFER_SECONDS = 10;

/** Sets them on a listening socket; accepted sockets inherit them. @throws SyscallError */
export function setTcpSettings(descriptor: number, settings: TcpSettings): void {
  const seconds = (ms: number): number => Math.ceil(ms / 1000);
  const set = (option: number, value: number): void => {
    if (value > 0) setNumber(descriptor, C.IPPROTO_TCP, option, value);
  };
  set(C.TCP_KEEPIDLE, seconds(settings.keepAliveIdleMs));
  set(C.TCP_KEEPINTVL, seconds(settings.keepAliveIntervalMs));
  set(C.TCP_KEEPCNT, settings.keepAliveCount);
  set(C.TCP_FASTOPEN, settings.fastOpen);
  if (!isLinux) return;
  set(C.TCP_DEFER_ACCEPT, settings.deferAccept ? DEFER_SECONDS : 0);
  set(C.TCP_USER_TIMEOUT, settings.userTimeoutMs);
}

function setNumber(descriptor: number, level: number, option: number, value: number): void {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  check(libc.setsockopt(descriptor, level, option, bytes, 4), 'setsockopt');
}

/** A socket this process was started with. */
export interface AdoptedSocket {
  readonly descriptor: number;
  readonly type: 'tcp' | 'udp' | 'unix' | 'unix-dgram';
  /** An IP address; empty for a unix socket. */
  readonly host: string;
  readonly port: number;
  /** Of a unix socket; empty otherwise. */
  readonly path: string;
}

/** Makes it non-blocking and close-on-exec. @throws SyscallError when it is not a socket */
export function adoptSocket(descriptor: number): AdoptedSocket {
  const sockaddr = Buffer.alloc(LONGEST_SOCKADDR_BYTES);
  scratchLength.writeUInt32LE(sockaddr.length, 0);
  check(libc.getsockname(descriptor, sockaddr, scratchLength), 'getsockname');
  const { address, port } = decodePeer(sockaddr.subarray(0, scratchLength.readUInt32LE(0)));
  scratchLength.writeUInt32LE(4, 0);
  check(libc.getsockopt(descriptor, C.SOL_SOCKET, C.SO_TYPE, scratchValue, scratchLength), 'getsockopt');
  const isStream = scratchValue.readInt32LE(0) === C.SOCK_STREAM;
  makeNonBlocking(descriptor);
  const family = isLinux ? sockaddr.readUInt16LE(0) : (sockaddr[1] ?? 0);
  if (family === C.AF_UNIX) {
    return { descriptor, type: isStream ? 'unix' : 'unix-dgram', host: '', port: 0, path: address };
  }
  return { descriptor, type: isStream ? 'tcp' : 'udp', host: address, port, path: '' };
}

export function listen(descriptor: number, backlog: number): void {
  check(libc.listen(descriptor, backlog), 'listen');
}

/** Starts a connection, which is complete once the descriptor is writable and `socketError` is 0. @throws SyscallError */
export function connectTcp(host: string, port: number): number {
  const descriptor = openStream(familyOf(host));
  const address = encodeAddress(host, port);
  if (libc.connect(descriptor, address, address.length) < 0) {
    const errno = lastErrno();
    if (errno !== EINPROGRESS) {
      libc.close(descriptor);
      throw syscallError(errno, 'connect');
    }
  }
  return descriptor;
}

const scratchLength = Buffer.alloc(4);
const scratchValue = Buffer.alloc(4);

/** SO_ERROR: the pending error number of a socket, 0 for none. Reading it clears it. */
export function socketError(descriptor: number): number {
  scratchLength.writeUInt32LE(4, 0);
  check(libc.getsockopt(descriptor, C.SOL_SOCKET, C.SO_ERROR, scratchValue, scratchLength), 'getsockopt');
  return scratchValue.readInt32LE(0);
}

/** The place of tcpi_bytes_acked in struct tcp_info (Linux 4.1), and how much of the structure is requested. */
const BYTES_ACKED_AT = 120;
const TCP_INFO_BYTES = 128;
/** `tcpi_state`, the first byte (tcp_states.h). */
const TCP_CLOSE = 7;
const TCP_CLOSE_WAIT = 8;
const tcpInfo = Buffer.alloc(TCP_INFO_BYTES);

/**
 * How many bytes the peer has acknowledged since it connected: the number grows while the peer reads, however slowly.
 * @returns −1 where the kernel does not know (not TCP, not Linux)
 */
export function acknowledgedBytes(descriptor: number): number {
  if (!isLinux) return -1;
  scratchLength.writeUInt32LE(TCP_INFO_BYTES, 0);
  if (libc.getsockopt(descriptor, C.IPPROTO_TCP, C.TCP_INFO, tcpInfo, scratchLength) < 0) return -1;
  return scratchLength.readUInt32LE(0) < TCP_INFO_BYTES ? -1 : Number(tcpInfo.readBigUInt64LE(BYTES_ACKED_AT));
}

/** True when the peer has ended its side or is gone, even with unread bytes; false where the kernel does not know. */
export function hasPeerEnded(descriptor: number): boolean {
  return acknowledgedBytes(descriptor) >= 0 && (tcpInfo[0] === TCP_CLOSE || tcpInfo[0] === TCP_CLOSE_WAIT);
}

const pollfd = allocateStable(8); // struct pollfd
const POLLFD_REVENTS_AT = 6;

/**
 * The socket cannot be written any more: a reset, or a unix socket's close. Known on Linux only: elsewhere poll(2) says the
 * same of a peer that has ended its side and still reads.
 */
export function isBroken(descriptor: number): boolean {
  if (!isLinux) return false;
  pollfd.writeInt32LE(descriptor, 0);
  return libc.poll(pollfd, 1, 0) > 0 && (pollfd.readInt16LE(POLLFD_REVENTS_AT) & (C.POLLHUP | C.POLLERR)) !== 0;
}

export function localAddress(descriptor: number): SocketAddress {
  const sockaddr = Buffer.alloc(SOCKADDR_BYTES);
  scratchLength.writeUInt32LE(SOCKADDR_BYTES, 0);
  check(libc.getsockname(descriptor, sockaddr, scratchLength), 'getsockname');
  return decodeAddress(sockaddr);
}

/**
 * Takes one connection from the backlog.
 * @param sockaddr receives the peer's address (`SOCKADDR_BYTES`)
 * @returns the descriptor, or the negative error number (−EAGAIN: no connection waits)
 */
export function accept(listener: number, sockaddr: Buffer): number {
  scratchLength.writeUInt32LE(SOCKADDR_BYTES, 0);
  if (isLinux) {
    const descriptor = libc.accept4(listener, sockaddr, scratchLength, C.SOCK_NONBLOCK | C.SOCK_CLOEXEC);
    return descriptor < 0 ? -lastErrno() : descriptor;
  }
  const descriptor = libc.accept(listener, sockaddr, scratchLength);
  if (descriptor < 0) return -lastErrno();
  makeNonBlocking(descriptor);
  return descriptor;
}

export function setNoDelay(descriptor: number): void {
  libc.setsockopt(descriptor, C.IPPROTO_TCP, C.TCP_NODELAY, one, 4);
}

export function setKeepAlive(descriptor: number): void {
  libc.setsockopt(descriptor, C.SOL_SOCKET, C.SO_KEEPALIVE, one, 4);
}

/** @returns bytes read (0: the peer has ended its side), or the negative error number */
export function receive(descriptor: number, address: number, length: number): number {
  const n = libc.recv(descriptor, address, length, 0);
  return n < 0 ? -lastErrno() : n;
}

/** @returns bytes the kernel took, or the negative error number */
export function send(descriptor: number, address: number, length: number): number {
  const n = libc.send(descriptor, address, length, C.MSG_NOSIGNAL);
  return n < 0 ? -lastErrno() : n;
}

/** As `send`; what the socket does not take now it does not take, also where it blocks. */
export function sendAtOnce(descriptor: number, bytes: Buffer): number {
  const n = libc.send(descriptor, addressOf(bytes), bytes.length, C.MSG_NOSIGNAL | C.MSG_DONTWAIT);
  return n < 0 ? -lastErrno() : n;
}

export function shutdownWrite(descriptor: number): void {
  libc.shutdown(descriptor, C.SHUT_WR);
}

export function closeDescriptor(descriptor: number): void {
  libc.close(descriptor);
}

/** @returns another descriptor of the same socket, which children do not get; −1: there is none left */
export function copyDescriptor(descriptor: number): number {
  return libc.fcntl(descriptor, C.F_DUPFD_CLOEXEC, 0);
}

const lingerZero = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]);

/** Closes with RST: unsent bytes are dropped, and the peer sees the reset. */
export function resetConnection(descriptor: number): void {
  resetOnClose(descriptor);
  libc.close(descriptor);
}

/** The same, when its owner closes it. */
export function resetOnClose(descriptor: number): void {
  libc.setsockopt(descriptor, C.SOL_SOCKET, C.SO_LINGER, lingerZero, 8);
}

/** Children do not get it. */
export function closeOnExec(descriptor: number): void {
  libc.fcntl(descriptor, C.F_SETFD, C.FD_CLOEXEC);
}
