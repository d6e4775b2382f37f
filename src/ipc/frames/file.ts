/**
 * A part of a file that a reactor is to send. Flags and detail are those of a `send`.
 *
 * ```
 *  0            8            16
 * ┌────────────┬────────────┬──────────────┐
 * │ offset f64 │ bytes f64  │ path (UTF-8) │
 * └────────────┴────────────┴──────────────┘
 * ```
 */
import { pathForReactor } from '../../os/isolation.js';
import type { Frame } from './frame.js';

const BYTES = 8;
const PATH = 16;

export interface FileRequest {
  /** As the reactor sees it. */
  readonly path: string;
  readonly offset: number;
  readonly bytes: number;
}

/** @param path as this process sees it */
export function filePayload(path: string, offset: number, bytes: number): Buffer {
  const name = Buffer.from(pathForReactor(path));
  const payload = Buffer.alloc(PATH + name.length);
  payload.writeDoubleLE(offset, 0);
  payload.writeDoubleLE(bytes, BYTES);
  name.copy(payload, PATH);
  return payload;
}

export function readFileRequest({ bytes, payloadAt, length }: Frame): FileRequest {
  return {
    path: bytes.toString('utf8', payloadAt + PATH, payloadAt + length),
    offset: bytes.readDoubleLE(payloadAt),
    bytes: bytes.readDoubleLE(payloadAt + BYTES),
  };
}
