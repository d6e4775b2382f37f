/** Copies the payload of the frame at the front of a ring. Runs in a worker. */
import type { RingReader } from '../ipc/ring.js';
import { copyBytes } from '../util/copy-bytes.js';

export function copyPayload(ring: RingReader): Buffer {
  const { length, payloadAt } = ring;
  return copyBytes(ring.bytes, payloadAt, payloadAt + length);
}

/** UTF-8. */
export function readMessage({ bytes, length, payloadAt }: RingReader): string {
  return length > 0 ? bytes.toString('utf8', payloadAt, payloadAt + length) : '';
}
