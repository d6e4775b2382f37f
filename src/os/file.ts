/** Sends files to sockets. */
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { allocateStable, isLinux, lastErrno, libc, pin } from './libc.js';

const offsetPlace = pin(allocateStable(8));

/** Non-blocking: a pipe in the place of a file must not block the sender. */
const FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

/** @throws an Error with `code` */
export function openFile(path: string): number {
  return openSync(path, FLAGS);
}

export function closeFile(file: number): void {
  closeSync(file);
}

/** True where the kernel can copy from file to socket. */
export const hasSendfile = isLinux;

/**
 * sendfile(2). @returns bytes the socket took (0: the file has ended), or the negative error number
 */
export function sendFile(socket: number, file: number, offset: number, count: number): number {
  offsetPlace.buffer.writeBigInt64LE(BigInt(offset), 0);
  const n = libc.sendfile(socket, file, offsetPlace.address, count);
  return n < 0 ? -lastErrno() : n;
}

/** @returns bytes read; 0: the file has ended @throws an Error with `code` */
export function readFileAt(file: number, into: Buffer, count: number, offset: number): number {
  return readSync(file, into, 0, count, offset);
}
