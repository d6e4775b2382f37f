/**
 * Assembles a reactor from the regions and links of its process or thread: in a reactor thread, and in a worker in
 * BASE mode.
 */
import { peerBell, reactorBell, workerBell } from '../ipc/bells.js';
import { RingReader, RingWriter } from '../ipc/ring.js';
import { Sleeper, Waker, type Wakes } from '../ipc/sleep.js';
import { createFramer } from '../listen/create-framer.js';
import { type LoadedTls, loadTls } from '../listen/tls-material.js';
import { ReactorBoard, WorkerBoard, WorkerField } from '../memory/boards.js';
import { LANES_PER_WORKER, peerNum, peerOf, peerOfMaster } from '../memory/layout.js';
import type { Region } from '../memory/region.js';
import { type DoorbellDescriptors, ringDoorbell } from '../os/doorbell.js';
import type { PortOptions, ReactorOptions } from './context.js';
import { type DispatchFunction, type DispatchMode, type DispatchStrategy, loadDispatch } from './dispatch/index.js';
import type { PortFraming } from './protocols/definition.js';
import { rawFraming } from './protocols/framed.js';
import { Reactor } from './reactor.js';
import type { ReactorSender } from './requests.js';
import type { ReactorParts } from './wiring.js';
import { WorkerRing } from './worker-ring.js';

/** Loaded before a reactor can be assembled: user modules and certificates. */
export interface ReactorModules {
  readonly dispatch: DispatchFunction | undefined;
  readonly framings: readonly (PortFraming | undefined)[];
  readonly certificates: readonly (LoadedTls | undefined)[];
}

/** @throws ServerError when a user module or a certificate cannot be used */
export async function loadModules(
  ports: readonly PortOptions[],
  dispatchMode: DispatchMode,
  region: Region,
): Promise<ReactorModules> {
  const dispatch = typeof dispatchMode === 'string' ? undefined : await loadDispatch(dispatchMode.module);
  const framings = await Promise.all(ports.map((port) => loadFraming(port, dispatch !== undefined)));
  const certificates = ports.map(({ tls }) => (tls === null ? undefined : loadTls(tls, region.ticketSecret)));
  return { dispatch, framings, certificates };
}

async function loadFraming(port: PortOptions, isSeen: boolean): Promise<PortFraming | undefined> {
  const { framing, packageMaxLength } = port;
  const framer = await createFramer(framing);
  if (framer !== undefined) return { framer, packageMaxLength };
  return isSeen ? rawFraming : undefined;
}

export interface ReactorPlace
  extends Pick<ReactorParts, 'createPoller' | 'onRefused' | 'onOverload' | 'onBrokenSender' | 'accessLog'> {
  readonly id: number;
  readonly region: Region;
  readonly bells: readonly DoorbellDescriptors[];
  readonly options: ReactorOptions;
  readonly strategy: DispatchStrategy;
  readonly modules: ReactorModules;
  readonly takesDatagrams: boolean;
  /** Wakes a worker that runs in this very process (BASE mode). */
  readonly wakerOf?: (worker: number, lane: number) => Wakes | undefined;
}

export function assembleReactor(place: ReactorPlace): Reactor {
  const { id, region, bells, options, strategy, modules } = place;
  const { shape, layout } = region;
  const workers = new WorkerBoard(region);
  const wakerOf = (worker: number, lane: number): Wakes =>
    place.wakerOf?.(worker, lane) ??
    new Waker(region.int32, workers.sleepIndex(worker, lane), workerBell(bells, shape, worker, lane));
  const rings = Array.from({ length: shape.workerNum }, (_, worker) => {
    const wakers = Array.from({ length: LANES_PER_WORKER }, (__, lane) => wakerOf(worker, lane));
    const ring = new RingWriter(region, layout.inbound(id, worker));
    return new WorkerRing(worker, ring, wakers, () => workers.field(worker, WorkerField.lane));
  });
  return new Reactor({
    id,
    region,
    options,
    strategy,
    takesDatagrams: place.takesDatagrams,
    ...modules,
    rings,
    senders: sendersTo(id, region, bells, rings),
    sleeper: new Sleeper(region.int32, new ReactorBoard(region).sleepIndex(id)),
    bell: reactorBell(bells, id),
    accessLog: place.accessLog,
    createPoller: place.createPoller,
    onRefused: place.onRefused,
    onOverload: place.onOverload,
    onBrokenSender: place.onBrokenSender,
  });
}

/** By peer. */
function sendersTo(
  id: number,
  region: Region,
  bells: readonly DoorbellDescriptors[],
  rings: readonly WorkerRing[],
): ReactorSender[] {
  const { shape, layout } = region;
  /** Only workers receive events: other senders that wait for room are rung and look for themselves. */
  const firstOfOthers = peerOf(shape.workerNum, 0);
  return Array.from({ length: peerNum(shape) }, (_, peer) => {
    const worker = peer < firstOfOthers ? Math.floor(peer / LANES_PER_WORKER) : -1;
    const bell = peerBell(bells, shape, peer);
    return {
      ring: new RingReader(region, layout.outbound(id, peer)),
      worker,
      peer,
      ringBell: () => (worker < 0 ? ringDoorbell(bell) : rings[worker]?.ringBell(peer % LANES_PER_WORKER)),
      mayAccept: peer === peerOfMaster(shape),
    };
  });
}
