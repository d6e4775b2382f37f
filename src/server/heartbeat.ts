import { describe, ServerError, told } from '../errors/index.js';
import { type ConnectionTable, SlotFlag } from '../memory/connection-table.js';
import { refuseUnknownNames } from '../options/known-names.js';
import { monotonicMs } from '../util/clock.js';
import type { ListenPort } from './listen-port.js';

export interface HeartbeatOptions {
  readonly close?: boolean | undefined;
  readonly idleMs?: number | undefined;
}

/**
 * Options that close clients are checked strictly: `close: 'no'` is not an answer. @throws ServerError ERR_HEARTBEAT, ERR_OPTION_UNKNOWN
 */
export function checkHeartbeat(options: unknown): { close: boolean; idleMs: number | undefined } {
  if (typeof options !== 'object' || options === null) {
    throw told(
      new ServerError('ERR_HEARTBEAT', { why: `it takes an object with options, received ${describe(options)}` }),
    );
  }
  refuseUnknownNames('options', options, ['close', 'idleMs']);
  const { close = false, idleMs } = options as HeartbeatOptions;
  if (typeof close === 'boolean') return { close, idleMs };
  throw told(new ServerError('ERR_HEARTBEAT', { why: `close must be true or false, received ${describe(close)}` }));
}

/**
 * The clients that have been silent for too long: those of each port for its `heartbeatIdleMs`, or all for
 * `idleMs`. Read from shared memory, in any process. @throws ServerError ERR_HEARTBEAT
 */
export function silentConnections(
  table: ConnectionTable | undefined,
  ports: readonly ListenPort[],
  idleMs: number | undefined,
): number[] {
  if (idleMs !== undefined && !(Number.isFinite(idleMs) && idleMs > 0)) {
    throw told(
      new ServerError('ERR_HEARTBEAT', { why: `idleMs must be a number above 0, received ${describe(idleMs)}` }),
    );
  }
  const limits = ports.map(({ settings }) => idleMs ?? settings.heartbeatIdleMs);
  if (limits.every((limit) => limit === 0))
    throw told(new ServerError('ERR_HEARTBEAT', { why: 'heartbeatIdleMs is 0' }));
  const silent: number[] = [];
  if (table === undefined) return silent;
  const now = monotonicMs();
  for (const fd of table.sessions()) {
    const slot = table.slotOf(fd);
    const limit = limits[table.portIndex(slot)] ?? 0;
    const isSilent = limit > 0 && now - table.lastReceivedAt(slot) >= limit;
    if (isSilent && !table.hasFlag(slot, SlotFlag.protected)) silent.push(fd);
  }
  return silent;
}
