/** Memory shared by processes: a mapped anonymous file. Children inherit the descriptor through spawn's `stdio`. */
import { fstatSync, openSync, unlinkSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import * as C from './constants.js';
import { check, EINTR, isLinux, lastErrno, libc, syscallError, viewMemory } from './libc.js';

/** Offsets and lengths of mappings are multiples of this on every platform we run on (arm64 macOS has 16 KiB pages). */
export const PAGE_BYTES = isLinux ? 4096 : 16384;

const CANNOT_ALLOCATE = constants.errno.EOPNOTSUPP;

export interface MappedRing {
  /** `2 × size` bytes: byte `i` and byte `i + size` are the same memory. */
  readonly buffer: ArrayBuffer;
  readonly address: number;
}

/** @returns a descriptor of `bytes` zeroed bytes, shared by every process that maps it and freed with the last one */
export function createSharedFile(name: string, bytes: number): number {
  const descriptor = isLinux ? check(libc.memfd_create(name, C.MFD_CLOEXEC), 'memfd_create') : unlinkedFile(name);
  check(libc.ftruncate(descriptor, bytes), 'ftruncate');
  return descriptor;
}

/** Frees the pages of that range, which then reads as zeros. Both numbers are multiples of the page size. */
export function punchHole(descriptor: number, offset: number, bytes: number): void {
  if (isLinux) {
    check(libc.fallocate(descriptor, C.FALLOC_FL_PUNCH_HOLE | C.FALLOC_FL_KEEP_SIZE, offset, bytes), 'fallocate');
    return;
  }
  const hole = Buffer.alloc(24);
  hole.writeBigInt64LE(BigInt(offset), 8);
  hole.writeBigInt64LE(BigInt(bytes), 16);
  libc.fcntlWith(descriptor, C.F_PUNCHHOLE, hole);
}

/**
 * Gives the file at least this length, and blocks of the disk for all of it where the file system can (Linux): a mapped page
 * that finds no block when it is written ends the process (SIGBUS).
 * @throws SyscallError ENOSPC, EDQUOT, EFBIG
 */
export function reserve(descriptor: number, bytes: number): void {
  if (fstatSync(descriptor).size < bytes) check(libc.ftruncate(descriptor, bytes), 'ftruncate');
  while (isLinux && libc.fallocate(descriptor, 0, 0, bytes) !== 0) {
    const errno = lastErrno();
    if (errno === CANNOT_ALLOCATE) return;
    if (errno !== EINTR) throw syscallError(errno, 'fallocate');
  }
}

function unlinkedFile(name: string): number {
  const path = join(tmpdir(), `${name}-${process.pid}-${Date.now()}`);
  const descriptor = openSync(path, 'wx+', 0o600);
  unlinkSync(path);
  return descriptor;
}

/** Part of a file that is mapped. */
interface FilePart {
  readonly descriptor: number;
  readonly offset: number;
}

const NO_FILE: FilePart = { descriptor: -1, offset: 0 };

function mapAt(address: number, bytes: number, protection: number, flags: number, of: FilePart): number {
  const mapped = Number(libc.mmap(address, bytes, protection, flags, of.descriptor, of.offset));
  if (mapped === -1) throw syscallError(lastErrno(), 'mmap');
  return mapped;
}

export function mapShared(descriptor: number, offset: number, bytes: number): ArrayBuffer {
  return viewMemory(mapAt(0, bytes, C.PROT_READ_WRITE, C.MAP_SHARED, { descriptor, offset }), bytes);
}

/**
 * Maps the same bytes twice in a row. So a frame is always one contiguous range, even across the end of the ring: for
 * JavaScript as well as for recv(2) and send(2).
 */
export function mapRing(descriptor: number, offset: number, bytes: number): MappedRing {
  const address = mapAt(0, bytes * 2, C.PROT_NONE, C.MAP_PRIVATE | C.MAP_ANONYMOUS, NO_FILE);
  for (const place of [address, address + bytes]) {
    mapAt(place, bytes, C.PROT_READ_WRITE, C.MAP_SHARED | C.MAP_FIXED, { descriptor, offset });
  }
  return { buffer: viewMemory(address, bytes * 2), address };
}
