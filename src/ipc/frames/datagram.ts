/**
 * A datagram on its way to a worker, behind the address of its sender.
 *
 * ```
 *  0            2               4                                  124
 * ┌────────────┬───────────────┬──────────────────────────────────┬──────────┐
 * │ port index │ address bytes │ sockaddr, as the kernel gave it  │ datagram │
 * │ u16        │ u16           │ 120 bytes                        │          │
 * └────────────┴───────────────┴──────────────────────────────────┴──────────┘
 * ```
 */
import { LONGEST_SOCKADDR_BYTES } from '../../os/address.js';

export const SOCKADDR_AT = 4;
export const DATAGRAM_HEADER_BYTES = 124;

/** Where the kernel writes the address of the sender. */
export function sockaddrOf(packet: Buffer): Buffer {
  return packet.subarray(SOCKADDR_AT, SOCKADDR_AT + LONGEST_SOCKADDR_BYTES);
}

export function writeDatagramHeader(packet: Buffer, portIndex: number, addressBytes: number): void {
  packet.writeUInt16LE(portIndex, 0);
  packet.writeUInt16LE(addressBytes, 2);
}

/** @param packet owned by the reader from now on */
export function readDatagram(packet: Buffer): { portIndex: number; sockaddr: Buffer; data: Buffer } {
  const addressBytes = packet.readUInt16LE(2);
  return {
    portIndex: packet.readUInt16LE(0),
    sockaddr: packet.subarray(SOCKADDR_AT, SOCKADDR_AT + addressBytes),
    data: packet.subarray(DATAGRAM_HEADER_BYTES),
  };
}
