/**
 * Keys of session tickets (RFC 5077, RFC 8446 4.6.1): one set for all reactor threads and workers, so that a client resumes
 * its session whoever it comes to next. They follow from a secret in shared memory, which the master draws at the start and
 * again at each reload, and from what a session was judged by: a ticket is good only where the same would be asked.
 */
import { createHmac, randomBytes } from 'node:crypto';
import type { Region } from '../memory/region.js';

/** As Node's option `ticketKeys` has it: name, HMAC key and AES key, 16 bytes each. */
const TICKET_KEYS_BYTES = 48;

/** Tickets given until now are good no more, as soon as certificates are read again. Called by the master. */
export function renewTicketSecret(region: Region): void {
  const { ticketSecret } = region;
  ticketSecret.set(randomBytes(ticketSecret.length));
}

/** @param judgedBy certificate, key, issuers and rules @returns undefined where there is no secret: each context has keys of its own */
export function ticketKeysFor(secret: Uint8Array, judgedBy: unknown): Buffer | undefined {
  if (secret.every((byte) => byte === 0)) return undefined;
  const digest = createHmac('sha512', secret).update(JSON.stringify(judgedBy)).digest();
  return digest.subarray(0, TICKET_KEYS_BYTES);
}
