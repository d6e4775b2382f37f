/** Where each field of a connection's record lies: `connection-table.ts` reads and writes them. */
import { CONNECTION_RECORD_BYTES } from './layout.js';
import { float64, int32, layoutRecord } from './record.js';

/** So many processes that hold something for one connection are known one by one. */
export const MOST_HOLDERS = 8;
/** From one record to the next, in units of 4 bytes, and of 8. */
export const INTS = CONNECTION_RECORD_BYTES / 4;
export const FLOATS = CONNECTION_RECORD_BYTES / 8;

/** Fields read together lie together: identity in the first 64 bytes, activity in the others. */
export const record = layoutRecord(
  {
    sessionId: float64(),
    state: int32(),
    worker: int32(),
    portIndex: int32(),
    descriptor: int32(),
    family: int32(),
    /** 16 bytes. */
    address: int32(4),
    remotePort: int32(),
    uid: int32(),
    flags: int32(),
    sendQueued: int32(),
    closeErrno: int32(),
    /** Times in ms of `monotonicMs()`. */
    connectedAt: float64(),
    lastReceivedAt: float64(),
    lastSentAt: float64(),
    lastDispatchedAt: float64(),
    receivedBytes: float64(),
    sentBytes: float64(),
    /** Bytes received, and handled by workers, modulo 2^32. */
    received32: int32(),
    handled32: int32(),
    /** Bytes of packets dispatched to workers. */
    dispatched32: int32(),
    /** HTTP: the process that has taken the request in flight; 0: none yet. */
    taker: int32(),
    /** The generation of the session that a process of the server has closed. */
    closedGeneration: int32(),
    /** Processes that hold something for it, by pid: see `holders.ts`. */
    holders: int32(MOST_HOLDERS),
    /** And those that have found no place there. */
    moreHolders: int32(),
  },
  CONNECTION_RECORD_BYTES,
).at;
