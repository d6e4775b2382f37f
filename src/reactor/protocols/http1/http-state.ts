import type { ChunkedDecoder } from '../../../protocol/http/chunked.js';
import { Pace } from '../../../protocol/http/pace.js';

/** What a connection that speaks HTTP is doing. */
export const Phase = {
  /** Between two requests, or in the middle of a head (or of a body that is waited for as a whole). */
  request: 0,
  /** A worker owes the answer; the request has come as a whole. */
  owed: 1,
  /** A worker has the head and is sent the body as it comes; it owes the answer, or has begun it. */
  streaming: 2,
  /** The answer is whole but the client has not taken all of it. */
  flushing: 3,
} as const;
export type Phase = (typeof Phase)[keyof typeof Phase];

/** Bytes of a body that may be on their way to a worker, beyond what it has taken. */
export const BODY_WINDOW = 262_144;

export interface Answerer {
  readonly peer: number;
  readonly pid: number;
}

/** The HTTP of one connection. Runs in the reactor. */
export class HttpState {
  phase: Phase = Phase.request;
  /** No request has come yet: the preface of HTTP/2 may (RFC 9113, 3.4). */
  isFresh = true;
  /** ALPN has agreed upon HTTP/2: the connection becomes a tunnel before its first byte. */
  isHttp2 = false;
  /** The number of the request that is, or was last, under way; answers bear it. */
  exchange = 0;
  /** Who has the request. */
  worker = -1;
  /** The worker has begun its answer. */
  begun = false;
  /** Of a detached request: the process that has begun its answer, and that alone goes on with it. */
  answerer: Answerer | null = null;
  /** A byte of the next request has come. */
  hasBegun = false;
  /** What a time-out counts from, in ms of `monotonicMs()`: the last answer, the first byte of a request, progress of a body. */
  since: number;
  /** The client would stay after the answer. */
  keepAlive = false;
  isHead = false;
  http10 = false;
  /** How long the request at the front is, head and body, while the body is waited for; 0: not known. */
  wanted = 0;
  /** How much of an incomplete head was parsed without success. */
  looked = 0;
  /** While such a body is waited for: how much of the request there was when it was looked at last. */
  had = 0;
  /** Streaming: the client waits with its body until the worker says 100 Continue. */
  asksContinue = false;
  /** How fast the body comes that the client is waited for. */
  readonly pace = new Pace();
  /** Streaming: what is left of a body with a length. */
  bodyLeft = 0;
  /** Streaming: of a chunked body. */
  decoder: ChunkedDecoder | null = null;
  /** Streaming: so many bytes may still go to the worker. */
  credit = BODY_WINDOW;
  /** No request comes behind the one that is under way: the process is being replaced. */
  isDismissed = false;

  constructor(now: number) {
    this.since = now;
    this.pace.begin(now);
  }

  /** A worker is to send (the rest of) an answer. */
  get isOwed(): boolean {
    return this.phase === Phase.owed || this.phase === Phase.streaming;
  }
}

/** What another process needs to go on with it (BASE mode): uploads and tunnels end before. */
export type HttpRecord = Pick<
  HttpState,
  | 'phase'
  | 'isFresh'
  | 'exchange'
  | 'worker'
  | 'begun'
  | 'answerer'
  | 'hasBegun'
  | 'since'
  | 'keepAlive'
  | 'isHead'
  | 'http10'
  | 'wanted'
  | 'had'
>;

export function packHttp(state: HttpState): HttpRecord {
  const { phase, exchange, worker, begun, hasBegun, since, keepAlive, isHead, http10, wanted, had } = state;
  const { isFresh, answerer } = state;
  const request = { since, keepAlive, isHead, http10, wanted, had };
  return { phase, isFresh, exchange, worker, begun, answerer, hasBegun, ...request };
}

export function unpackHttp(record: HttpRecord): HttpState {
  return Object.assign(new HttpState(record.since), record);
}
