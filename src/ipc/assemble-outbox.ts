/** Puts together how a process sends to connections: its rings to the reactors, and who is asked for room. */

import { ReactorBoard, WorkerBoard, WorkerField } from '../memory/boards.js';
import { ConnectionTable } from '../memory/connection-table.js';
import type { RegionShape } from '../memory/layout.js';
import type { Region } from '../memory/region.js';
import type { ResolvedListen, ResolvedOptions } from '../options/index.js';
import type { DoorbellDescriptors } from '../os/doorbell.js';
import { reactorBell } from './bells.js';
import type { OutboxLimits } from './out-state.js';
import { Outbox } from './outbox.js';
import type { ReactorLink } from './reactor-links.js';
import type { LocalLink } from './reply.js';
import { RingWriter } from './ring.js';
import { Waker, type Wakes } from './sleep.js';

export interface LinkPlace {
  readonly region: Region;
  readonly bells: readonly DoorbellDescriptors[];
  readonly peer: number;
  /** How a reactor in this process is woken. */
  readonly reactorWaker?: ((reactor: number) => Wakes | undefined) | undefined;
  /** The short way to a reactor in this thread. */
  readonly direct?: ((reactor: number) => LocalLink | undefined) | undefined;
}

/** One ring to each reactor. */
export function linksOf({ region, bells, peer, reactorWaker, direct }: LinkPlace): ReactorLink[] {
  const board = new ReactorBoard(region);
  return eachReactor(region.shape).map((reactor) => ({
    ring: new RingWriter(region, region.layout.outbound(reactor, peer)),
    waker: reactorWaker?.(reactor) ?? new Waker(region.int32, board.sleepIndex(reactor), reactorBell(bells, reactor)),
    direct: direct?.(reactor),
  }));
}

/** @param hearsOfRoom reactors tell this process by events; else it looks into shared memory */
export function createOutbox(
  { region, peer }: Pick<LinkPlace, 'region' | 'peer'>,
  links: readonly ReactorLink[],
  options: ResolvedOptions,
  listens: readonly ResolvedListen[],
  hearsOfRoom: boolean,
): Outbox {
  const { highWatermark, sendBufferSize: limitBytes, mode } = options;
  const board = new WorkerBoard(region);
  return new Outbox(new ConnectionTable(region, peer), links, {
    highWatermark,
    limitBytes,
    ports: limitsOf(listens),
    hearsOfRoom,
    hasRooms: region.shape.rooms > 0,
    // In BASE mode a reactor is part of the worker of the same number.
    isDead: (reactor) => mode === 'base' && board.field(reactor, WorkerField.pid) === 0,
  });
}

/** What `Outbox` needs to know of each port. */
function limitsOf(listens: readonly ResolvedListen[]): OutboxLimits[] {
  return listens.map(({ highWatermark, sendBufferSize }) => ({ highWatermark, limitBytes: sendBufferSize }));
}

function eachReactor({ reactorNum }: RegionShape): number[] {
  return Array.from({ length: reactorNum }, (_, reactor) => reactor);
}
