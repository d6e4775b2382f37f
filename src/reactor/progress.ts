/**
 * Tells a client that is slow from one that takes nothing. The kernel takes bytes of the queue only when a good part of
 * its own buffer is free, so a slow client may look deaf from here for a minute: what it acknowledges tells better.
 * Runs in the reactor.
 */
import { errnoName } from '../os/libc.js';
import { acknowledgedBytes, socketError } from '../os/socket.js';
import type { ReactorConnection } from './connection.js';

/** For how many ms the client has taken nothing of what waits for it; 0 where nothing waits. One getsockopt(2). */
export function msWithoutProgress(connection: ReactorConnection, now: number): number {
  const { out, tls } = connection;
  if (connection.isFlushed) return 0;
  const queue = tls ?? out;
  if (queue === null) return 0;
  const acknowledged = tls?.isDestroyed ? -1 : acknowledgedBytes(connection.descriptor);
  const hasMoved = queue.acknowledged >= 0 && acknowledged > queue.acknowledged;
  queue.acknowledged = acknowledged;
  if (hasMoved && tls !== null) tls.waitingSince = now;
  else if (hasMoved && out !== null) out.since = now;
  return now - (tls?.waitingSince ?? out?.since ?? now);
}

/** What has become of a connection that is not read any more. @returns '' while it stands; a name such as 'EPIPE' */
export function brokenBy({ descriptor, tls }: ReactorConnection): string {
  if (tls?.isDestroyed) return '';
  const errno = socketError(descriptor);
  return errno === 0 ? '' : errnoName(errno);
}
