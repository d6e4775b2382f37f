/** Names of rooms, as users give them. Runs in every process. */
import { describe, ServerError } from '../errors/index.js';
import { MAX_ROOM_NAME_BYTES } from './room-board.js';

/** Half of a surrogate pair has no UTF-8: other processes and nodes would hear of another room. @throws ServerError ERR_ROOM_NAME */
export function checkRoomName(room: unknown): void {
  const bytes = typeof room === 'string' && room.isWellFormed() ? Buffer.byteLength(room) : 0;
  if (bytes < 1 || bytes > MAX_ROOM_NAME_BYTES) throw new ServerError('ERR_ROOM_NAME', { received: describe(room) });
}
