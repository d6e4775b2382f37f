/**
 * What a user may send in one message. The driver's payload has room for what is put around it besides: the head of a room's
 * message, or the object that a request is.
 */
import { ServerError } from '../errors/index.js';

/** With `ENVELOPE_BYTES` it makes the 256 bytes that docs/several-machines.md names. */
const WRAP_BYTES = 48;

/** @param maxPayload of the driver */
export const mostUserBytes = (maxPayload: number): number => maxPayload - WRAP_BYTES;

/** @param maxPayload of the driver @throws ServerError ERR_CLUSTER_PAYLOAD */
export function checkUserBytes(bytes: number, maxPayload: number): void {
  const most = mostUserBytes(maxPayload);
  if (bytes > most) throw new ServerError('ERR_CLUSTER_PAYLOAD', { bytes, most });
}
