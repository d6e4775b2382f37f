/** Computes the sizes of the shared memory from the options. Runs in the master. */

import { type RegionShape, TLS_CERTIFICATE_RECORD_BYTES, TLS_RECORD_BYTES } from '../memory/layout.js';
import { MAX_SLOTS, MESSAGE_SLOTS } from '../memory/messaging-layout.js';
import { slotCount } from '../memory/slot-count.js';
import type { ResolvedListen, ResolvedOptions } from '../options/index.js';

/** Running tasks and unread results need slots besides waiting tasks and messages. */
const SLOTS_BESIDES_WAITING = MESSAGE_SLOTS + 1024;

/** All records about TLS together; a page of it takes memory when it is first written. */
const TLS_BYTES = 1024 * 1024 * 1024;

/** Bytes per connection for its TLS record: 0 where no port speaks it. */
export function tlsRecordBytesFor(listens: readonly Pick<ResolvedListen, 'tls'>[]): number {
  const spoken = listens.flatMap(({ tls }) => (tls === null ? [] : [tls]));
  if (spoken.length === 0) return 0;
  return spoken.some(({ requestCert }) => requestCert) ? TLS_CERTIFICATE_RECORD_BYTES : TLS_RECORD_BYTES;
}

/** The part of `wanted` bytes per slot that fits the limit for all slots together. */
function fittingBytes(wanted: number, slots: number): number {
  return Math.min(wanted, Math.floor(TLS_BYTES / slots / 8) * 8);
}

/** Lines of the log that the dashboard can show. */
const LOG_LINES = 2000;

/** What only some ports need. */
export interface PortNeeds {
  readonly tlsRecordBytes: number;
  /** Connections may have data, and be in rooms. */
  readonly webSockets: boolean;
}

export function needsOf(listens: readonly Pick<ResolvedListen, 'tls' | 'protocol'>[]): PortNeeds {
  return {
    tlsRecordBytes: tlsRecordBytesFor(listens),
    webSockets: listens.some(({ protocol }) => protocol === 'websocket'),
  };
}

export function shapeOf(options: ResolvedOptions, userProcessNum: number, needs: PortNeeds): RegionShape {
  // In BASE mode each worker is the reactor of its own connections.
  const reactorNum = options.mode === 'base' ? options.workerNum : options.reactorNum;
  const { maxWorkerNum: workerNum, taskWorkerNum, maxConnections, channelSize, taskQueueLimit } = options;
  const waiting = taskWorkerNum === 0 ? 0 : taskQueueLimit;
  const { tlsRecordBytes, webSockets } = needs;
  const slots = slotCount(maxConnections, reactorNum);
  return {
    reactorNum,
    workerNum,
    taskWorkerNum,
    userProcessNum,
    slots,
    tlsSlots: tlsRecordBytes === 0 ? 0 : slots,
    tlsRecordBytes: Math.max(Math.min(tlsRecordBytes, TLS_RECORD_BYTES), fittingBytes(tlsRecordBytes, slots)),
    dataSlots: webSockets ? slots : 0,
    rooms: webSockets ? 2 ** Math.ceil(Math.log2(options.maxRooms)) : 0,
    ringBytes: channelSize,
    messageSlots: Math.min(waiting + SLOTS_BESIDES_WAITING, MAX_SLOTS),
    logSlots: options.admin?.dashboard === true ? LOG_LINES : 0,
  };
}
