/**
 * From an accepted descriptor to a connection: through the gates of its port, then a slot, a session id, a worker. Runs in
 * the reactor.
 */
import type { Arrival } from '../../ipc/arrival.js';
import { CloseCode, Event } from '../../ipc/frame.js';
import { type LoadedTls, loadTls } from '../../listen/tls-material.js';
import { ReactorCounter, WorkerField } from '../../memory/boards.js';
import { SlotFlag } from '../../memory/connection-table.js';
import { formatIPv4, formatIPv6 } from '../../os/address.js';
import { AF_INET, AF_UNIX } from '../../os/constants.js';
import type { Poller } from '../../os/poller.js';
import { closeDescriptor, setKeepAlive, setNoDelay } from '../../os/socket.js';
import { Connection } from '../connection.js';
import type { ConnectionSlots } from '../connection-slots.js';
import type { PortOptions, ReactorContext } from '../context.js';
import { chooseForConnection, type DispatchStrategy, type DispatchView } from '../dispatch/index.js';
import type { Ending } from '../ending.js';
import type { PendingRecord, Snapshot } from '../handoff/snapshot.js';
import { Input } from '../input.js';
import { Hold } from '../life.js';
import type { Protocols } from '../protocols/index.js';
import type { Reading } from '../reading.js';
import type { Sending } from '../sending.js';
import type { Transport } from '../transport/transport.js';
import type { Entrant } from './gate.js';
import { type HandshakeGate, handshakeGate } from './handshake.js';
import { ProxyHeaderGate } from './proxy-header.js';

export interface AdmissionParts {
  readonly context: ReactorContext;
  readonly poller: Poller;
  readonly ending: Ending;
  readonly sending: Sending;
  readonly reading: Reading;
  readonly slots: ConnectionSlots;
  readonly strategy: DispatchStrategy;
  readonly view: DispatchView;
  readonly protocols: Protocols;
  readonly plain: Transport;
  /** By listen port; undefined where it speaks plain. */
  readonly certificates: readonly (LoadedTls | undefined)[];
  /** See `listen/ticket-keys.ts`. */
  readonly ticketSecret: Buffer;
  /** @param client its address and port; undefined: a unix socket */
  onRefused(sessionId: number, code: number, message: string, client?: string): void;
}

interface PortGates {
  readonly proxyHeader: ProxyHeaderGate | undefined;
  readonly tlsHandshake: HandshakeGate | undefined;
}

/** Above every slot and every port for datagrams, below the token of the bell. */
const FIRST_TOKEN = 0xc0000000;
/** Behind it are the tokens of the other parts of a BASE worker: see `base/turns.ts`. */
const LAST_TOKEN = 0xffefffff;
const nothing = Buffer.alloc(0);

export class Admission {
  readonly #parts: AdmissionParts;
  /** By listen port. */
  readonly #gates: readonly PortGates[];
  #nextToken = FIRST_TOKEN;
  /** No client is let in any more. */
  isClosed = false;
  /** The process is being replaced: encrypted clients are let in to be sent away properly. */
  isDismissing = false;

  constructor(parts: AdmissionParts) {
    this.#parts = parts;
    this.#gates = parts.context.options.ports.map(({ proxyProtocol }, port) => ({
      proxyHeader: proxyProtocol.length === 0 ? undefined : this.#proxyHeaderGate(proxyProtocol),
      tlsHandshake: this.#tlsHandshakeGate(port),
    }));
  }

  static owns(token: number, bellToken: number): boolean {
    return token >= FIRST_TOKEN && token !== bellToken;
  }

  /** The accepting thread has counted it as one of this reactor's. @param arrival may be used again afterwards */
  accept(arrival: Arrival): void {
    const { proxyHeader, tlsHandshake } = this.#gatesOf(arrival);
    const entrant = { arrival, early: nothing, isWatched: false, secure: null, transport: this.#parts.plain };
    if (proxyHeader === undefined && tlsHandshake === undefined) return this.#enter(entrant);
    const kept = { ...entrant, arrival: { ...arrival, address: Buffer.from(arrival.address) } };
    if (proxyHeader === undefined) this.#shakeHands(kept);
    else proxyHeader.admit(kept, (known) => this.#introduced(known));
  }

  /** The poller reports a client that still waits at a gate. */
  ready(token: number): void {
    for (const { proxyHeader, tlsHandshake } of this.#gates) {
      if (proxyHeader?.ready(token) || tlsHandshake?.ready(token)) return;
    }
  }

  /** For clients that come from now on; of all ports or of none. @throws ServerError ERR_TLS_* */
  renewTls(): void {
    const { context, ticketSecret } = this.#parts;
    const loaded = context.options.ports.map(({ tls }) => tls && loadTls(tls, ticketSecret));
    for (const [port, certificates] of loaded.entries()) {
      if (certificates !== null) this.#gates[port]?.tlsHandshake?.renew(certificates);
    }
  }

  /** Why Node's `tls` shakes hands where OpenSSL was to be called directly; undefined: it is called, or no port speaks TLS. */
  get tlsFellBack(): string | undefined {
    return this.#gates.find(({ tlsHandshake }) => tlsHandshake?.fellBack !== undefined)?.tlsHandshake?.fellBack;
  }

  get isShakingHands(): boolean {
    return this.#gates.some(({ tlsHandshake }) => tlsHandshake !== undefined && tlsHandshake.waiting > 0);
  }

  endHandshakes(): void {
    for (const { tlsHandshake } of this.#gates) tlsHandshake?.clear();
  }

  /** Turns away all that are not connections yet. */
  clear(): void {
    for (const { proxyHeader } of this.#gates) proxyHeader?.clear();
    this.endHandshakes();
  }

  /** Clients that go over to the next process (BASE mode). */
  handOver(): Snapshot<PendingRecord>[] {
    return this.#gates.flatMap(({ proxyHeader }) => proxyHeader?.handOver() ?? []);
  }

  takeOver(snapshot: Snapshot<PendingRecord>): void {
    const { proxyHeader } = this.#gatesOf(snapshot.record);
    proxyHeader?.takeOver(snapshot, this.#parts.plain, (entrant) => this.#introduced(entrant));
  }

  /** @param isWatched by the poller already, under another token */
  watch(connection: Connection, isWatched: boolean): void {
    const { poller, ending } = this.#parts;
    try {
      if (isWatched) poller.retoken(connection.descriptor, connection.slot);
      else poller.add(connection.descriptor, connection.slot);
    } catch (error) {
      ending.notifyClose(connection, CloseCode.SOCKET_ERROR, 0, String(error));
      ending.release(connection);
    }
  }

  // ——— the way in ———

  /** Its PROXY header has said whose connection it is. */
  #introduced(entrant: Entrant): void {
    const { context, onRefused } = this.#parts;
    const { options, addresses } = context;
    const { descriptor, family, address } = entrant.arrival;
    const limit = options.maxConnectionsPerIp;
    const isCounted = limit > 0 && family !== AF_UNIX;
    if (isCounted && addresses.add(address, 0, 1) > limit) {
      onRefused(
        0,
        CloseCode.PROXY_HEADER,
        'the client behind it has maxConnectionsPerIp connections',
        nameOf(entrant.arrival),
      );
      this.#letGo(descriptor);
      return this.#uncount(entrant.arrival);
    }
    this.#shakeHands(entrant);
  }

  #shakeHands(entrant: Entrant): void {
    const { tlsHandshake } = this.#gatesOf(entrant.arrival);
    if (tlsHandshake === undefined) return this.#enter(entrant);
    tlsHandshake.admit(entrant, (secured) => this.#secured(secured));
  }

  #secured(entrant: Entrant): void {
    this.#parts.context.wake();
    const connection = this.#open(entrant);
    if (connection === undefined || connection.isClosed) return;
    this.#listen(connection);
    connection.readable = true; // bytes may have come with the handshake
    if (this.isDismissing) connection.protocol.dismiss(connection);
    this.#parts.reading.read(connection);
  }

  /** A transport that does not read through the poller reports by itself. */
  #listen(connection: Connection): void {
    const { context, ending, reading, sending } = this.#parts;
    connection.secure?.listen?.({
      readable: () => {
        context.wake();
        connection.readable = true;
        reading.read(connection);
        if (connection.unconfirmed) ending.leftWhilePaused(connection);
      },
      written: () => sending.transportDrained(connection),
      failed: (error) => {
        context.wake();
        ending.failBy(connection, error.code ?? error.message);
      },
      closed: () => {
        context.wake();
        ending.transportGone(connection);
      },
    });
  }

  #enter(entrant: Entrant): void {
    const connection = this.#open(entrant);
    if (connection === undefined || connection.isClosed) return;
    const { early } = entrant;
    if (early.length > 0) {
      connection.input = new Input(early, 0, early.length);
      this.#parts.reading.countReceived(connection, early.length);
      this.#parts.context.countBuffered(connection);
    }
    if (!entrant.isWatched) return;
    connection.readable = true; // the poller has reported what came meanwhile to the gate
    this.#parts.reading.read(connection);
  }

  /** @returns undefined when there is no room for it */
  #open(entrant: Entrant): Connection | undefined {
    const { arrival, secure, isWatched } = entrant;
    const slot = this.isClosed ? -1 : this.#parts.slots.take();
    if (slot < 0) {
      secure?.free();
      if (secure === null || isWatched) this.#letGo(arrival.descriptor);
      this.#uncount(arrival);
      return undefined;
    }
    const connection = this.#connect(entrant, slot);
    if (secure === null || isWatched) this.watch(connection, isWatched);
    return connection;
  }

  #connect({ arrival, secure, transport }: Entrant, slot: number): Connection {
    const { context, strategy, view, protocols } = this.#parts;
    const { id, options, table, board, workers, connections, now } = context;
    const { descriptor, portIndex: port, family, address, remotePort } = arrival;
    const sessionId = table.nextSessionId(slot);
    const worker = chooseForConnection(strategy, { sessionId, slot, address }, view);
    table.open(slot, { sessionId, worker, portIndex: port, descriptor, family, address, remotePort, now });
    if (secure !== null) table.setTls(slot, secure.info());
    const place = { sessionId, slot, descriptor, worker, port };
    const connection = new Connection(place, protocols.ofPort(port), transport, secure);
    this.#applyOptions(connection, options.ports[port]);
    connections.add(connection);
    workers.addField(worker, WorkerField.connections, 1);
    board.add(id, ReactorCounter.accepted, 1);
    context.ring(worker).sendEvent(Event.connect, 0, port, sessionId);
    connection.protocol.open(connection);
    return connection;
  }

  #applyOptions(connection: Connection, port: PortOptions | undefined): void {
    if (port?.noDelay) setNoDelay(connection.descriptor);
    if (port?.keepAlive) setKeepAlive(connection.descriptor);
    if (!port?.delayReceive) return;
    connection.holds |= Hold.paused;
    connection.unconfirmed = true;
    this.#parts.context.table.setFlag(connection.slot, SlotFlag.paused, true);
  }

  // ——— gates ———

  #gatesOf({ portIndex }: { portIndex: number }): PortGates {
    return this.#gates[portIndex] ?? { proxyHeader: undefined, tlsHandshake: undefined };
  }

  #proxyHeaderGate(trusted: readonly string[]): ProxyHeaderGate {
    const { context, poller, onRefused } = this.#parts;
    return new ProxyHeaderGate({
      ...{ context, poller, trusted },
      newToken: () => this.#newToken(),
      refuse: (arrival, why) => {
        onRefused(0, CloseCode.PROXY_HEADER, why, nameOf(arrival));
        closeDescriptor(arrival.descriptor);
        context.board.addConnections(context.id, -1);
        context.board.addOccupied(context.id, -1);
      },
    });
  }

  #tlsHandshakeGate(port: number): HandshakeGate | undefined {
    const { context, poller, onRefused, certificates, ticketSecret } = this.#parts;
    const loaded = certificates[port];
    const tls = context.options.ports[port]?.tls;
    if (loaded === undefined || !tls) return undefined;
    return handshakeGate(loaded, tls, {
      poller,
      load: () => loadTls(tls, ticketSecret),
      newToken: () => this.#newToken(),
      refuse: (arrival, why) => {
        onRefused(0, CloseCode.TLS_HANDSHAKE, why, nameOf(arrival));
        this.#uncount(arrival);
      },
    });
  }

  #newToken(): number {
    do this.#nextToken = this.#nextToken >= LAST_TOKEN ? FIRST_TOKEN : this.#nextToken + 1;
    while (
      this.#gates.some((gates) => gates.proxyHeader?.owns(this.#nextToken) || gates.tlsHandshake?.owns(this.#nextToken))
    );
    return this.#nextToken;
  }

  // ——— clients that are not let in ———

  /** The accepting thread counted on a slot that is not there. */
  #letGo(descriptor: number): void {
    this.#parts.poller.remove(descriptor);
    closeDescriptor(descriptor);
  }

  /** What was counted when it was accepted. */
  #uncount({ family, address }: Arrival): void {
    const { id, board, options, addresses } = this.#parts.context;
    if (options.maxConnectionsPerIp > 0 && family !== AF_UNIX) addresses.add(address, 0, -1);
    board.addConnections(id, -1);
    board.addOccupied(id, -1);
  }
}

/** As the log has it. */
function nameOf({ family, address, remotePort }: Arrival): string | undefined {
  if (family === AF_UNIX) return undefined;
  const host = family === AF_INET ? formatIPv4(address, 0) : formatIPv6(address, 0);
  return `${host.includes(':') ? `[${host}]` : host}:${remotePort}`;
}
