/** Who is at the other end of a unix socket. */
import * as C from './constants.js';
import { isLinux, libc } from './libc.js';

/** `struct ucred`: pid, uid, gid. */
const credentials = Buffer.alloc(128);
const length = Buffer.alloc(128);
const UID_AT = 4;

/** @returns undefined when the peer has gone */
export function peerUid(descriptor: number): number | undefined {
  if (!isLinux) return libc.getpeereid(descriptor, credentials, length) < 0 ? undefined : credentials.readUInt32LE(0);
  length.writeUInt32LE(12, 0);
  const result = libc.getsockopt(descriptor, C.SOL_SOCKET, C.SO_PEERCRED, credentials, length);
  return result < 0 ? undefined : credentials.readUInt32LE(UID_AT);
}
