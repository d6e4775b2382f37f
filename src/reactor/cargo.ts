/**
 * What a reactor owns, in the shape in which another process can go on with it (BASE mode, at a reload): each connection
 * with all that is known of it, those that have not said yet who they are, and events that found no room.
 */
import type { Arrival } from '../ipc/arrival.js';
import { ReactorConnection } from './connection.js';
import { Input, type InputState } from './input.js';
import { OutQueue } from './out-queue.js';
import type { SpilledEvent } from './worker-lane.js';

/** Everything but the socket and the bytes. */
export interface ConnectionRecord {
  readonly kind: 'connection';
  readonly sessionId: number;
  readonly slot: number;
  readonly worker: number;
  readonly port: number;
  readonly hangup: boolean;
  readonly paused: boolean;
  readonly told: boolean;
  readonly closeCode: number;
  readonly lingering: boolean;
  readonly awaitsAnswer: boolean;
  readonly deadline: number;
  readonly answererPid: number;
  readonly full: boolean;
  readonly drainWatchers: number[] | null;
  /** Set where bytes of the client wait to be framed; they come first. */
  readonly input: InputState | null;
  readonly inputBytes: number;
  /** Since when the bytes that wait for the client do; they come behind the input. */
  readonly outSince: number;
  readonly outBytes: number;
}

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
  const { sessionId, slot, worker, port, hangup, paused, told, closeCode, lingering, full } = connection;
  const { awaitsAnswer, deadline, answererPid, drainWatchers, input, out, descriptor } = connection;
  const waiting = input === null ? [] : [input.bytes.subarray(input.from, input.to)];
  const queued = out?.pieces ?? [];
  const known = { sessionId, slot, worker, port, hangup, paused, told, closeCode, lingering, full };
  const ending = { awaitsAnswer, deadline, answererPid, drainWatchers };
  const amounts = { inputBytes: input?.length ?? 0, outBytes: out?.bytes ?? 0, outSince: out?.since ?? 0 };
  const record = { kind: 'connection', ...known, ...ending, input: input?.state ?? null, ...amounts } as const;
  return { record, descriptor, bytes: [...waiting, ...queued] };
}

export function unpackConnection({ record, descriptor, bytes }: Cargo<ConnectionRecord>): ReactorConnection {
  const { sessionId, slot, worker, port, hangup, paused, told, closeCode, lingering, full } = record;
  const { awaitsAnswer, deadline, answererPid, drainWatchers } = record;
  const connection = new ReactorConnection(sessionId, slot, descriptor, worker, port);
  Object.assign(connection, { hangup, paused, told, closeCode, lingering, full });
  Object.assign(connection, { awaitsAnswer, deadline, answererPid, drainWatchers });
  const all = Buffer.concat(bytes);
  const input = all.subarray(0, record.inputBytes);
  if (record.input !== null) connection.input = Input.restored(input, record.input);
  if (record.outBytes > 0) {
    connection.out = new OutQueue(record.outSince);
    connection.out.push(all, record.inputBytes, record.inputBytes + record.outBytes);
  }
  connection.readable = true; // whatever has come meanwhile
  return connection;
}
