import type { ChunkedDecoder } from '../../../protocol/http/chunked.js';
import { Pace } from '../../../protocol/http/pace.js';
import { type AccessRecord, type PackedRecord, packRecord, unpackRecord } from './access-record.js';

/** What a connection that speaks HTTP is doing. */
export const Phase = {
  /** Between two requests, or in the middle of a head (or of a body that the reactor collects whole). */
  request: 0,
  /** A worker owes the reply; the request has come whole. */
  owed: 1,
  /** A worker has the head and receives the body as it comes; it owes the reply, or has begun it. */
  streaming: 2,
  /** The reply is whole but the client has not taken all of it. */
  flushing: 3,
} as const;
export type Phase = (typeof Phase)[keyof typeof Phase];

/** Bytes of a body in flight to a worker, at most, beyond what it has taken. */
export const BODY_WINDOW = 262_144;

export interface Answerer {
  readonly peer: number;
  readonly pid: number;
}

/** What was published to a room, for an answer in the midst of a piece. */
export interface WaitingEvents {
  readonly bytes: Buffer;
  readonly address: number;
  readonly messages: number;
}

/** The HTTP state of one connection. Runs in the reactor. */
export class HttpState {
  phase: Phase = Phase.request;
  /** No request has come yet: the preface of HTTP/2 may (RFC 9113, 3.4). */
  isFresh = true;
  /** ALPN has agreed upon HTTP/2: the connection becomes a tunnel before its first byte. */
  isHttp2 = false;
  /** The number of the request that is, or was last, under way; replies carry it. */
  exchange = 0;
  /** The worker that has the request. */
  worker = -1;
  /** The worker has begun its reply. */
  begun = false;
  /** Of a detached request: the process that has begun its reply; no other process may continue it. */
  answerer: Answerer | null = null;
  /** JoinAs, where the answer is a member of rooms; 0: it is not. */
  joinedAs = 0;
  /** Further frames of a piece of the answer follow: what is published waits. */
  isWithinPiece = false;
  waitingEvents: WaitingEvents[] | null = null;
  /** The first byte of the next request has come. */
  hasBegun = false;
  /**
   * What a time-out counts from, in ms of `monotonicMs()`: the last reply, the first byte of a request, progress
   * of a body.
   */
  since: number;
  /** The client would keep the connection after the reply. */
  keepAlive = false;
  isHead = false;
  http10 = false;
  /** Length of the request at the front, head and body, while the reactor waits for the body; 0: not known. */
  wanted = 0;
  /** How much of an incomplete head was parsed without success. */
  looked = 0;
  /** While the reactor waits for such a body: bytes of the request present at the last look. */
  had = 0;
  /** Streaming: the client holds its body back until the worker sends 100 Continue. */
  asksContinue = false;
  /** `rateLimit`, of the request at the front: 0: not asked yet; −1: it may go on; else refused, come again after that many ms. */
  verdict = 0;
  /** Pace of the body that the reactor waits for. */
  readonly pace = new Pace();
  /** Streaming: the remaining bytes of a body with a length. */
  bodyLeft = 0;
  /** Streaming: of a chunked body. */
  decoder: ChunkedDecoder | null = null;
  /** Streaming: N more bytes may go to the worker. */
  credit = BODY_WINDOW;
  /** The request under way, for the access log; null: there is none, or no log. */
  access: AccessRecord | null = null;
  /** Address of the client, for the access log; undefined: not asked for yet. */
  peer: string | undefined;
  /** No request comes behind the one under way: the process is being replaced. */
  isDismissed = false;

  constructor(now: number) {
    this.since = now;
    this.pace.begin(now);
  }

  /** A worker owes a reply, or the rest of one. */
  get isOwed(): boolean {
    return this.phase === Phase.owed || this.phase === Phase.streaming;
  }
}

/** The state that another process needs to continue (BASE mode): uploads and tunnels end before. */
export type HttpRecord = Pick<
  HttpState,
  | 'phase'
  | 'isFresh'
  | 'exchange'
  | 'worker'
  | 'begun'
  | 'isWithinPiece'
  | 'answerer'
  | 'hasBegun'
  | 'since'
  | 'keepAlive'
  | 'isHead'
  | 'http10'
  | 'wanted'
  | 'had'
> & { readonly access: PackedRecord | null };

export function packHttp(state: HttpState): HttpRecord {
  const { phase, exchange, worker, begun, hasBegun, since, keepAlive, isHead, http10, wanted, had } = state;
  const { isFresh, answerer, isWithinPiece } = state;
  const access = state.access && packRecord(state.access);
  const request = { since, keepAlive, isHead, http10, wanted, had };
  return { phase, isFresh, exchange, worker, begun, isWithinPiece, answerer, hasBegun, access, ...request };
}

export function unpackHttp({ access, ...record }: HttpRecord): HttpState {
  return Object.assign(new HttpState(record.since), record, { access: access && unpackRecord(access) });
}
