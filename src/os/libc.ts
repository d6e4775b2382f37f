/**
 * The C library, called directly through koffi. No other folder imports koffi.
 *
 * Hot calls take addresses as numbers (`uintptr_t`): base address + offset costs 537 ns for a 64-byte read where a
 * `Buffer.subarray` costs 734 ns (Node 20). Addresses are below 2^48, so a number holds them exactly.
 */
import { constants, platform } from 'node:os';
import { koffi } from './koffi.js';
import { SyscallError } from './syscall-error.js';

export const isLinux = platform() === 'linux';

const lib = koffi.load(isLinux ? null : '/usr/lib/libSystem.B.dylib');

/** Each binding is given its type by the table below. */
const bind = (prototype: string): unknown => lib.func(prototype);
const bindOnLinux = (prototype: string): unknown =>
  isLinux
    ? bind(prototype)
    : () => {
        throw new Error(`${prototype} exists on Linux only`);
      };

/** @returns undefined: this C library does not have it */
function bindWhereItIs(prototype: string): unknown {
  try {
    return bind(prototype);
  } catch {
    return undefined;
  }
}

type Call<A extends unknown[]> = (...args: A) => number;

export const libc = {
  socket: bind('int socket(int, int, int)') as Call<[number, number, number]>,
  setsockopt: bind('int setsockopt(int, int, int, const void *, uint32_t)') as Call<
    [number, number, number, Buffer, number]
  >,
  getsockopt: bind('int getsockopt(int, int, int, void *, void *)') as Call<[number, number, number, Buffer, Buffer]>,
  bind: bind('int bind(int, const void *, uint32_t)') as Call<[number, Buffer, number]>,
  listen: bind('int listen(int, int)') as Call<[number, number]>,
  connect: bind('int connect(int, const void *, uint32_t)') as Call<[number, Buffer, number]>,
  getsockname: bind('int getsockname(int, void *, void *)') as Call<[number, Buffer, Buffer]>,
  accept4: bindOnLinux('int accept4(int, void *, void *, int)') as Call<[number, Buffer, Buffer, number]>,
  accept: bind('int accept(int, void *, void *)') as Call<[number, Buffer, Buffer]>,
  fcntl: bind('int fcntl(int, int, int)') as Call<[number, number, number]>,
  fcntlWith: bind('int fcntl(int, int, void *)') as Call<[number, number, Buffer]>,
  fallocate: bindOnLinux('int fallocate(int, int, int64_t, int64_t)') as Call<[number, number, number, number]>,
  recv: bind('intptr_t recv(int, uintptr_t, size_t, int)') as Call<[number, number, number, number]>,
  send: bind('intptr_t send(int, uintptr_t, size_t, int)') as Call<[number, number, number, number]>,
  recvfrom: bind('intptr_t recvfrom(int, uintptr_t, size_t, int, uintptr_t, uintptr_t)') as Call<
    [number, number, number, number, number, number]
  >,
  sendto: bind('intptr_t sendto(int, uintptr_t, size_t, int, uintptr_t, uint32_t)') as Call<
    [number, number, number, number, number, number]
  >,
  sendfile: bindOnLinux('intptr_t sendfile(int, int, uintptr_t, size_t)') as Call<[number, number, number, number]>,
  socketpair: bind('int socketpair(int, int, int, void *)') as Call<[number, number, number, Buffer]>,
  sendmsg: bind('intptr_t sendmsg(int, uintptr_t, int)') as Call<[number, number, number]>,
  recvmmsg: bindOnLinux('int recvmmsg(int, uintptr_t, uint32_t, int, uintptr_t)') as Call<
    [number, number, number, number, number]
  >,
  sendmmsg: bindOnLinux('int sendmmsg(int, uintptr_t, uint32_t, int)') as Call<[number, number, number, number]>,
  recvmsg: bind('intptr_t recvmsg(int, uintptr_t, int)') as Call<[number, number, number]>,
  read: bind('intptr_t read(int, uintptr_t, size_t)') as Call<[number, number, number]>,
  write: bind('intptr_t write(int, uintptr_t, size_t)') as Call<[number, number, number]>,
  _exit: bind('void _exit(int)') as (code: number) => never,
  shutdown: bind('int shutdown(int, int)') as Call<[number, number]>,
  close: bind('int close(int)') as Call<[number]>,
  poll: bind('int poll(void *, size_t, int)') as Call<[Buffer, number, number]>,
  pipe: bind('int pipe(void *)') as Call<[Buffer]>,
  eventfd: bindOnLinux('int eventfd(uint32_t, int)') as Call<[number, number]>,
  epoll_create1: bindOnLinux('int epoll_create1(int)') as Call<[number]>,
  epoll_ctl: bindOnLinux('int epoll_ctl(int, int, int, const void *)') as Call<[number, number, number, Buffer]>,
  epoll_wait: bindOnLinux('int epoll_wait(int, uintptr_t, int, int)') as Call<[number, number, number, number]>,
  io_uring_setup: bindOnLinux('long syscall(long, uint32_t, uintptr_t)') as Call<[number, number, number]>,
  io_uring_enter: bindOnLinux('long syscall(long, int, uint32_t, uint32_t, uint32_t, uintptr_t, size_t)') as Call<
    [number, number, number, number, number, number, number]
  >,
  memfd_create: bindOnLinux('int memfd_create(const char *, uint32_t)') as Call<[string, number]>,
  ftruncate: bind('int ftruncate(int, int64_t)') as Call<[number, number]>,
  mmap: bind('intptr_t mmap(uintptr_t, size_t, int, int, int, int64_t)') as (
    address: number,
    length: number,
    protection: number,
    flags: number,
    descriptor: number,
    offset: number,
  ) => number | bigint,
  prctl: bindOnLinux('int prctl(int, uintptr_t, uintptr_t, uintptr_t, uintptr_t)') as Call<
    [number, number, number, number, number]
  >,
  getpeereid: (isLinux ? () => -1 : bind('int getpeereid(int, void *, void *)')) as Call<[number, Buffer, Buffer]>,
  flock: bind('int flock(int, int)') as Call<[number, number]>,
  dup2: bind('int dup2(int, int)') as Call<[number, number]>,
  chroot: bind('int chroot(const char *)') as Call<[string]>,
  sched_setaffinity: bindOnLinux('int sched_setaffinity(int, size_t, const void *)') as Call<[number, number, Buffer]>,
  sched_getaffinity: bindOnLinux('int sched_getaffinity(int, size_t, void *)') as Call<[number, number, Buffer]>,
  execve: bind('int execve(const char *, const void *, const void *)') as Call<[string, Buffer, Buffer]>,
  waitpid: bind('int waitpid(int, void *, int)') as Call<[number, Buffer, number]>,
  /** glibc only. */
  malloc_trim: bindWhereItIs('int malloc_trim(size_t)') as Call<[number]> | undefined,
  waitid: bindOnLinux('int waitid(int, uint32_t, void *, int)') as Call<[number, number, Buffer, number]>,
};

/** errno of the last failed call in this thread. */
export function lastErrno(): number {
  return koffi.errno();
}

/** V8 keeps the bytes of small typed arrays (64 bytes and less) inside its heap, where the collector moves them. */
const SMALLEST_STABLE_BYTES = 128;

/**
 * Zeroed memory that never moves, for calls that take an address: `Buffer.allocUnsafeSlow(8)` may move, and the kernel
 * would then read foreign memory. It must stay referenced as long as its address is used.
 */
export function allocateStable(bytes: number): Buffer {
  return Buffer.allocUnsafeSlow(Math.max(bytes, SMALLEST_STABLE_BYTES)).fill(0).subarray(0, bytes);
}

/** The address of a buffer from `allocateStable` (or of a mapped view). */
export function addressOf(buffer: Uint8Array): number {
  return Number(koffi.address(buffer));
}

const pinned: Buffer[] = [];

/**
 * Stable memory for the life of the thread. A module constant does not keep a buffer alive: V8 drops one that no function
 * mentions, although its address is still in use.
 */
export function pin(buffer: Buffer): { readonly buffer: Buffer; readonly address: number } {
  pinned.push(buffer);
  return { buffer, address: addressOf(buffer) };
}

/** An ArrayBuffer over foreign memory. It must never be unmapped while the view lives. */
export function viewMemory(address: number, byteLength: number): ArrayBuffer {
  return koffi.view(BigInt(address), byteLength) as ArrayBuffer;
}

/** Returns `result`, or throws the errno of the last call if `result` is a failure. */
export function check(result: number, syscall: string): number {
  if (result < 0) throw syscallError(koffi.errno(), syscall);
  return result;
}

export function syscallError(errno: number, syscall: string): SyscallError {
  return new SyscallError(errnoName(errno), errno, syscall);
}

const errnoNames = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));

/** 'ECONNRESET' for a (positive) error number. */
export function errnoName(errno: number): string {
  return errnoNames.get(errno) ?? `errno ${errno}`;
}

/** @returns 0 for an unknown name */
export function errnoOf(name: string): number {
  return (constants.errno as Readonly<Record<string, number>>)[name] ?? 0;
}

export const { EAGAIN, EINTR, EMFILE, ENFILE, ECONNABORTED, ENOBUFS, ENOMEM, EINPROGRESS, EMSGSIZE, EPROTOTYPE } =
  constants.errno;

export { koffi };
