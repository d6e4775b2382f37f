/** Assembles the parts of one reactor and passes each its dependencies. Runs in the reactor. */
import type { AccessLog } from '../access-log/access-log.js';
import { Request } from '../ipc/frame.js';
import type { Overload } from '../ipc/overload.js';
import type { Sleeper } from '../ipc/sleep.js';
import type { LoadedTls } from '../listen/tls-material.js';
import { AddressCounters } from '../memory/address-counters.js';
import { ReactorBoard, WorkerBoard } from '../memory/boards.js';
import { ConnectionTable } from '../memory/connection-table.js';
import { DeadConnections } from '../memory/dead-connections.js';
import type { Region } from '../memory/region.js';
import { RoomBoard } from '../memory/room-board.js';
import type { DoorbellDescriptors } from '../os/doorbell.js';
import type { Poller, PollerHandler } from '../os/poller.js';
import { SendBatch } from '../os/send-batch.js';
import { Admission } from './admission/admission.js';
import { ConnectionSlots } from './connection-slots.js';
import { ReactorContext, type ReactorOptions } from './context.js';
import { Datagrams } from './datagrams.js';
import type { DispatchFunction, DispatchStrategy } from './dispatch/index.js';
import { SharedDispatchView } from './dispatch-view.js';
import { Dispatcher, type WorkerAnswers } from './dispatcher.js';
import { Ending } from './ending.js';
import { FanOut } from './fan-out.js';
import { Handoff } from './handoff/handoff.js';
import { IdleClients } from './idle-clients.js';
import { InflightLimit } from './inflight-limit.js';
import { LostSends } from './lost-sends.js';
import { MemoryBudget } from './memory-budget.js';
import { Moderation } from './moderation.js';
import { PeerProcesses } from './peer-process.js';
import type { PortFraming } from './protocols/definition.js';
import { Protocols } from './protocols/index.js';
import { Reading } from './reading.js';
import { type ReactorSender, Requests } from './requests.js';
import { RoomAnswers } from './room-answers.js';
import { Rooms } from './rooms.js';
import { Sending } from './sending.js';
import { Shutdown } from './shutdown.js';
import { PlainTransport } from './transport/plain.js';
import type { WorkerRing } from './worker-ring.js';

export interface ReactorParts {
  readonly id: number;
  readonly region: Region;
  readonly options: ReactorOptions;
  readonly strategy: DispatchStrategy;
  /** One reactor reads all datagrams of a socket: that keeps their order. */
  readonly takesDatagrams: boolean;
  /** The user function, if there is one; then every port is framed. */
  readonly dispatch: DispatchFunction | undefined;
  /** By listen port; undefined where the result of one read is a packet. */
  readonly framings: readonly (PortFraming | undefined)[];
  /** By listen port; undefined where it speaks plain. */
  readonly certificates: readonly (LoadedTls | undefined)[];
  /** By worker. */
  readonly rings: readonly WorkerRing[];
  readonly senders: readonly ReactorSender[];
  readonly sleeper: Sleeper;
  readonly bell: DoorbellDescriptors;
  /** Missing: none is written. */
  readonly accessLog?: AccessLog | undefined;
  createPoller(handler: PollerHandler): Poller;
  /** A client was disconnected because of what it sent. */
  onRefused(sessionId: number, code: number, message: string, client?: string): void;
  /** It reads no client, because the server holds more than `maxBufferedBytes`, or reads on. */
  onOverload(overload: Overload): void;
  /** A sender wrote a frame that cannot be read. */
  onBrokenSender(worker: number): void;
}

/** The parts of one reactor. */
export type Wiring = ReturnType<typeof wire>;

/** @param wakeUp called when a timer of a part fires: a turn begins */
export function wire(parts: ReactorParts, poller: Poller, wakeUp: () => void) {
  const { id, region, options, strategy, onRefused, onOverload } = parts;
  const { reactorNum, workerNum, slots: slotNum } = region.shape;
  const context = contextOf(parts, poller);
  const view = new SharedDispatchView(region, context.workers, context.table, parts.rings);
  const slots = new ConnectionSlots(id, reactorNum, slotNum, workerNum);
  const ending = new Ending(context, slots, wakeUp);
  const openBatch = () => (options.ioUring ? SendBatch.open() : undefined);
  const sending = new Sending(context, ending, openBatch);
  const budget = new MemoryBudget(context, ending, onOverload);
  const inflight = new InflightLimit(context, view);
  const reading = new Reading({ context, ending, budget, inflight });
  const answers: WorkerAnswers = {
    hasOf: (worker) => requests.areWaitingOf(worker),
    take: () => void requests.take(),
  };
  const dispatcher = new Dispatcher({ ...parts, context, view, answers });
  const fanOut = new FanOut(sending, openBatch);
  const rooms = new Rooms(context, new RoomBoard(region), fanOut);
  const protocols = new Protocols(
    {
      ...{ context, ending, sending, fanOut, reading, dispatcher },
      refused: ({ sessionId }, code, message) => onRefused(sessionId, code, message),
      rooms,
      accessLog: parts.accessLog,
      waitForSpeech: (connection, { source, address, peer }, at, length) => {
        const frame = {
          word: Request.send,
          sessionId: connection.sessionId,
          bytes: source,
          address,
          payloadAt: at,
          length,
        };
        requests.speeches.wait(connection, peer, frame);
      },
    },
    options.ports.map((port, index) => ({ index, options: port, framing: parts.framings[index] })),
  );
  const plain = new PlainTransport(context);
  const common = { context, ending, sending, reading, protocols, inflight, slots, plain, rooms };
  const roomAnswers = new RoomAnswers(context, rooms);
  const { certificates } = parts;
  const { ticketSecret } = region;
  const admission = new Admission({ ...common, poller, strategy, view, certificates, ticketSecret, onRefused });
  const requests: Requests = new Requests({ ...parts, ...common, admission, roomAnswers });
  const { speeches } = requests;
  ending.onReleased = (connection) => {
    if (connection.speech !== null) speeches.forget(connection);
    if (connection.rooms !== null) rooms.leaveAll(connection);
  };
  return {
    ...{ context, ending, sending, reading, dispatcher, protocols, budget, inflight, admission, requests, speeches },
    roomAnswers,
    lostSends: new LostSends(context),
    handoff: new Handoff({ ...common, admission, speeches }),
    shutdown: new Shutdown({ ...common, admission, wakeUp }),
    moderation: new Moderation(context),
    idleClients: new IdleClients(context, ending),
    datagrams: parts.takesDatagrams ? new Datagrams(context, strategy, view, poller) : undefined,
  };
}

function contextOf({ id, region, options, rings }: ReactorParts, poller: Poller): ReactorContext {
  const workers = new WorkerBoard(region);
  return new ReactorContext({
    ...{ id, options, rings, poller, reactorNum: region.shape.reactorNum },
    table: new ConnectionTable(region),
    board: new ReactorBoard(region),
    workers,
    processes: new PeerProcesses(region, workers),
    addresses: new AddressCounters(region),
    dead: new DeadConnections(region, options),
  });
}
