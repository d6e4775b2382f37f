/**
 * What a reactor owns, as another process can resume it (BASE mode, at a reload): each connection with all its
 * state, clients that are not connections yet, and events that found no room.
 */
import type { Arrival } from '../../ipc/arrival.js';
import { addressOf, allocateStable } from '../../os/libc.js';
import { Connection } from '../connection.js';
import { Input, type InputState } from '../input.js';
import { Hold, type Life } from '../life.js';
import { type Chunk, FilePart, OutQueue } from '../out-queue.js';
import type { Protocol } from '../protocol.js';
import type { Speech, WaitingFrame } from '../speech.js';
import type { Transport } from '../transport/transport.js';
import type { SpilledEvent } from '../worker-ring.js';

/** Fields that are copied as they are. */
const plainFields = [
  ...(['lastWorker', 'hangup', 'unconfirmed', 'mayBeLeft', 'closeSent', 'closeCode', 'closeAnnounced'] as const),
  ...(['deadline', 'answererPid', 'full', 'waitingSince', 'drainWatchers'] as const),
] as const;

/** Holds that last into the next process; the other reasons are those of this one. */
const LASTING_HOLDS = Hold.paused | Hold.inflight;

/** Everything but the socket and the bytes. */
export interface ConnectionRecord extends Pick<Connection, (typeof plainFields)[number]> {
  readonly kind: 'connection';
  readonly sessionId: number;
  readonly slot: number;
  readonly worker: number;
  readonly port: number;
  readonly life: Life;
  readonly holds: number;
  /** The protocol's name. */
  readonly protocol: string;
  /** What the protocol saved. */
  readonly state: unknown;
  /** Set where client bytes wait to be taken; they come first. */
  readonly input: InputState | null;
  readonly inputBytes: number;
  /** An unfinished send and the frames behind it; their bytes come last. */
  readonly speech: SpeechRecord | null;
  /** What is queued for the client, in order: files, and numbers of bytes, which come behind the input. */
  readonly out: readonly (number | FileRecord)[];
}

interface SpeechRecord extends Omit<Speech, 'waiting' | 'waitingBytes'> {
  readonly waiting: readonly Pick<WaitingFrame, 'peer' | 'word' | 'sessionId' | 'length'>[];
}

export type FileRecord = Pick<FilePart, 'path' | 'offset' | 'left'>;

/** A client whose PROXY header is incomplete. */
export interface PendingRecord extends Omit<Arrival, 'descriptor' | 'address'> {
  readonly kind: 'pending';
  /** Hexadecimal. */
  readonly address: string;
}

export interface EventRecord extends Omit<SpilledEvent, 'payload'> {
  readonly kind: 'event';
  readonly worker: number;
}

/** A publication of which the beginning has come; all pieces lie in one. */
export interface PublicationRecord {
  readonly kind: 'publication';
  readonly peer: number;
}

export type SnapshotRecord = ConnectionRecord | PendingRecord | EventRecord | PublicationRecord;

export interface Snapshot<R extends SnapshotRecord = SnapshotRecord> {
  readonly record: R;
  /** −1: it has none. */
  readonly descriptor: number;
  readonly bytes: readonly Buffer[];
}

export function packEvent(worker: number, { payload, ...event }: SpilledEvent): Snapshot<EventRecord> {
  return { record: { kind: 'event', worker, ...event }, descriptor: -1, bytes: [payload] };
}

export function packPieces(peer: number, bytes: readonly Buffer[]): Snapshot<PublicationRecord> {
  return { record: { kind: 'publication', peer }, descriptor: -1, bytes };
}

export function packConnection(connection: Connection): Snapshot<ConnectionRecord> {
  const { sessionId, slot, worker, port, life, holds, protocol, input, out, descriptor, speech } = connection;
  const waiting = input === null ? [] : [input.bytes.subarray(input.from, input.to)];
  const items = out?.items ?? [];
  const queued = items.flatMap((item) =>
    item instanceof FilePart ? [] : [item.isLent ? Buffer.from(item.rest) : item.rest],
  );
  const plain = Object.fromEntries(plainFields.map((field) => [field, connection[field]]));
  const record = {
    ...(plain as Pick<Connection, (typeof plainFields)[number]>),
    ...({ kind: 'connection', sessionId, slot, worker, port, life, holds: holds & LASTING_HOLDS } as const),
    ...{ protocol: protocol.name, state: protocol.save(connection) },
    ...{ input: input?.state ?? null, inputBytes: input?.length ?? 0, out: items.map(packItem) },
    speech: speech && packSpeech(speech),
  };
  out?.close();
  const spoken = (speech?.waiting ?? []).map(({ bytes }) => bytes);
  return { record, descriptor, bytes: [...waiting, ...queued, ...spoken] };
}

export function unpackConnection(
  { record, descriptor, bytes }: Snapshot<ConnectionRecord>,
  protocol: Protocol,
  transport: Transport,
): Connection {
  const connection = new Connection({ ...record, descriptor }, protocol, transport, null);
  for (const field of plainFields) {
    if (record[field] !== connection[field]) Object.assign(connection, { [field]: record[field] });
  }
  connection.restoreLife(record.life);
  connection.holds = record.holds;
  const all = Buffer.concat(bytes);
  const input = all.subarray(0, record.inputBytes);
  if (record.input !== null) connection.input = Input.restored(input, record.input);
  protocol.restore(connection, record.state);
  if (record.out.length > 0) connection.out = unpackOut(record, all);
  if (record.speech !== null) connection.speech = unpackSpeech(record.speech, all);
  connection.readable = true; // bytes may have come meanwhile
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
  const waitingBytes = waiting.reduce((sum, { length }) => sum + length, 0);
  let at = all.length - waitingBytes;
  const frames = waiting.map((frame) => {
    const bytes = allocateStable(frame.length);
    all.copy(bytes, 0, at, at + frame.length);
    at += frame.length;
    return { ...frame, bytes, address: addressOf(bytes), payloadAt: 0 };
  });
  return { peer, mark, waiting: frames, waitingBytes };
}

function unpackOut({ out, inputBytes }: ConnectionRecord, bytes: Buffer): OutQueue {
  const queue = new OutQueue();
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
