/**
 * The HTTP payloads: two words before the head of a request, which pass the reactor's findings to the worker, and the
 * number by which the worker lets more of a body come.
 *
 * ```
 *  first word:   bits (RequestBit) u8 │ method u8 │ length of the head u16
 *  second word:  end of the target u16 │ start of the target u16, both counted from the head
 * ```
 */
import type { Frame } from './frame.js';

/** Bytes of the two words. */
export const REQUEST_PREFIX_BYTES = 8;

export function firstWordOf(headBytes: number, method: number, bits: number): number {
  return headBytes | (method << 16) | (bits << 24);
}

export function secondWordOf(targetStart: number, targetEnd: number): number {
  return targetStart | (targetEnd << 16);
}

export const headBytesOf = (first: number): number => first & 0xffff;
/** Index into `methods`. */
export const methodOf = (first: number): number => (first >>> 16) & 0xff;
export const bitsOf = (first: number): number => first >>> 24;
export const targetStartOf = (second: number): number => second & 0xffff;
export const targetEndOf = (second: number): number => second >>> 16;

/** The payload of `taken`: the number of body bytes that were taken. */
export function takenPayload(bytes: number): Buffer {
  const payload = Buffer.allocUnsafe(8);
  payload.writeDoubleLE(bytes);
  return payload;
}

export function readTaken({ bytes, payloadAt }: Frame): number {
  return bytes.readDoubleLE(payloadAt);
}

const EXCHANGES = 0x10000;

/**
 * The number by which another process finds a request (`res.detach()`): its exchange, and above it the facts the answer
 * needs, the first word without the length of the head.
 */
export function ticketOf(exchange: number, first: number): number {
  return exchange + (first >>> 16) * EXCHANGES;
}

export function isTicket(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < EXCHANGES * EXCHANGES;
}

/** @returns the exchange, and the first word of its request */
export function readTicket(ticket: number): { readonly exchange: number; readonly first: number } {
  return { exchange: ticket % EXCHANGES, first: Math.floor(ticket / EXCHANGES) * EXCHANGES };
}
