import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Arrival } from '../../src/ipc/arrival.js';
import { CloseCode, Event } from '../../src/ipc/frame.js';
import type { LoadedTls } from '../../src/listen/tls-material.js';
import { ReactorCounter, WorkerField } from '../../src/memory/boards.js';
import { SlotFlag } from '../../src/memory/connection-table.js';
import type { TlsInfo } from '../../src/memory/tls-records.js';
import { AF_INET, AF_INET6, AF_UNIX } from '../../src/os/constants.js';
import * as socket from '../../src/os/socket.js';
import { Admission } from '../../src/reactor/admission/admission.js';
import type { Admit, Entrant } from '../../src/reactor/admission/gate.js';
import type { HandshakeParts } from '../../src/reactor/admission/handshake.js';
import type { Connection } from '../../src/reactor/connection.js';
import type { PortOptions, ReactorOptions } from '../../src/reactor/context.js';
import { strategyOf } from '../../src/reactor/dispatch/index.js';
import type { Secured, TransportEvents } from '../../src/reactor/transport/transport.js';
import { noPoller, ReactorWorld } from '../helpers/reactor-world.js';

/** Gates that let clients through when the test says so. */
const gates = vi.hoisted(() => ({
  handshake: { parts: undefined as HandshakeParts | undefined, next: undefined as Admit | undefined },
  header: { parts: undefined as ProxyParts | undefined, next: undefined as Admit | undefined },
  calls: [] as unknown[][],
}));
interface ProxyParts {
  readonly trusted: readonly string[];
  newToken(): number;
  refuse(arrival: Arrival, why: string): void;
}
function fakeGate(which: 'handshake' | 'header', parts: unknown) {
  const gate = gates[which] as { parts: unknown; next: unknown };
  gate.parts = parts;
  const note = (name: string) => (given?: unknown) => void gates.calls.push([which, name, given]);
  return {
    admit: (entrant: Entrant, next: Admit) => {
      gates.calls.push([which, 'admit', entrant]);
      gate.next = next;
    },
    ...{ waiting: 1, clear: note('clear'), renew: note('renew') },
    ready: (token: number) => {
      gates.calls.push([which, 'ready', token]);
      return token === 1;
    },
    owns: (token: number) => token === 0xc0000002,
    handOver: () => [which],
    takeOver: (snapshot: unknown, _plain: unknown, next: Admit) => {
      gates.calls.push([which, 'takeOver', snapshot]);
      gate.next = next;
    },
  };
}
vi.mock('../../src/reactor/admission/handshake.js', () => ({
  handshakeGate: (_loaded: unknown, _tls: unknown, parts: unknown) => fakeGate('handshake', parts),
}));
vi.mock('../../src/listen/tls-material.js', () => ({
  loadTls: (tls: { isUnusable?: true }, secret: Buffer) => {
    if (tls.isUnusable) throw new Error('unusable');
    return { of: tls, secretBytes: secret.length };
  },
}));
vi.mock('../../src/reactor/admission/proxy-header.js', () => ({
  ProxyHeaderGate: class {
    constructor(parts: unknown) {
      Object.assign(this, fakeGate('header', parts));
    }
  },
}));

let calls: unknown[][];
beforeEach(() => {
  calls = [];
  gates.calls.length = 0;
  const note = (name: string) => ((...given: unknown[]) => void calls.push([name, ...given])) as never;
  for (const name of ['closeDescriptor', 'setNoDelay', 'setKeepAlive'] as const) {
    vi.spyOn(socket, name).mockImplementation(note(name));
  }
});
afterEach(() => vi.restoreAllMocks());
vi.mock('../../src/os/socket.js', { spy: true });

const tls = { certificate: 'own' } as unknown as PortOptions['tls'];

/** A way in, and what came of it. */
function open(port: Partial<PortOptions> = {}, options: Partial<ReactorOptions> = {}, slots = 8) {
  const world = new ReactorWorld({ workers: 2, slots, port, options });
  const { context, ending, sending, reading, view, protocols } = world;
  const refused: unknown[][] = [];
  const watched: unknown[][] = [];
  const admission = new Admission({
    ...{ context, ending, sending, reading, view, protocols, slots: world.slots, strategy: strategyOf('fd-mod') },
    plain: world.transport,
    poller: {
      ...noPoller,
      add: (...given) => void watched.push(['add', ...given]),
      retoken: (...given) => void watched.push(['retoken', ...given]),
      remove: (...given) => void watched.push(['remove', ...given]),
    },
    certificates: [port.tls ? ({} as LoadedTls) : undefined],
    ticketSecret: world.region.ticketSecret,
    onRefused: (...given) => refused.push(given),
  });
  const connections = (): Connection[] => context.connections.list();
  /** As the accepting thread: it counts first. */
  const arrive = (more: Partial<Arrival> = {}): Arrival => {
    const address = Buffer.alloc(16);
    address.set([10, 0, 0, 1]);
    const arrival = { descriptor: 2_000_000, portIndex: 0, family: AF_INET, address, remotePort: 4711, ...more };
    world.board.addConnections(0, 1);
    world.board.addOccupied(0, 1);
    if ((options.maxConnectionsPerIp ?? 0) > 0) context.addresses.add(arrival.address, 0, 1);
    admission.accept(arrival);
    return arrival;
  };
  const counted = (arrival: Arrival): number => {
    context.addresses.add(arrival.address, 0, 1);
    return context.addresses.add(arrival.address, 0, -1);
  };
  return { world, admission, refused, watched, connections, arrive, counted };
}

const info = { version: 'TLSv1.3' } as TlsInfo;
const secured = (more: Partial<Secured> = {}): Secured => ({
  alpn: '',
  info: () => info,
  free: () => void calls.push(['free']),
  ...more,
});

describe('a client of a plain port', () => {
  it('is a connection at once, which its worker and every process know', () => {
    const { world, watched, connections, arrive } = open();
    const opened = vi.spyOn(world.protocols.ofPort(0), 'open');
    arrive();
    const [connection] = connections() as [Connection];
    expect(opened).toHaveBeenCalledWith(connection);
    const { slot, sessionId, worker } = connection;
    expect(worker).toBe(sessionId % 2);
    expect(world.table.info(sessionId)).toMatchObject({
      ...{ fd: sessionId, workerId: worker, remoteAddress: '10.0.0.1', remotePort: 4711, portIndex: 0, paused: false },
      socketFd: 2_000_000,
    });
    expect(world.workers.field(worker, WorkerField.connections)).toBe(1);
    expect(world.board.read(0, ReactorCounter.accepted)).toBe(1);
    expect(world.take(worker)).toMatchObject([{ type: Event.connect, flags: 0, detail: 0, sessionId }]);
    expect(watched).toEqual([['add', 2_000_000, slot]]);
    expect(calls).toEqual([]);
  });

  it('gets the settings of its port', () => {
    open({ noDelay: true }).arrive();
    open({ keepAlive: true }).arrive();
    expect(calls).toEqual([
      ['setNoDelay', 2_000_000],
      ['setKeepAlive', 2_000_000],
    ]);
  });

  it('is not read before it is confirmed where its port says so', () => {
    const { world, connections, arrive } = open({ delayReceive: true });
    arrive();
    const [connection] = connections() as [Connection];
    expect([connection.isPaused, connection.unconfirmed]).toEqual([true, true]);
    expect(world.table.hasFlag(connection.slot, SlotFlag.paused)).toBe(true);
    expect(world.table.info(connection.sessionId)?.paused).toBe(true);
  });

  it.each([
    ['there is no slot', false],
    ['nobody is let in any more', true],
  ])('is let go where %s, and not counted', (_title, isClosed) => {
    const { world, admission, watched, connections, arrive, counted } = open({}, { maxConnectionsPerIp: 9 }, 1);
    if (!isClosed) arrive();
    admission.isClosed = isClosed;
    const before = [world.board.connections(0), connections().length];
    const arrival = arrive({ descriptor: 2_000_001 });
    expect([world.board.connections(0), connections().length]).toEqual(before);
    expect(counted(arrival)).toBe(isClosed ? 0 : 1);
    expect(watched.at(-1)).toEqual(['remove', 2_000_001]);
    expect(calls).toEqual([['closeDescriptor', 2_000_001]]);
  });

  it('is closed again where it cannot be watched', () => {
    const { world, admission, connections } = open();
    const connection = world.connect(1);
    admission.watch(connection, false);
    expect(connection.isClosed).toBe(false);
    vi.spyOn(noPoller, 'add').mockImplementation(() => {
      throw new Error('epoll_ctl failed: EMFILE');
    });
    world.admission.watch(connection, false);
    expect(connection.isClosed).toBe(true);
    expect(connections()).toEqual([]);
    expect(world.take(1)).toMatchObject([
      { type: Event.close, detail: CloseCode.SOCKET_ERROR, text: 'Error: epoll_ctl failed: EMFILE' },
    ]);
  });
});

describe('a client behind a load balancer', () => {
  const proxied = (options: Partial<ReactorOptions> = {}, more: Partial<PortOptions> = {}) =>
    open({ proxyProtocol: ['10.0.0.0/8'], ...more }, options);
  const introduced = (arrival: Arrival, more: Partial<Entrant> = {}): Entrant =>
    ({ arrival, early: Buffer.alloc(0), isWatched: true, secure: null, ...more }) as Entrant;

  it('is a connection when its header has come, with what came behind the header', () => {
    const { world, watched, connections, arrive } = proxied();
    const arrival = arrive();
    expect(gates.header.parts?.trusted).toEqual(['10.0.0.0/8']);
    const [, , entrant] = gates.calls[0] as [string, string, Entrant];
    arrival.address.fill(9); // the accepting thread uses it again
    expect([...entrant.arrival.address.subarray(0, 4)]).toEqual([10, 0, 0, 1]);
    expect(connections()).toEqual([]);
    const address = Buffer.alloc(16);
    address.set([192, 0, 2, 7]);
    const known = { ...entrant.arrival, address };
    gates.header.next?.({ ...introduced(known), transport: world.transport, early: Buffer.from('hello') });
    const [connection] = connections() as [Connection];
    expect(world.table.info(connection.sessionId)).toMatchObject({ remoteAddress: '192.0.2.7', receivedBytes: 5 });
    expect(watched).toEqual([['retoken', 2_000_000, connection.slot]]);
    world.turn();
    expect(world.take(connection.worker).map(({ text }) => text)).toEqual(['', 'hello']);
  });

  it('is let go where its own address has too many', () => {
    const { world, refused, connections, arrive, counted } = proxied({ maxConnectionsPerIp: 2 });
    const address = Buffer.alloc(16);
    address.set([192, 0, 2, 7]);
    const come = (descriptor: number, family = AF_INET): Arrival => {
      const arrival = arrive({ descriptor });
      world.context.addresses.add(arrival.address, 0, -1); // those behind a load balancer are counted by us
      const known = { ...arrival, address, family };
      gates.header.next?.({ ...introduced(known), transport: world.transport });
      return known;
    };
    come(2_000_001);
    const second = come(2_000_002);
    expect([connections().length, counted(second), refused]).toEqual([2, 2, []]);
    const before = world.board.connections(0);
    come(2_000_003);
    expect([connections().length, counted(second), world.board.connections(0)]).toEqual([2, 2, before]);
    expect(refused).toEqual([
      [0, CloseCode.PROXY_HEADER, expect.stringContaining('maxConnectionsPerIp'), '192.0.2.7:4711'],
    ]);
    expect(calls).toEqual([['closeDescriptor', 2_000_003]]);
    come(2_000_004, AF_UNIX); // has no address
    expect(connections()).toHaveLength(3);
  });

  it('is turned away by its gate, and not counted any more', () => {
    const { world, refused, arrive } = proxied();
    const arrival = arrive();
    gates.header.parts?.refuse(arrival, 'no header');
    expect(refused).toEqual([[0, CloseCode.PROXY_HEADER, 'no header', '10.0.0.1:4711']]);
    expect(world.board.connections(0)).toBe(0);
    expect(calls).toEqual([['closeDescriptor', 2_000_000]]);
  });

  it('shakes hands after that where its port is encrypted', () => {
    const { world, connections, arrive } = proxied({}, { tls });
    const arrival = arrive();
    const entrant = { ...introduced(arrival), transport: world.transport };
    gates.header.next?.(entrant);
    expect(gates.calls.at(-1)).toEqual(['handshake', 'admit', entrant]);
    expect(connections()).toEqual([]);
  });

  it('goes over to the process that comes next, which goes on with its header', () => {
    const { world, admission, connections } = proxied();
    expect(admission.handOver()).toEqual(['header']);
    const address = Buffer.alloc(16);
    const arrival = { descriptor: 2_000_000, portIndex: 0, family: AF_INET, address, remotePort: 1 };
    admission.takeOver({ record: arrival } as never);
    expect(gates.calls.at(-1)?.slice(0, 2)).toEqual(['header', 'takeOver']);
    gates.header.next?.({ ...introduced(arrival), transport: world.transport });
    expect(connections()).toHaveLength(1);
    expect(open().admission.handOver()).toEqual([]);
  });
});

describe('a client of an encrypted port', () => {
  /** One that has shaken hands. */
  function shaken(port: Partial<PortOptions> = {}, more: Partial<Secured> = {}, isWatched = true) {
    const way = open({ tls, ...port });
    const arrival = way.arrive();
    const listen = vi.fn<(events: TransportEvents) => void>();
    const secure = secured({ listen, ...more });
    const setTls = vi.spyOn(way.world.table, 'setTls').mockReturnValue(undefined); // there is no room for it

    const { transport } = way.world;
    const pass = (): void =>
      gates.handshake.next?.({ arrival, early: Buffer.alloc(0), isWatched, secure, transport } as Entrant);
    return { ...way, arrival, pass, setTls, events: () => listen.mock.calls[0]?.[0] as TransportEvents };
  }

  it('is a connection when it has shaken hands, and is read at once', () => {
    const { world, watched, connections, pass, setTls } = shaken();
    expect(connections()).toEqual([]);
    const descriptor = { descriptor: 2_000_000 };
    world.transport.clientOf(descriptor).sent.push(Buffer.from('hello'));
    pass();
    const [connection] = connections() as [Connection];
    expect(watched).toEqual([['retoken', 2_000_000, connection.slot]]);
    expect(setTls).toHaveBeenCalledWith(connection.slot, info);
    world.turn();
    expect(world.take(connection.worker).map(({ text }) => text)).toEqual(['', 'hello']);
  });

  it('is not watched by the poller where its transport reports by itself', () => {
    const { watched, connections, pass } = shaken({}, {}, false);
    pass();
    expect([connections().length, watched]).toEqual([1, []]);
  });

  it('is turned away by its gate, and not counted any more', () => {
    const { world, refused, arrival } = shaken();
    gates.handshake.parts?.refuse(arrival, 'it is no TLS');
    expect(refused).toEqual([[0, CloseCode.TLS_HANDSHAKE, 'it is no TLS', '10.0.0.1:4711']]);
    expect(world.board.connections(0)).toBe(0);
    expect(calls).toEqual([]); // the gate has closed it
  });

  it.each([
    ['one of IPv6', AF_INET6, '20010db8000000000000000000000001', '[2001:db8::1]:4711'],
    ['one of IPv4 on a port of both', AF_INET6, '00000000000000000000ffff0a000001', '10.0.0.1:4711'],
    ['that of a unix socket, which has none', AF_UNIX, '', undefined],
  ])('is told of by its address: %s', (_, family, hex, client) => {
    const { refused, arrival } = shaken();
    gates.handshake.parts?.refuse({ ...arrival, family, address: Buffer.from(hex, 'hex') }, 'it is no TLS');
    expect(refused).toEqual([[0, CloseCode.TLS_HANDSHAKE, 'it is no TLS', client]]);
  });

  it.each([true, false])('frees its session where it is let in no more; its descriptor is ours: %s', (isWatched) => {
    const { world, admission, pass } = shaken({}, {}, isWatched);
    admission.isClosed = true;
    pass();
    expect(world.board.connections(0)).toBe(0);
    expect(calls).toEqual(isWatched ? [['free'], ['closeDescriptor', 2_000_000]] : [['free']]);
  });

  it('is sent away properly by a process that is being replaced', () => {
    const { world, admission, pass } = shaken();
    const dismissed = vi.spyOn(world.protocols.ofPort(0), 'dismiss');
    pass();
    expect(dismissed).not.toHaveBeenCalled();
    const other = shaken();
    const { isDismissing } = admission;
    other.admission.isDismissing = true;
    const sentAway = vi.spyOn(other.world.protocols.ofPort(0), 'dismiss');
    other.pass();
    expect([isDismissing, sentAway.mock.calls]).toEqual([false, [other.connections()]]);
  });

  it('is read, written to and ended as its transport reports', () => {
    const { world, connections, pass, events } = shaken();
    pass();
    const [connection] = connections() as [Connection];
    world.take(connection.worker);
    world.client(connection).sent.push(Buffer.from('late'));
    events().readable();
    world.turn();
    expect(world.take(connection.worker).map(({ text }) => text)).toEqual(['late']);
    const drained = vi.spyOn(world.sending, 'transportDrained');
    events().written();
    expect(drained).toHaveBeenCalledWith(connection);
    events().failed(Object.assign(new Error('it was reset'), { code: 'ECONNRESET' }));
    expect(connection.isClosed).toBe(true);
    expect(world.take(connection.worker)).toMatchObject([{ type: Event.close, detail: CloseCode.CLIENT_RESET }]);
  });

  it('fails with what TLS says where that has no code', () => {
    const { world, connections, pass, events } = shaken();
    pass();
    const [connection] = connections() as [Connection];
    world.take(connection.worker);
    events().failed(new Error('bad record mac'));
    expect(world.take(connection.worker)).toMatchObject([{ detail: CloseCode.SOCKET_ERROR, text: 'bad record mac' }]);
  });

  it('is gone with its descriptor', () => {
    const { connections, pass, events } = shaken();
    pass();
    const [connection] = connections() as [Connection];
    events().closed();
    expect(connection.isClosed).toBe(true);
  });

  it('that reports and is not read before it is confirmed may have left', () => {
    const { world, connections, pass, events } = shaken({ delayReceive: true });
    pass();
    const left = vi.spyOn(world.ending, 'leftWhilePaused');
    events().readable();
    expect(left).toHaveBeenCalledWith(connections()[0]);
    const other = shaken();
    other.pass();
    const notLeft = vi.spyOn(other.world.ending, 'leftWhilePaused');
    other.events().readable();
    expect(notLeft).not.toHaveBeenCalled();
  });
});

describe('gates', () => {
  it('are told when they may go on, the header first', () => {
    const { admission } = open({ tls, proxyProtocol: ['::/0'] });
    admission.ready(1);
    expect(gates.calls).toEqual([['header', 'ready', 1]]);
    admission.ready(2);
    expect(gates.calls.slice(1)).toEqual([
      ['header', 'ready', 2],
      ['handshake', 'ready', 2],
    ]);
  });

  it('have tokens of their own: not those of connections, of the bell, or of clients that wait', () => {
    expect([0, 0xbfffffff, 0xc0000000, 0xfffffff0].map((token) => Admission.owns(token, 0xfffffff0))).toEqual([
      ...[false, false, true, false],
    ]);
    open({ tls, proxyProtocol: ['::/0'] });
    expect(gates.header.parts?.newToken()).toBe(0xc0000001);
    expect(gates.handshake.parts?.newToken()).toBe(0xc0000003); // 2 is in use
    expect(gates.header.parts?.newToken()).toBe(0xc0000004);
  });

  it('turn all away that wait, or those that shake hands', () => {
    const { admission } = open({ tls, proxyProtocol: ['::/0'] });
    expect(admission.isShakingHands).toBe(true);
    expect(open().admission.isShakingHands).toBe(false);
    admission.endHandshakes();
    expect(gates.calls.map((call) => call.slice(0, 2))).toEqual([['handshake', 'clear']]);
    admission.clear();
    expect(gates.calls.map((call) => call.slice(0, 2)).slice(1)).toEqual([
      ['header', 'clear'],
      ['handshake', 'clear'],
    ]);
  });

  it('take new certificates', () => {
    open({ tls }).admission.renewTls();
    expect(gates.calls).toEqual([['handshake', 'renew', { of: tls, secretBytes: 32 }]]);
    open().admission.renewTls();
    expect(gates.calls).toHaveLength(1);
  });

  it('take those of all ports, or of none', () => {
    const unusable = { ...tls, isUnusable: true };
    const ports = [tls, unusable].map((each) => ({ tls: each, proxyProtocol: [] }) as unknown as PortOptions);
    const { admission } = open({ tls }, { ports });
    expect(() => admission.renewTls()).toThrow('unusable');
    expect(gates.calls).toEqual([]);
  });
});
