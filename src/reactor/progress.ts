/**
 * Distinguishes a slow client from one that takes nothing. The kernel takes queued bytes only when a good part of
 * its own buffer is free, so a slow client may look deaf from here for a minute; its acknowledgements show more.
 * Runs in the reactor.
 */
import { errnoName } from '../os/libc.js';
import { acknowledgedBytes, socketError } from '../os/socket.js';
import type { Connection } from './connection.js';

/** For how many ms the client has taken none of its queued bytes; 0 where none are queued. One getsockopt(2). */
export function msWithoutProgress(connection: Connection, now: number): number {
  if (connection.isFlushed) return 0;
  const { descriptor, transport } = connection;
  const acknowledged = transport.holdsDescriptor(connection) ? acknowledgedBytes(descriptor) : -1;
  if (connection.acknowledged >= 0 && acknowledged > connection.acknowledged) connection.waitingSince = now;
  connection.acknowledged = acknowledged;
  return now - connection.waitingSince;
}

/** The error of a connection that is not read any more. @returns '' while it stands; a name such as 'EPIPE' */
export function brokenBy(connection: Connection): string {
  if (!connection.transport.holdsDescriptor(connection)) return '';
  const errno = socketError(connection.descriptor);
  return errno === 0 ? '' : errnoName(errno);
}
