/**
 * The number by which another process finds a request (`res.detach()`): its exchange in the low 16 bits, above them what
 * the answer must know of the request, as the reactor has written it: method, version, whether the client would stay.
 */
const EXCHANGES = 0x10000;

/** @param first of the two words before a request in the ring; its low half, the length of the head, stays behind */
export function ticketOf(exchange: number, first: number): number {
  return exchange + (first >>> 16) * EXCHANGES;
}

export function isTicket(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < EXCHANGES * EXCHANGES;
}

export function exchangeOf(ticket: number): number {
  return ticket % EXCHANGES;
}

export function firstWordOf(ticket: number): number {
  return Math.floor(ticket / EXCHANGES) * EXCHANGES;
}
