/**
 * The negotiation of permessage-deflate (RFC 7692 5 and 7.1). Both sides reset their compressor after each message
 * ("no context takeover"), so a connection holds no window: one compressor per process serves all of them.
 */
import { type ExtensionOffer, type ExtensionParameter, parseExtensions } from './field-lists.js';

export interface DeflateAgreement {
  /** The value of Sec-WebSocket-Extensions in the answer. */
  readonly response: string;
  /**
   * log2 of the window of what the server compresses, 9 to 15; 15 unless the client asked for less. A message may always
   * be sent uncompressed (RFC 7692 6), so a server with one compressor of 15 sends such a client uncompressed messages.
   */
  readonly windowBits: number;
}

const NAME = 'permessage-deflate';
const RESPONSE = `${NAME}; server_no_context_takeover; client_no_context_takeover`;
const WIDEST = 15;
/** zlib has no window of 8 bits for raw deflate. */
const NARROWEST = 9;
/** RFC 7692 7.1.2: 8 to 15, without leading zeros. */
const WINDOW_BITS = /^(?:[89]|1[0-5])$/;

/** Which values a parameter of an offer may have (RFC 7692 7.1.1.1 to 7.1.2.2). */
const PARAMETERS: ReadonlyMap<string, (value: string | undefined) => boolean> = new Map([
  ['server_no_context_takeover', (value) => value === undefined],
  ['client_no_context_takeover', (value) => value === undefined],
  ['server_max_window_bits', (value) => value !== undefined && WINDOW_BITS.test(value)],
  ['client_max_window_bits', (value) => value === undefined || WINDOW_BITS.test(value)],
]);

/**
 * Takes the first offer that can be honoured; the client lists them in the order of its preference (RFC 7692 5).
 * @param value of Sec-WebSocket-Extensions in the request
 * @returns undefined: messages are not compressed
 */
export function chooseDeflate(value: string | undefined): DeflateAgreement | undefined {
  if (value === undefined) return undefined;
  for (const offer of parseExtensions(value) ?? []) {
    const windowBits = acceptableWindowBits(offer);
    if (windowBits !== undefined) return agreement(offer, windowBits);
  }
  return undefined;
}

/** @returns undefined: the offer is declined (RFC 7692 7.1: unknown, repeated or bad parameters) */
function acceptableWindowBits({ name, parameters }: ExtensionOffer): number | undefined {
  if (name !== NAME || new Set(parameters.map((parameter) => parameter.name)).size < parameters.length)
    return undefined;
  if (!parameters.every((parameter) => PARAMETERS.get(parameter.name)?.(parameter.value) === true)) return undefined;
  const windowBits = Number(askedWindow(parameters)?.value ?? WIDEST);
  return windowBits < NARROWEST ? undefined : windowBits;
}

function askedWindow(parameters: readonly ExtensionParameter[]): ExtensionParameter | undefined {
  return parameters.find(({ name }) => name === 'server_max_window_bits');
}

/** Whoever asks for a window is told the window, even the widest (RFC 7692 7.1.2.1); the client's is its own affair. */
function agreement({ parameters }: ExtensionOffer, windowBits: number): DeflateAgreement {
  const isAsked = askedWindow(parameters) !== undefined;
  return { response: isAsked ? `${RESPONSE}; server_max_window_bits=${windowBits}` : RESPONSE, windowBits };
}
