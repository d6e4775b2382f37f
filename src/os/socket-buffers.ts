/** The kernel's buffers of a socket: their sizes, and what did not fit into them. */
import * as C from './constants.js';
import { isLinux, lastErrno, libc, syscallError } from './libc.js';

/** Bytes; 0: the system's setting. */
export interface SocketBuffers {
  readonly kernelReceiveBufferSize: number;
  readonly kernelSendBufferSize: number;
}

/** The kernel has given less than it was asked for. */
export interface Shortfall {
  readonly option: keyof SocketBuffers;
  readonly wanted: number;
  readonly granted: number;
}

interface Kind {
  readonly option: keyof SocketBuffers;
  readonly name: number;
  /** Above the system's limit: for processes with CAP_NET_ADMIN. Linux only. */
  readonly forced: number;
}

const kinds: readonly Kind[] = [
  { option: 'kernelReceiveBufferSize', name: C.SO_RCVBUF, forced: C.SO_RCVBUFFORCE },
  { option: 'kernelSendBufferSize', name: C.SO_SNDBUF, forced: C.SO_SNDBUFFORCE },
];

const value = Buffer.alloc(4);
const length = Buffer.alloc(4);

/** Of a socket that is bound, and does not listen yet: accepted ones inherit it. @throws SyscallError */
export function setSocketBuffers(descriptor: number, wanted: SocketBuffers): Shortfall[] {
  const short: Shortfall[] = [];
  for (const { option, name, forced } of kinds) {
    const bytes = wanted[option];
    if (bytes === 0) continue;
    value.writeInt32LE(bytes);
    const isForced = isLinux && libc.setsockopt(descriptor, C.SOL_SOCKET, forced, value, 4) === 0;
    // Linux gives as much as it may; others refuse what is too much, and leave it as it was.
    if (!isForced) libc.setsockopt(descriptor, C.SOL_SOCKET, name, value, 4);
    const granted = sizeOf(descriptor, name);
    if (granted < bytes) short.push({ option, wanted: bytes, granted });
  }
  return short;
}

/** Linux counts its own records of a packet in, and so doubles what it is given (socket(7)). */
function sizeOf(descriptor: number, name: number): number {
  length.writeInt32LE(4);
  if (libc.getsockopt(descriptor, C.SOL_SOCKET, name, value, length) < 0) throw syscallError(lastErrno(), 'getsockopt');
  return isLinux ? value.readInt32LE() / 2 : value.readInt32LE();
}

/** Datagrams that found no room in the kernel, since the start: of a listen port. */
export interface DatagramDrops {
  readonly port: number;
  readonly count: number;
}

/** Nine numbers, of which the last one counts dropped packets. */
const memory = Buffer.alloc(9 * 4);
const DROPS_AT = 8 * 4;

/** Packets for this socket that the kernel has dropped, because its receive buffer was full; 0 where nobody tells. */
export function droppedDatagrams(descriptor: number): number {
  if (!isLinux) return 0;
  length.writeInt32LE(memory.length);
  const failed = libc.getsockopt(descriptor, C.SOL_SOCKET, C.SO_MEMINFO, memory, length) < 0;
  return failed || length.readInt32LE() < memory.length ? 0 : memory.readUInt32LE(DROPS_AT);
}
