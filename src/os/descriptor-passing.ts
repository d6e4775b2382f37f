/**
 * Passes descriptors from one process to another: SCM_RIGHTS over a pair of unix sockets that preserve message
 * boundaries (unix(7), cmsg(3)).
 */
import * as C from './constants.js';
import { addressOf, allocateStable, check, EAGAIN, ENOBUFS, isLinux, lastErrno, libc, syscallError } from './libc.js';
import { makeNonBlocking } from './socket.js';

/** More descriptors are in flight than this user may have open (Linux). */
const ETOOMANYREFS = 109;
/** One message at most. */
export const LONGEST_MESSAGE = 60_000;

/** struct msghdr and struct cmsghdr with room for one descriptor; 64-bit Linux and macOS differ in both. */
const at = isLinux
  ? { iov: 16, iovCount: 24, control: 32, controlBytes: 40, headerBytes: 56, level: 8, type: 12, descriptor: 16 }
  : { iov: 16, iovCount: 24, control: 32, controlBytes: 40, headerBytes: 48, level: 4, type: 8, descriptor: 12 };
const CONTROL_LENGTH = at.descriptor + 4;
const CONTROL_ROOM = isLinux ? 24 : 16;

/** @returns both ends; each may be passed to other processes */
export function createMessagePair(): [number, number] {
  const pair = Buffer.alloc(8);
  const kind = isLinux ? C.SOCK_SEQPACKET | C.SOCK_NONBLOCK | C.SOCK_CLOEXEC : C.SOCK_DGRAM;
  check(libc.socketpair(C.AF_UNIX, kind, 0, pair), 'socketpair');
  const ends: [number, number] = [pair.readInt32LE(0), pair.readInt32LE(4)];
  if (!isLinux) for (const end of ends) makeNonBlocking(end);
  return ends;
}

/** One message at a time, in memory that does not move. */
export class DescriptorMessage {
  /** The bytes to send, or those received. */
  readonly bytes = allocateStable(LONGEST_MESSAGE);
  readonly #header = allocateStable(at.headerBytes);
  readonly #iov = allocateStable(16);
  readonly #control = allocateStable(CONTROL_ROOM);

  constructor() {
    this.#iov.writeBigUInt64LE(BigInt(addressOf(this.bytes)), 0);
    this.#header.writeBigUInt64LE(BigInt(addressOf(this.#iov)), at.iov);
    this.#header.writeUInt32LE(1, at.iovCount);
  }

  /** @param descriptor −1: none @returns false when the other side has to read first @throws SyscallError */
  send(channel: number, length: number, descriptor: number): boolean {
    this.#iov.writeBigUInt64LE(BigInt(length), 8);
    this.#setControl(descriptor < 0 ? 0 : CONTROL_ROOM);
    const control = this.#control.fill(0);
    control.writeUInt32LE(CONTROL_LENGTH, 0);
    control.writeInt32LE(C.SOL_SOCKET, at.level);
    control.writeInt32LE(C.SCM_RIGHTS, at.type);
    control.writeInt32LE(descriptor, at.descriptor);
    const n = libc.sendmsg(channel, addressOf(this.#header), C.MSG_NOSIGNAL);
    if (n >= 0) return true;
    const errno = lastErrno();
    if (errno !== EAGAIN && errno !== ENOBUFS && errno !== ETOOMANYREFS) throw syscallError(errno, 'sendmsg');
    return false;
  }

  /** @returns undefined when no message waits, or the other end has closed; `descriptor` is −1 when none was passed */
  receive(channel: number): { length: number; descriptor: number } | undefined {
    this.#iov.writeBigUInt64LE(BigInt(LONGEST_MESSAGE), 8);
    this.#setControl(CONTROL_ROOM);
    this.#control.fill(0);
    const length = libc.recvmsg(channel, addressOf(this.#header), isLinux ? C.MSG_CMSG_CLOEXEC : 0);
    if (length <= 0) return undefined;
    const came = this.#control.readUInt32LE(0) >= CONTROL_LENGTH;
    const descriptor = came ? this.#control.readInt32LE(at.descriptor) : -1;
    if (came && !isLinux) makeNonBlocking(descriptor);
    return { length, descriptor };
  }

  #setControl(length: number): void {
    this.#header.writeBigUInt64LE(length === 0 ? 0n : BigInt(addressOf(this.#control)), at.control);
    this.#header.writeUInt32LE(length, at.controlBytes);
  }
}
