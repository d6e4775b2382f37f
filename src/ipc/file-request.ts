import { SEND_FILE_HEADER_BYTES } from './frame.js';

/** The payload of a `sendFile` request. */
export function filePayload(path: string, offset: number, bytes: number): Buffer {
  const name = Buffer.from(path);
  const payload = Buffer.alloc(SEND_FILE_HEADER_BYTES + name.length);
  payload.writeDoubleLE(offset, 0);
  payload.writeDoubleLE(bytes, 8);
  name.copy(payload, SEND_FILE_HEADER_BYTES);
  return payload;
}
