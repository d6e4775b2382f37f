/** Copies the payload of the frame at the front of a ring. Runs in a worker. */
import type { RingReader } from '../ipc/ring.js';

export function copyPayload(ring: RingReader): Buffer {
  const { length, payloadAt } = ring;
  const copy = Buffer.allocUnsafe(length);
  ring.bytes.copy(copy, 0, payloadAt, payloadAt + length);
  return copy;
}

/** UTF-8. */
export function readMessage({ bytes, length, payloadAt }: RingReader): string {
  return length > 0 ? bytes.toString('utf8', payloadAt, payloadAt + length) : '';
}
