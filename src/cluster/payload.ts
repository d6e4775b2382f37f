/** Refuses in the process that publishes what the engine would not take. Runs in every process. */
import { ServerError } from '../errors/index.js';
import { packValue } from './broker/node-messages.js';

/** Of `serialize`, around a text or bytes: version, kind, length. */
const MOST_HEAD_BYTES = 32;

/** Nothing is packed twice for texts and bytes far below the limit. @throws ServerError ERR_CLUSTER_PAYLOAD */
export function checkPublication(data: unknown, mostBytes: number): void {
  const surelyFits = roughBytes(data) + MOST_HEAD_BYTES <= mostBytes;
  if (!surelyFits) refuseAbove(packedBytes(data), mostBytes);
}

/** As `packRoomData` packs it. @throws ServerError ERR_CLUSTER_PAYLOAD */
export function checkRoomMessage(data: string | Uint8Array, mostBytes: number): void {
  // Other types are refused by the room itself.
  const bytes = typeof data === 'string' ? Buffer.byteLength(data) : (data?.length ?? 0);
  refuseAbove(1 + bytes, mostBytes);
}

function refuseAbove(bytes: number, most: number): void {
  if (bytes > most) throw new ServerError('ERR_CLUSTER_PAYLOAD', { bytes, most });
}

/** Never less than it takes; infinite: that is known only when it is packed. */
function roughBytes(data: unknown): number {
  if (typeof data === 'string') return 2 * data.length;
  if (data instanceof Uint8Array) return data.length;
  return (typeof data === 'object' && data !== null) || typeof data === 'bigint' ? Number.POSITIVE_INFINITY : 0;
}

/** What cannot be packed is refused by the messages between processes, in their words. */
function packedBytes(data: unknown): number {
  try {
    return packValue(data).length;
  } catch {
    return 0;
  }
}
