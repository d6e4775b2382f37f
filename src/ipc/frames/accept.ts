/**
 * An accepted connection on its way from the accepting thread to a reactor. The frame's detail is the index of its listen
 * port.
 *
 * ```
 *  0                4        6             8                24
 * ┌────────────────┬────────┬─────────────┬────────────────┐
 * │ descriptor i32 │ family │ remote port │ address        │
 * │                │ u16    │ u16         │ 16 bytes       │
 * └────────────────┴────────┴─────────────┴────────────────┘
 * ```
 */
import type { Arrival } from '../arrival.js';
import { detailOf } from '../frame.js';
import type { Frame } from './frame.js';

const FAMILY = 4;
const REMOTE_PORT = 6;
const ADDRESS = 8;
export const ACCEPT_BYTES = 24;

export function writeAccept(target: Buffer, at: number, arrival: Arrival): void {
  target.writeInt32LE(arrival.descriptor, at);
  target.writeUInt16LE(arrival.family, at + FAMILY);
  target.writeUInt16LE(arrival.remotePort, at + REMOTE_PORT);
  arrival.address.copy(target, at + ADDRESS);
}

/** @returns undefined for another frame; the address is valid until the frame is released */
export function readAccept({ bytes, payloadAt, length, word }: Frame): Arrival | undefined {
  if (length !== ACCEPT_BYTES) return undefined;
  return {
    descriptor: bytes.readInt32LE(payloadAt),
    portIndex: detailOf(word),
    family: bytes.readUInt16LE(payloadAt + FAMILY),
    remotePort: bytes.readUInt16LE(payloadAt + REMOTE_PORT),
    address: bytes.subarray(payloadAt + ADDRESS, payloadAt + ACCEPT_BYTES),
  };
}
