/**
 * What a reactor owns, in the shape in which another process can go on with it (BASE mode, at a reload): each connection
 * with all that is known of it, those that have not said yet who they are, and events that found no room.
 */
import type { Arrival } from '../ipc/arrival.js';
import { allocateStable } from '../os/libc.js';
import { ReactorConnection } from './connection.js';
import { type HttpRecord, packHttp, unpackHttp } from './http/http-state.js';
import { Input, type InputState } from './input.js';
import { type Chunk, FilePart, OutQueue } from './out-queue.js';
import type { Speech, WaitingFrame } from './speeches.js';
import type { SpilledEvent } from './worker-lane.js';

/** Everything but the socket and the bytes. */
export interface ConnectionRecord {
  readonly kind: 'connection';
  readonly sessionId: number;
  readonly slot: number;
  readonly worker: number;
  readonly port: number;
  readonly lastWorker: number;
  readonly hangup: boolean;
  readonly paused: boolean;
  readonly unconfirmed: boolean;
  readonly left: boolean;
  readonly throttled: boolean;
  readonly told: boolean;
  readonly closeCode: number;
  readonly closeAnnounced: boolean;
  readonly lingering: boolean;
  readonly awaitsAnswer: boolean;
  readonly deadline: number;
  readonly answererPid: number;
  readonly full: boolean;
  readonly http: HttpRecord | null;
  readonly drainWatchers: number[] | null;
  /** Set where bytes of the client wait to be framed; they come first. */
  readonly input: InputState | null;
  readonly inputBytes: number;
  /** Since when something waits for the client. */
  readonly outSince: number;
  /** A send that is not whole, and what waits behind it; their bytes come last. */
  readonly speech: SpeechRecord | null;
  /** What waits for it, in order: files, and numbers of bytes, which come behind the input. */
  readonly out: readonly (number | FileRecord)[];
}

interface SpeechRecord extends Omit<Speech, 'waiting'> {
  readonly waiting: readonly Pick<WaitingFrame, 'peer' | 'word' | 'sessionId' | 'length'>[];
}

export type FileRecord = Pick<FilePart, 'path' | 'offset' | 'left'>;

/** A client that was to tell first whose connection it is. */
export interface VisitorRecord extends Omit<Arrival, 'descriptor' | 'address'> {
  readonly kind: 'visitor';
  /** Hexadecimal. */
  readonly address: string;
}

export interface EventRecord extends Omit<SpilledEvent, 'payload'> {
  readonly kind: 'event';
  readonly worker: number;
}

export type CargoRecord = ConnectionRecord | VisitorRecord | EventRecord;

export interface Cargo<R extends CargoRecord = CargoRecord> {
  readonly record: R;
  /** −1: none belongs to it. */
  readonly descriptor: number;
  readonly bytes: readonly Buffer[];
}

export function packEvent(worker: number, { payload, ...event }: SpilledEvent): Cargo<EventRecord> {
  return { record: { kind: 'event', worker, ...event }, descriptor: -1, bytes: [payload] };
}

export function packConnection(connection: ReactorConnection): Cargo<ConnectionRecord> {
  const { sessionId, slot, worker, port, hangup, paused, throttled, told, closeCode, lingering, full } = connection;
  const { awaitsAnswer, deadline, answererPid, drainWatchers, input, out, descriptor, closeAnnounced } = connection;
  const { unconfirmed, left } = connection;
  const waiting = input === null ? [] : [input.bytes.subarray(input.from, input.to)];
  const items = out?.items ?? [];
  const queued = items.flatMap((item) =>
    item instanceof FilePart ? [] : [item.buffer.subarray(item.start, item.end)],
  );
  const known = { sessionId, slot, worker, port, hangup, paused, throttled, told, closeCode, lingering, full };
  const ending = { awaitsAnswer, deadline, answererPid, drainWatchers, closeAnnounced, unconfirmed, left };
  const { lastWorker } = connection;
  const waits = { lastWorker, inputBytes: input?.length ?? 0, out: items.map(packItem), outSince: out?.since ?? 0 };
  const http = connection.http === null ? null : packHttp(connection.http);
  const speech = connection.speech && packSpeech(connection.speech);
  const record = {
    kind: 'connection',
    ...known,
    ...ending,
    http,
    input: input?.state ?? null,
    speech,
    ...waits,
  } as const;
  out?.close();
  const spoken = (connection.speech?.waiting ?? []).map(({ bytes }) => bytes);
  return { record, descriptor, bytes: [...waiting, ...queued, ...spoken] };
}

export function unpackConnection({ record, descriptor, bytes }: Cargo<ConnectionRecord>): ReactorConnection {
  const { sessionId, slot, worker, port, hangup, paused, told, closeCode, lingering, full } = record;
  const { awaitsAnswer, deadline, answererPid, drainWatchers, closeAnnounced, unconfirmed, left } = record;
  const connection = new ReactorConnection(sessionId, slot, descriptor, worker, port);
  connection.throttled = record.throttled;
  connection.lastWorker = record.lastWorker;
  Object.assign(connection, { hangup, paused, unconfirmed, left, told, closeCode, lingering, full });
  Object.assign(connection, { awaitsAnswer, deadline, answererPid, drainWatchers, closeAnnounced });
  const all = Buffer.concat(bytes);
  const input = all.subarray(0, record.inputBytes);
  if (record.input !== null) connection.input = Input.restored(input, record.input);
  if (record.http !== null) connection.http = unpackHttp(record.http);
  if (record.out.length > 0) connection.out = unpackOut(record, all);
  if (record.speech !== null) connection.speech = unpackSpeech(record.speech, all);
  connection.readable = true; // whatever has come meanwhile
  return connection;
}

function packItem(item: Chunk | FilePart): number | FileRecord {
  if (!(item instanceof FilePart)) return item.end - item.start;
  const { path, offset, left } = item;
  return { path, offset, left };
}

function packSpeech({ peer, mark, waiting }: Speech): SpeechRecord {
  return {
    peer,
    mark,
    waiting: waiting.map(({ peer, word, sessionId, length }) => ({ peer, word, sessionId, length })),
  };
}

/** @param all ends with its bytes */
function unpackSpeech({ peer, mark, waiting }: SpeechRecord, all: Buffer): Speech {
  let at = all.length - waiting.reduce((sum, { length }) => sum + length, 0);
  const frames = waiting.map((frame) => {
    const bytes = allocateStable(frame.length);
    all.copy(bytes, 0, at, at + frame.length);
    at += frame.length;
    return { ...frame, bytes, payloadAt: 0 };
  });
  return { peer, mark, waiting: frames };
}

function unpackOut({ out, outSince, inputBytes }: ConnectionRecord, bytes: Buffer): OutQueue {
  const queue = new OutQueue(outSince);
  let at = inputBytes;
  for (const item of out) {
    if (typeof item !== 'number') {
      queue.pushFile(new FilePart(item.path, item.offset, item.left));
      continue;
    }
    queue.push(bytes, at, at + item);
    at += item;
  }
  return queue;
}
