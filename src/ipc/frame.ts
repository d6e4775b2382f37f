/**
 * The wire format of the rings between reactors and workers: the header of every frame. `frames/` has the payloads, with
 * one codec each for both ends.
 *
 * ```
 *  0               4       5       6        8                               16
 * ┌───────────────┬───────┬───────┬────────┬───────────────────────────────┬─────────────┬──────┐
 * │ length  u32   │ type  │ flags │ detail │ session id  f64               │ payload     │ pad  │
 * │ of payload    │ u8    │ u8    │ u16    │ (0: none)                     │ length bytes│ to 8 │
 * └───────────────┴───────┴───────┴────────┴───────────────────────────────┴─────────────┴──────┘
 * ```
 * Native byte order (both ends run on one machine). Frames begin at multiples of 8, so that a header is two aligned reads.
 * A packet longer than `MAX_PAYLOAD` travels as several frames; what is sent to clients may have longer ones
 * (`longestFrame`).
 */
export const HEADER_BYTES = 16;
/** Room for 64 KiB and for what a protocol puts around them: a message of 64 KiB travels in one frame. */
export const MAX_PAYLOAD = 65536 + 64;

/** The second word of a header. */
export function wordOf(type: number, flags: number, detail: number): number {
  return type | (flags << 8) | (detail << 16);
}

export const typeOf = (word: number): number => word & 0xff;
export const flagsOf = (word: number): number => (word >> 8) & 0xff;
export const detailOf = (word: number): number => word >>> 16;

/** Reactor → worker. */
export const Event = {
  /** A connection was accepted. */
  connect: 1,
  /** payload: a packet, or with PieceFlag a piece of a packet. */
  receive: 2,
  /** detail: a CloseCode; flags: CloseFlag; payload: a message (UTF-8), may be empty. */
  close: 3,
  bufferFull: 4,
  bufferEmpty: 5,
  /** The queue of a connection has room again; sent to a worker that requested it by `watchDrain`. */
  writable: 6,
  /** payload: a datagram behind its sender's address (`frames/datagram.ts`), or with PieceFlag a piece of that. */
  packet: 7,
  /** HTTP. detail: the exchange; payload: two words (`frames/http.ts`), a request's head, and its body if RequestFlag says no more. */
  request: 8,
  /** HTTP. detail: the exchange; payload: a piece of its body, decoded. */
  body: 9,
  /** HTTP. detail: the exchange, whose client has gone or which timed out. flags: `goneFlags`; payload: see `GoneFlag`. */
  gone: 10,
  /**
   * WebSocket: a message. flags: MessageFlag, PieceFlag; detail: bytes before it in the payload that mean nothing (it lies
   * where the reactor has received it).
   */
  message: 11,
  /**
   * WebSocket: the connection ends. detail: the code of its Close frame (RFC 6455 7.4); payload: the reason. flags:
   * ClosingFlag.
   */
  closing: 12,
  /** No connection. flags: PieceFlag; payload: the answer to `ask` (`frames/room-question.ts`). */
  told: 13,
} as const;

/** Worker (or manager, or the accepting thread) → reactor. */
export const Request = {
  /** payload: bytes for the client. flags: SendFlag. */
  send: 1,
  /** flags: 1 = reset, drop what is queued. detail: a CloseCode. payload: a message. */
  close: 2,
  /** The worker has seen the end of this connection, and has no pending replies for it. */
  closed: 3,
  pause: 4,
  resume: 5,
  /** Requests `writable` when the connection's queue is at or below its low watermark. */
  watchDrain: 6,
  /** payload: offset f64, bytes f64, path (UTF-8). */
  sendFile: 8,
  /** The worker has handled enough of the queued bytes (maxQueuedBytes). */
  readOn: 9,
  /** HTTP. detail: the exchange; payload: how many bytes of its body were taken (f64), and may follow. */
  taken: 10,
  /** The worker will close the connection, after bytes that it still holds for it. */
  closing: 11,
  /** detail: index of the listen port; payload: descriptor i32, family u16, remote port u16, address 16 bytes. */
  accept: 7,
  /** HTTP. detail: the exchange; flags: AnswerFlag; payload: bytes of its answer. Dropped when the exchange is over. */
  answer: 12,
  /** HTTP. As `answer`; payload: as `sendFile`. */
  answerFile: 13,
  /** WebSocket: ends the connection by a Close frame. detail: its code; payload: its reason (UTF-8). */
  disconnect: 14,
  /** WebSocket. payload: of a Ping frame. */
  ping: 15,
  /** detail: JoinAs; payload: the name of a room that the connection is a member of from now on. */
  join: 16,
  /** payload: the name of a room; empty: all of them. */
  leave: 17,
  /** No connection. flags: PieceFlag; payload: `frames/publish.ts`. */
  publish: 18,
  /** A worker asks about rooms; the session id may be 0. payload: `frames/room-question.ts`. */
  ask: 19,
} as const;

/** A packet longer than a frame travels in pieces. */
export const PieceFlag = {
  /** Further pieces of the same packet follow. */
  more: 1,
  /** Pieces of the same packet came before. */
  continued: 2,
} as const;

/** In which form a member gets what is published. */
export const JoinAs = {
  /** WebSocket frames. */
  frames: 0,
  /** Server-sent events, in chunks of HTTP/1.1 or as they are. */
  chunkedEvents: 1,
  events: 2,
} as const;
export type JoinAs = (typeof JoinAs)[keyof typeof JoinAs];

/** WebSocket: flags of a message, beside PieceFlag. */
export const MessageFlag = {
  binary: 4,
  /** A text, and every byte is a character. */
  ascii: 8,
  /** Compressed, and its text not checked (RFC 7692). */
  deflated: 16,
} as const;

/** WebSocket: flags of `closing`. */
export const ClosingFlag = {
  /** The reactor waits for `disconnect`: what the worker has sent before leaves first. */
  awaitsAnswer: 1,
  /** The client has begun. */
  byClient: 2,
  /** The `close` of this connection is the next frame: both are for one process. */
  closeFollows: 4,
} as const;

export const CloseFlag = {
  reset: 1,
  /** Half-close by the client: pending replies may still be sent, and the reactor waits for `closed`. */
  awaitsAnswers: 2,
  /** To the worker, after `awaitsAnswers`: the connection has gone before the worker sent `closed`. */
  gone: 4,
} as const;

/** HTTP: flags of a request frame. */
export const RequestFlag = {
  /** Its body comes in `body` frames. */
  bodyFollows: 1,
} as const;

/** HTTP: flags of a piece of a body. */
export const BodyFlag = {
  last: 1,
  /** The payload is the trailer section instead: field lines. */
  trailers: 2,
} as const;

/**
 * HTTP: why an exchange is over for its worker. Above the bit the CloseCode (`goneFlags`); the payload is empty, or
 * "STATUS why", the answer that the server has sent in the worker's place.
 */
export const GoneFlag = {
  /** The client has only ended its side (half-close): an answer may still reach it. */
  halfClosed: 1,
} as const;

/** @param code a CloseCode, below 128 */
export function goneFlags(code: number, isHalf = false): number {
  return (code << 1) | (isHalf ? GoneFlag.halfClosed : 0);
}

/** The CloseCode among the flags of a `gone` event. */
export function goneCode(flags: number): number {
  return flags >> 1;
}

/** HTTP: flags of bytes a worker sends. */
export const AnswerFlag = {
  /** From now on the connection speaks WebSocket. */
  webSocket: 1,
  /** They complete the answer. */
  last: 2,
  /** The connection ends after the answer. */
  close: 4,
  /** 1xx: the final answer has not begun. */
  interim: 8,
  /** From now on the connection belongs to this worker, and bytes go both ways unparsed. */
  tunnel: 16,
  /** With `interim`: it is 100 Continue, the client may send its body. */
  continue: 32,
  /** Where rooms are: further frames of the same piece follow, and nothing that is published may come between. */
  more: 64,
  /** With `webSocket`: permessage-deflate was agreed upon. */
  deflate: 128,
} as const;

/** Flags of raw bytes a process sends. */
export const SendFlag = {
  /** Further pieces of the same send follow. Each piece has the sending process in `detail`: see `markOf`. */
  more: 64,
} as const;

/** A number for a process that most likely differs from its successor's; never 0, and it fits into a frame's detail. */
export function markOf(pid: number): number {
  return pid & 0xffff || 1;
}

/** HTTP: bits in the first word before the head: see `frames/http.ts`. */
export const RequestBit = {
  http10: 1,
  keepAlive: 2,
  chunked: 4,
  upgrade: 8,
  tls: 16,
  /** No head: an HTTP/2 connection (`tunnel` from its beginning). */
  http2: 32,
  /** The client waits with its body for 100 Continue (RFC 9110 10.1.1), which the worker sends when the body is read. */
  asksContinue: 64,
  /** The Expect field has an expectation unknown to HTTP: 417, unless the app accepts it. */
  expectsOther: 128,
} as const;

/** The side or rule that ended a connection. */
export type CloseInitiator = 'client' | 'server' | 'timeout' | 'limit' | 'error';

/** Why a connection ended: the `reason` of `close`. */
export interface CloseReason {
  /** docs/lifecycle.md lists them. */
  readonly code: CloseCodeName;
  /** The client, the server, or the rule of the server that ended it. */
  readonly initiator: CloseInitiator;
  /** A sentence for the log. */
  readonly message: string;
}

/** Order is the wire's: append only. */
const closeCodes = [
  ['CLIENT_CLOSED', 'client', 'the client ended the connection'],
  ['CLIENT_RESET', 'client', 'the client reset the connection'],
  ['SERVER_CLOSED', 'server', 'the server closed the connection'],
  ['SERVER_RESET', 'server', 'the server reset the connection'],
  ['SERVER_SHUTDOWN', 'server', 'the server is shutting down'],
  ['CALLBACK_FAILED', 'error', 'a callback for this connection failed'],
  ['SEND_QUEUE_LIMIT', 'limit', 'the client does not read: more than sendBufferSize is queued for it'],
  ['SOCKET_ERROR', 'error', 'the socket failed'],
  ['ANSWER_TIMEOUT', 'timeout', 'the client had ended its side and nothing of the answer left for halfCloseTimeoutMs'],
  ['PACKET_TOO_LONG', 'limit', 'a packet is longer than packageMaxLength'],
  ['PACKET_MALFORMED', 'error', 'the bytes of the client are not a packet'],
  ['HEARTBEAT_TIMEOUT', 'timeout', 'the client has sent nothing for heartbeatIdleMs'],
  ['WRITE_TIMEOUT', 'timeout', 'the client has not taken its queued bytes in time'],
  ['PROXY_HEADER', 'error', 'a PROXY header from a trusted address was expected'],
  ['TLS_HANDSHAKE', 'error', 'a TLS handshake was expected'],
  ['FILE_FAILED', 'error', 'a file to be sent could not be read'],
  ['MEMORY_LIMIT', 'limit', 'the server has buffered more than maxBufferedBytes, most of it for this client'],
  ['WORKER_DIED', 'error', 'the worker that owned the connection has died, or a process that held something for it'],
  ['WORKER_REPLACED', 'server', 'the worker was replaced before all of its answer could leave'],
  ['HTTP_REFUSED', 'error', 'the bytes of the client are not an HTTP request that the server can serve'],
  ['HTTP_TIMEOUT', 'timeout', 'the request did not come, or was not answered, in time'],
  ['KEEP_ALIVE_TIMEOUT', 'timeout', 'the client has sent no request for keepAliveTimeoutMs'],
  ['IDLE_TIMEOUT', 'timeout', 'neither the server nor the client has sent anything for maxIdleMs'],
  ['PING_TIMEOUT', 'timeout', 'the client has not answered two pings in a row'],
  ['SLOW_CONSUMER', 'limit', 'the client does not keep up with its rooms'],
  ['DATA_DETACHED', 'error', 'the memory of what was sent was transferred or shrunk before the client had taken it'],
] as const satisfies readonly (readonly [string, CloseInitiator, string])[];

export type CloseCodeName = (typeof closeCodes)[number][0];

export const CloseCode = Object.fromEntries(closeCodes.map(([name], index) => [name, index])) as Record<
  CloseCodeName,
  number
>;

export function closeReason(code: number, message: string): CloseReason {
  const [name, initiator, sentence] = closeCodes[code] ?? closeCodes[CloseCode.SOCKET_ERROR] ?? closeCodes[7];
  return { code: name, initiator, message: message || sentence };
}

export function frameBytes(payloadBytes: number): number {
  return HEADER_BYTES + ((payloadBytes + 7) & ~7);
}
