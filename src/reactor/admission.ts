/**
 * From an accepted descriptor to a connection: the PROXY header where there is one, the handshake where the port speaks
 * TLS, then a slot, a session id, a worker. Runs in the reactor.
 */
import type { Arrival } from '../ipc/arrival.js';
import { CloseCode, Event } from '../ipc/frame.js';
import { type LoadedTls, loadTls } from '../listen/tls-material.js';
import { ReactorCounter, WorkerField } from '../memory/boards.js';
import { SlotFlag } from '../memory/connection-table.js';
import { AF_UNIX } from '../os/constants.js';
import type { Poller } from '../os/poller.js';
import { closeDescriptor, setKeepAlive, setNoDelay } from '../os/socket.js';
import { Antechamber } from './antechamber.js';
import type { Cargo, VisitorRecord } from './cargo.js';
import { ReactorConnection } from './connection.js';
import type { ReactorContext } from './context.js';
import { chooseForConnection, type DispatchStrategy, type DispatchView } from './dispatch/index.js';
import type { Ending } from './ending.js';
import type { Slots } from './slots.js';
import { TlsPort } from './tls/tls-port.js';
import type { TlsStream } from './tls/tls-stream.js';

export interface AdmissionParts {
  readonly context: ReactorContext;
  readonly poller: Poller;
  readonly ending: Ending;
  readonly slots: Slots;
  readonly strategy: DispatchStrategy;
  readonly view: DispatchView;
  /** By listen port; undefined where it speaks plain. */
  readonly certificates: readonly (LoadedTls | undefined)[];
  onRefused(sessionId: number, code: number, message: string): void;
  read(connection: ReactorConnection): void;
  /** What came behind a PROXY header, if anything, and then whatever there is to read. */
  readFrom(connection: ReactorConnection, rest: Buffer): void;
}

const nothing = Buffer.alloc(0);

export class Admission {
  readonly #parts: AdmissionParts;
  readonly #antechamber: Antechamber;
  /** By listen port. */
  readonly #tlsPorts: readonly (TlsPort | undefined)[];
  /** Nobody is let in any more. */
  closed = false;
  /** The process is being replaced: whoever is encrypted is let in to be told so. */
  dismissing = false;

  constructor(parts: AdmissionParts) {
    this.#parts = parts;
    this.#antechamber = new Antechamber(parts.context, parts.poller, {
      enter: (arrival, rest) => this.#enter(arrival, rest),
      turnAway: (arrival, why) => this.#turnAway(arrival, why),
    });
    const tlsHost = {
      secured: (arrival: Arrival, stream: TlsStream) => this.#secured(arrival, stream),
      turnedAway: (arrival: Arrival, why: string) => this.#handshakeFailed(arrival, why),
    };
    this.#tlsPorts = parts.certificates.map((loaded) => loaded && new TlsPort(loaded, tlsHost));
  }

  /** Whoever accepted it has counted it as one of ours. @param arrival may be used again afterwards */
  accept(arrival: Arrival): void {
    if (this.#antechamber.takes(arrival.portIndex)) {
      return this.#antechamber.admit({ ...arrival, address: Buffer.from(arrival.address) });
    }
    const tlsPort = this.#tlsPorts[arrival.portIndex];
    if (tlsPort === undefined) this.#open(arrival, false, null);
    else tlsPort.admit({ ...arrival, address: Buffer.from(arrival.address) }, nothing);
  }

  /** The poller reports one that is still in the antechamber. */
  ready(token: number): void {
    this.#antechamber.ready(token);
  }

  /** For those who come from now on. @throws ServerError ERR_TLS_* */
  renewTls(): void {
    this.#parts.context.options.ports.forEach(({ tls }, index) => {
      if (tls !== null) this.#tlsPorts[index]?.use(loadTls(tls));
    });
  }

  get isShakingHands(): boolean {
    return this.#tlsPorts.some((port) => port !== undefined && port.size > 0);
  }

  endHandshakes(): void {
    for (const port of this.#tlsPorts) port?.clear();
  }

  /** Ends all that are not connections yet. */
  clear(): void {
    this.#antechamber.clear();
    this.endHandshakes();
  }

  /** Those whose PROXY header is not whole go over to the next process (BASE mode). */
  handOver(): Cargo[] {
    return this.#antechamber.handOver();
  }

  takeOver(cargo: Cargo<VisitorRecord>): void {
    this.#antechamber.takeOver(cargo);
  }

  watch(connection: ReactorConnection, isWatched: boolean): void {
    const { poller, ending } = this.#parts;
    try {
      if (isWatched) poller.retoken(connection.descriptor, connection.slot);
      else poller.add(connection.descriptor, connection.slot);
    } catch (error) {
      ending.tell(connection, CloseCode.SOCKET_ERROR, 0, String(error));
      ending.release(connection);
    }
  }

  #secured(arrival: Arrival, stream: TlsStream): void {
    const { context, ending, read } = this.#parts;
    context.wake();
    const connection = this.#open(arrival, false, stream);
    if (connection === undefined) return;
    stream.listen({
      readable: () => {
        context.wake();
        connection.readable = true;
        if (!connection.ended && !connection.stalled) read(connection);
        if (connection.unconfirmed) ending.leftWhilePaused(connection);
      },
      failed: (error) => {
        context.wake();
        ending.failBy(connection, error.code ?? error.message);
      },
      closed: () => {
        context.wake();
        if (connection.lingering) ending.release(connection);
        else ending.failBy(connection, 'ECONNRESET');
      },
    });
    if (this.dismissing) ending.dismiss(connection);
    read(connection);
  }

  #handshakeFailed({ family, address }: Arrival, why: string): void {
    this.#parts.onRefused(0, CloseCode.TLS_HANDSHAKE, why);
    this.#uncount(family, address);
  }

  /** @param isWatched by the poller already, under another token @returns undefined when there is no room for it */
  #open(arrival: Arrival, isWatched: boolean, tls: TlsStream | null): ReactorConnection | undefined {
    const { descriptor, portIndex, family, address, remotePort } = arrival;
    const { context, slots, strategy, view } = this.#parts;
    const { id, options, table, board, workers, connections, now } = context;
    const slot = this.closed ? -1 : slots.take();
    if (slot < 0) {
      if (tls === null) this.#letGo(descriptor);
      else tls.destroy();
      this.#uncount(family, address);
      return undefined;
    }
    if (options.ports[portIndex]?.noDelay) setNoDelay(descriptor);
    if (options.ports[portIndex]?.keepAlive) setKeepAlive(descriptor);
    const sessionId = table.nextSessionId(slot);
    const worker = chooseForConnection(strategy, { sessionId, slot, address }, view);
    table.open(slot, { sessionId, worker, portIndex, descriptor, family, address, remotePort, now });
    const connection = new ReactorConnection(sessionId, slot, descriptor, worker, portIndex);
    connection.tls = tls;
    if (tls !== null) table.setTls(slot, tls.info);
    if (options.ports[portIndex]?.delayReceive) {
      connection.paused = true;
      connection.unconfirmed = true;
      table.setFlag(slot, SlotFlag.paused, true);
    }
    connections.add(connection);
    workers.addField(worker, WorkerField.connections, 1);
    board.add(id, ReactorCounter.accepted, 1);
    context.lane(worker).sendEvent(Event.connect, 0, portIndex, sessionId);
    if (tls === null) this.watch(connection, isWatched);
    return connection;
  }

  /** It has told by a PROXY header whose connection it is. */
  #enter(arrival: Arrival, rest: Buffer): void {
    const { context, poller, onRefused, readFrom } = this.#parts;
    const { options, addresses } = context;
    const limit = options.maxConnectionsPerIp;
    const isCounted = limit > 0 && arrival.family !== AF_UNIX;
    if (isCounted && addresses.add(arrival.address, 0, 1) > limit) {
      onRefused(0, CloseCode.PROXY_HEADER, 'the client behind it has maxConnectionsPerIp connections');
      this.#letGo(arrival.descriptor);
      return this.#uncount(arrival.family, arrival.address);
    }
    const tlsPort = this.#tlsPorts[arrival.portIndex];
    if (tlsPort !== undefined) {
      poller.abandon(arrival.descriptor);
      return tlsPort.admit(arrival, rest);
    }
    const connection = this.#open(arrival, true, null);
    if (connection !== undefined && !connection.ended) readFrom(connection, rest);
  }

  #turnAway({ descriptor }: Arrival, why: string): void {
    const { context, onRefused } = this.#parts;
    const { id, board } = context;
    onRefused(0, CloseCode.PROXY_HEADER, why);
    closeDescriptor(descriptor);
    board.addConnections(id, -1);
    board.addOccupied(id, -1);
  }

  /** The accepting thread counted on a slot that is not there. */
  #letGo(descriptor: number): void {
    this.#parts.poller.remove(descriptor);
    closeDescriptor(descriptor);
  }

  /** What was counted when it was accepted. */
  #uncount(family: number, address: Buffer): void {
    const { id, board, options, addresses } = this.#parts.context;
    if (options.maxConnectionsPerIp > 0 && family !== AF_UNIX) addresses.add(address, 0, -1);
    board.addConnections(id, -1);
    board.addOccupied(id, -1);
  }
}
