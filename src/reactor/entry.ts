/** The first file of a reactor thread. */
import { parentPort, workerData } from 'node:worker_threads';
import { reactorBell, workerBell } from '../ipc/bells.js';
import { RingReader, RingWriter } from '../ipc/ring.js';
import { Sleeper, Waker } from '../ipc/sleep.js';
import { ReactorBoard, WorkerBoard, WorkerField } from '../memory/boards.js';
import { LANES_PER_WORKER, peerNum, peerOf, peerOfMaster } from '../memory/layout.js';
import { Region } from '../memory/region.js';
import { createPoller } from '../os/create-poller.js';
import { setThreadName } from '../os/process.js';
import { createFramer } from '../protocol/framing/index.js';
import { loadDispatch, strategyOf } from './dispatch/index.js';
import type { PortFraming } from './framing.js';
import { Reactor, type ReactorSender } from './reactor.js';
import { Refusals } from './refusals.js';
import type { FromReactor, ReactorThreadData, ToReactor } from './thread-message.js';
import { WorkerLane } from './worker-lane.js';

const data = workerData as ReactorThreadData;
const port = parentPort;
if (port === null) throw new Error('this file is started by the master as a reactor thread');

const say = (message: FromReactor): void => port.postMessage(message);

setThreadName(`reactor ${data.id}`);
const exitFlag = new Int32Array(data.exitFlag);
const region = Region.open(data.region);
const board = new ReactorBoard(region);
const workers = new WorkerBoard(region);
const { shape, layout } = region;

const lanes = Array.from({ length: shape.workerNum }, (_, worker) => {
  const wakers = Array.from(
    { length: LANES_PER_WORKER },
    (__, lane) =>
      new Waker(region.int32, workers.sleepIndex(worker, lane), workerBell(data.bells, shape, worker, lane)),
  );
  const ring = new RingWriter(region, layout.inbound(data.id, worker));
  return new WorkerLane(worker, ring, wakers, () => workers.field(worker, WorkerField.lane));
});

function sender(index: number, worker: number, lane: number): ReactorSender {
  const mayAccept = index === peerOfMaster(shape);
  return { ring: new RingReader(region, layout.outbound(data.id, index)), worker, lane, mayAccept };
}

/** Only workers are told of room: whoever bears another id sends what fits. */
const firstOfOthers = peerOf(shape.workerNum, 0);
const senders: ReactorSender[] = Array.from({ length: peerNum(shape) }, (_, peer) =>
  peer < firstOfOthers
    ? sender(peer, Math.floor(peer / LANES_PER_WORKER), peer % LANES_PER_WORKER)
    : sender(peer, -1, 0),
);

/** When the whole process ends at once, the poll handle must be closed first: a busy one would abort the process. */
const endsAtOnce = (): boolean => Atomics.load(exitFlag, 0) === 1;

const { dispatchMode } = data;
const dispatch = typeof dispatchMode === 'string' ? undefined : await loadDispatch(dispatchMode.module);
/** Where packets must be seen before they are in the ring of a worker although nobody frames them. */
const rawFramer = { packetLength: (_bytes: Buffer, from: number, to: number) => to - from };
const framings = await Promise.all(
  data.options.ports.map(async ({ framing, packageMaxLength, proxyProtocol }): Promise<PortFraming | undefined> => {
    const framer = (await createFramer(framing)) ?? (dispatch || proxyProtocol.length > 0 ? rawFramer : undefined);
    return framer && { framer, packageMaxLength };
  }),
);
const refusals = new Refusals((refusal) => say({ type: 'refused', ...refusal }));

const reactor = new Reactor({
  id: data.id,
  region,
  options: data.options,
  strategy: strategyOf(data.dispatchMode),
  dispatch,
  framings,
  lanes,
  senders,
  sleeper: new Sleeper(region.int32, board.sleepIndex(data.id)),
  bell: reactorBell(data.bells, data.id),
  createPoller: (handler) =>
    createPoller(data.backend, {
      ready: (token, descriptor, events) => handler.ready(token, descriptor, events),
      turnEnd: () => (endsAtOnce() ? stopPolling() : handler.turnEnd()),
    }),
  onRefused: (sessionId, code, message) => refusals.add(sessionId, code, message),
  onBrokenSender: (worker) => say({ type: 'brokenSender', worker }),
});

function stopPolling(): void {
  reactor.stop();
  Atomics.store(exitFlag, 1, 1);
  Atomics.notify(exitFlag, 1);
}

port.on('message', (message: ToReactor) => {
  switch (message.type) {
    case 'quiesce':
      reactor.quiesce();
      return say({ type: 'quiet' });
    case 'closeAll':
      return reactor.closeAll(message.deadlineMs, () => say({ type: 'closed' }));
    case 'stop':
      stopPolling();
      port.close();
  }
});

say({ type: 'ready', poller: data.backend });
