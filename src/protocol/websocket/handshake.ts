/** The checks of a client's opening request, and what the answer needs of it (RFC 6455 4.2.1, 4.2.2). */
import { createHash } from 'node:crypto';
import { isToken, listElements, listHas, parseExtensions } from './field-lists.js';

export { isOriginAllowed, isOriginPattern } from './origin.js';

export interface OpeningRequest {
  readonly method: string;
  /** '1.1' */
  readonly httpVersion: string;
  /** @param name in lower case. @returns the field's value, several joined by ', ' */
  header(name: string): string | undefined;
}

/** `key` is the value of Sec-WebSocket-Key, for `acceptKey`. */
export interface ValidOpening {
  readonly key: string;
}

/** How to answer instead: `why` is a sentence that quotes nothing of the client. */
export interface RefusedOpening {
  readonly status: 400 | 405 | 426;
  readonly why: string;
  readonly headers: [string, string][];
}

const VERSION = '13';
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
/** Base64 of 16 bytes; the last of the 22 characters has bits to spare, which RFC 4648 3.5 lets a decoder ignore. */
const KEY = /^[A-Za-z0-9+/]{22}==$/;

/** RFC 6455 4.2.1, in its order; lists of protocols and extensions that break the grammar are refused as 9.1 demands. */
export function checkOpening(request: OpeningRequest): ValidOpening | RefusedOpening {
  if (request.method !== 'GET') return refusal(405, 'A WebSocket is opened by GET.', ['Allow', 'GET']);
  if (request.httpVersion !== '1.1') return refusal(400, 'A WebSocket is opened by HTTP/1.1.');
  if (!listHas(request.header('upgrade'), 'websocket')) {
    return refusal(400, 'The Upgrade field does not name websocket.');
  }
  if (!listHas(request.header('connection'), 'upgrade')) {
    return refusal(400, 'The Connection field does not name upgrade.');
  }
  return checkWebSocketFields(request);
}

function checkWebSocketFields(request: OpeningRequest): ValidOpening | RefusedOpening {
  const key = request.header('sec-websocket-key');
  if (key === undefined || !KEY.test(key)) {
    return refusal(400, 'The Sec-WebSocket-Key is not the base64 form of 16 bytes.');
  }
  if (request.header('sec-websocket-version') !== VERSION) return wrongVersion();
  if (offeredProtocols(request.header('sec-websocket-protocol')) === undefined) {
    return refusal(400, 'The Sec-WebSocket-Protocol is not a list of different names.');
  }
  const extensions = request.header('sec-websocket-extensions');
  if (extensions !== undefined && parseExtensions(extensions) === undefined) {
    return refusal(400, 'The Sec-WebSocket-Extensions is not a list of extensions.');
  }
  return { key };
}

function refusal(status: 400 | 405, why: string, ...headers: [string, string][]): RefusedOpening {
  return { status, why, headers };
}

/** RFC 6455 4.2.2 and 4.4: the answer names the version there is. RFC 9110 15.5.22: a 426 has an Upgrade field. */
function wrongVersion(): RefusedOpening {
  const why = `The Sec-WebSocket-Version is not ${VERSION}.`;
  return { status: 426, why, headers: [['Sec-WebSocket-Version', VERSION], ...UPGRADE] };
}

const UPGRADE: readonly [string, string][] = [
  ['Upgrade', 'websocket'],
  ['Connection', 'Upgrade'],
];

/** @returns the value of Sec-WebSocket-Accept (RFC 6455 4.2.2, item 5.4) */
export function acceptKey(key: string): string {
  return createHash('sha1')
    .update(key + GUID)
    .digest('base64');
}

/**
 * The subprotocols that a client offers, in the order of its preference (RFC 6455 4.1, item 10: different tokens).
 * @param value of Sec-WebSocket-Protocol
 * @returns none where there is no such field; undefined where it breaks the grammar
 */
export function offeredProtocols(value: string | undefined): string[] | undefined {
  if (value === undefined) return [];
  const names = listElements(value);
  const isSound = names.length > 0 && names.every(isToken) && new Set(names).size === names.length;
  return isSound ? names : undefined;
}
