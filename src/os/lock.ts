/** flock(2): a lock on an open file that ends with the process that holds it, however it ends. */
import { check, EAGAIN, lastErrno, libc, syscallError } from './libc.js';

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;

/** @returns false when another process holds it, or shares it @throws SyscallError */
export function tryLock(descriptor: number): boolean {
  return lock(descriptor, LOCK_EX);
}

/** A lock of this process's own becomes a shared one. @returns false when another process holds it @throws SyscallError */
export function tryShare(descriptor: number): boolean {
  return lock(descriptor, LOCK_SH);
}

function lock(descriptor: number, how: number): boolean {
  if (libc.flock(descriptor, how | LOCK_NB) === 0) return true;
  if (lastErrno() === EAGAIN) return false;
  throw syscallError(lastErrno(), 'flock');
}

/** dup2(2): the descriptor number `to` refers to the file of `from` from now on. @throws SyscallError */
export function duplicateTo(from: number, to: number): void {
  check(libc.dup2(from, to), 'dup2');
}
