/** Status codes of a close frame (RFC 6455 7.4, and IANA's registry of them), and the payload that bears one (5.5.1). */
import { isUtf8 } from 'node:buffer';

/** Codes by name. The comments say what a server means by one. */
export const CloseStatus = {
  normal: 1000,
  /** The server goes down, or the browser leaves the page. */
  goingAway: 1001,
  protocolError: 1002,
  /** A kind of data that is not accepted here: binary where text is expected. */
  unsupportedData: 1003,
  /** Never on the wire: the close frame had no code. */
  none: 1005,
  /** Never on the wire: the connection ended without a close frame. */
  abnormal: 1006,
  /** Text that is not UTF-8, or data that does not inflate. */
  invalidPayload: 1007,
  policyViolation: 1008,
  tooBig: 1009,
  internalError: 1011,
  serviceRestart: 1012,
  tryAgainLater: 1013,
} as const;

/** What IANA calls the codes, for logs. */
export const names: Readonly<Record<number, string>> = {
  1000: 'Normal Closure',
  1001: 'Going Away',
  1002: 'Protocol error',
  1003: 'Unsupported Data',
  1004: 'Reserved',
  1005: 'No Status Rcvd',
  1006: 'Abnormal Closure',
  1007: 'Invalid frame payload data',
  1008: 'Policy Violation',
  1009: 'Message Too Big',
  1010: 'Mandatory Ext.',
  1011: 'Internal Error',
  1012: 'Service Restart',
  1013: 'Try Again Later',
  1014: 'Bad Gateway',
  1015: 'TLS handshake',
};

const CODE_BYTES = 2;
/** A control frame has at most 125 bytes (5.5); the code takes two. */
const MOST_REASON_BYTES = 123;

/**
 * May stand in a close frame that a server sends (7.4.1, 7.4.2): registered, not reserved (1004) and not one of those that
 * only stand for what was not sent (1005, 1006, 1015); or of a library (3000–3999) or an application (4000–4999). 1010 is a
 * client's; a server sends it to echo it (5.5.1).
 */
export function isSendable(code: number): boolean {
  if (!Number.isInteger(code)) return false;
  if (code >= 3000) return code <= 4999;
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
}

/** May stand in a client's close frame; any other code breaks the protocol. */
export function isReceivable(code: number): boolean {
  return isSendable(code);
}

/** What a client's close frame says; `code` is 1005 where it says nothing. */
export interface ClosePayload {
  readonly code: number;
  readonly reason: string;
}

/** The payload breaks the protocol: the code to close with, and a sentence that quotes no bytes of the client. */
export interface RefusedClose {
  readonly refuse: number;
  readonly why: string;
}

/**
 * Reads the unmasked payload of a client's close frame (5.5.1, 7.1.5, 7.1.6): nothing, or a code of 16 bits and a reason
 * in UTF-8.
 * @param length 0 to 125: `FrameHeader` has refused longer control frames
 */
export function readClosePayload(bytes: Buffer, at: number, length: number): ClosePayload | RefusedClose {
  if (length === 0) return { code: CloseStatus.none, reason: '' };
  if (length < CODE_BYTES) return { refuse: CloseStatus.protocolError, why: 'The close frame has half a status code.' };
  const code = bytes.readUInt16BE(at);
  if (!isReceivable(code)) {
    return { refuse: CloseStatus.protocolError, why: 'The status code of the close frame may not be sent.' };
  }
  const reason = bytes.subarray(at + CODE_BYTES, at + length);
  if (!isUtf8(reason)) {
    return { refuse: CloseStatus.invalidPayload, why: 'The reason in the close frame is not UTF-8.' };
  }
  return { code, reason: reason.toString('utf8') };
}

/**
 * Writes the payload of a server's close frame (5.5.1).
 * @param target has room for 125 bytes from `at` on
 * @param code checked by `isSendable`; or 1005, which is said by an empty payload
 * @param reason cut at the last character that ends within 123 bytes of UTF-8
 * @returns how many bytes it wrote
 */
export function writeClosePayload(target: Buffer, at: number, code: number, reason: string): number {
  if (code === CloseStatus.none) return 0;
  target.writeUInt16BE(code, at);
  // Node writes no part of a character.
  return CODE_BYTES + target.write(reason, at + CODE_BYTES, MOST_REASON_BYTES, 'utf8');
}
