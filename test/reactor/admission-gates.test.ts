import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { loadTls } from '../../src/listen/tls-material.js';
import { resolveOptions } from '../../src/options/index.js';
import { AF_INET, AF_INET6, AF_UNIX } from '../../src/os/constants.js';
import { addressOf, allocateStable } from '../../src/os/libc.js';
import { closeDescriptor } from '../../src/os/socket.js';
import type { Entrant } from '../../src/reactor/admission/gate.js';
import { NodeHandshakeGate } from '../../src/reactor/admission/node-handshake.js';
import { OpensslHandshakeGate } from '../../src/reactor/admission/openssl-handshake.js';
import { ProxyHeaderGate } from '../../src/reactor/admission/proxy-header.js';
import { NodeTlsTransport } from '../../src/reactor/transport/node-tls.js';
import { TlsContexts } from '../../src/reactor/transport/openssl/tls-contexts.js';
import type { TlsSession } from '../../src/reactor/transport/openssl/tls-session.js';
import { OpensslTransport } from '../../src/reactor/transport/openssl.js';
import type { TlsStream } from '../../src/reactor/transport/tls-stream.js';
import { certificateFor } from '../helpers/certificates.js';
import { FakeTransport } from '../helpers/fake-transport.js';
import { Loopback } from '../helpers/loopback.js';
import { noPoller, ReactorWorld } from '../helpers/reactor-world.js';
import { type Comer, type GateWorld, gateConformance } from './admission-gate.conformance.js';

const loopback = new Loopback();
afterAll(() => loopback.close());
const { context } = new ReactorWorld();

const HEADER = Buffer.from('PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n');
const HEADER_MS = 5000;

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance', 'setInterval', 'clearInterval'] }));
afterEach(() => void vi.useRealTimers());

async function come(sockets: Socket[]): Promise<Pick<Comer, 'arrival' | 'socket'>> {
  const socket = loopback.connect();
  sockets.push(socket);
  return { socket, arrival: await loopback.arrival() };
}

// ——— PROXY headers ———

interface ProxyWorld extends GateWorld {
  readonly gate: ProxyHeaderGate;
}

function proxyWorld(trusted = ['127.0.0.0/8']): ProxyWorld {
  const refused: ProxyWorld['refused'] = [];
  const sockets: Socket[] = [];
  const watched = new Map<number, number>();
  let token = 0;
  const gate = new ProxyHeaderGate({
    ...{ context, trusted },
    poller: {
      ...noPoller,
      add: (descriptor, added) => void watched.set(added, descriptor),
      remove: (descriptor) => {
        for (const [known, of] of watched) if (of === descriptor) watched.delete(known);
      },
    },
    newToken: () => ++token,
    refuse: (arrival, why) => {
      refused.push([arrival, why]);
      closeDescriptor(arrival.descriptor);
    },
  });
  return {
    ...{ gate, refused, transport: plain },
    look: () => {
      for (const known of [...watched.keys()]) if (!gate.ready(known)) watched.delete(known);
    },
    deadlinePasses: () => vi.advanceTimersByTime(HEADER_MS + 250),
    saidBy: ({ early }) => early.toString(),
    takeOver: (snapshot, next) => gate.takeOver(snapshot, plain, next),
    end: () => {
      for (const socket of sockets) socket.destroy();
    },
    come: async () => {
      const { arrival, socket } = await come(sockets);
      return {
        ...{ arrival, socket, words: HEADER },
        passes: (then) => void socket.write(Buffer.concat([HEADER, Buffer.from(then)])),
        fails: () => void socket.write('GET / HTTP/1.1\r\n\r\n'),
      };
    },
  };
}

gateConformance('PROXY header', proxyWorld);

describe('the PROXY header gate', () => {
  const trusts = async (trusted: string[], family: number, address: number[]) => {
    const world = proxyWorld(trusted);
    const { arrival } = await world.come();
    const from = { ...arrival, family, address: Buffer.concat([Buffer.from(address), Buffer.alloc(16)], 16) };
    world.gate.admit({ arrival: from, early: HEADER, isWatched: false, secure: null, transport: plain }, () => {});
    const { waiting } = world.gate;
    world.gate.clear();
    world.end();
    return waiting === 1;
  };
  const mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 1, 2, 3];

  it.each([
    [true, ['10.0.0.0/8'], AF_INET, [10, 1, 2, 3]],
    [false, ['10.0.0.0/8'], AF_INET, [11, 1, 2, 3]],
    [true, ['10.1.2.3'], AF_INET, [10, 1, 2, 3]],
    [true, ['10.0.0.0/8'], AF_INET6, mapped],
    [true, ['fd00::/8'], AF_INET6, [0xfd, 1]],
    [false, ['fd00::/8'], AF_INET6, [0xfe, 1]],
    [true, ['fd00::/8'], AF_UNIX, []],
  ])('trusts (%s) a client of %j that comes by family %i from %j', async (expected, trusted, family, address) => {
    expect(await trusts(trusted, family, address)).toBe(expected);
  });

  async function introduce(header: Buffer): Promise<Entrant | undefined> {
    const world = proxyWorld();
    const comer = await world.come();
    let inside: Entrant | undefined;
    const admit = { arrival: comer.arrival, early: Buffer.alloc(0), isWatched: false, secure: null, transport: plain };
    world.gate.admit(admit, (entrant) => {
      inside = entrant;
    });
    comer.socket.write(header);
    await vi.waitUntil(() => {
      world.look();
      return inside !== undefined;
    });
    world.end();
    closeDescriptor(comer.arrival.descriptor);
    return inside;
  }

  it('says whose connection it is', async () => {
    const entrant = await introduce(HEADER);
    expect(entrant?.arrival).toMatchObject({ family: AF_INET, remotePort: 4711 });
    expect([...(entrant?.arrival.address.subarray(0, 4) ?? [])]).toEqual([192, 0, 2, 7]);
    expect(entrant?.isWatched).toBe(true);
  });

  it("leaves the load balancer's own checks their address", async () => {
    const entrant = await introduce(Buffer.from('PROXY UNKNOWN\r\n'));
    expect([...(entrant?.arrival.address.subarray(0, 4) ?? [])]).toEqual([127, 0, 0, 1]);
    expect(entrant?.arrival.remotePort).toBe(1);
  });
});

const plain = new FakeTransport();

// ——— TLS ———

const HANDSHAKE_MS = 1500;
const { tls } = resolveOptions({ tls: { ...certificateFor('localhost'), handshakeTimeoutMs: HANDSHAKE_MS } });
const loaded = tls === null ? undefined : loadTls(tls);

gateConformance('Node handshake', () => {
  const refused: GateWorld['refused'] = [];
  const sockets: Socket[] = [];
  const inside = new Set<Entrant>();
  if (loaded === undefined) throw new Error('it speaks plain');
  const gate = new NodeHandshakeGate({
    ...{ loaded, transport: new NodeTlsTransport() },
    ...{ poller: noPoller, newToken: () => 1 },
    abandon() {},
    refuse: (arrival, why) => void refused.push([arrival, why]),
  });
  return {
    ...{ gate, refused, transport: plain },
    look() {},
    deadlinePasses() {}, // Node's own clock runs: the suite waits
    saidBy: (entrant) => {
      inside.add(entrant);
      const bytes = Buffer.alloc(100);
      const n = (entrant.secure as TlsStream).receive(bytes, 0, 100);
      return bytes.toString('latin1', 0, Math.max(n, 0));
    },
    end: () => {
      for (const { secure } of inside) secure?.free();
      for (const socket of sockets) socket.destroy();
    },
    come: async () => {
      const { arrival, socket } = await come(sockets);
      return {
        ...{ arrival, socket },
        passes: (then) => {
          const client = connectTls({ socket, rejectUnauthorized: false }).on('error', () => {});
          if (then !== '') client.write(then);
        },
        fails: () => void socket.write('GET / HTTP/1.1\r\n\r\n'),
      };
    },
  };
});

gateConformance('OpenSSL handshake', () => {
  const refused: GateWorld['refused'] = [];
  const sockets: Socket[] = [];
  const inside = new Set<Entrant>();
  let token = 0;
  const watched = new Set<number>();
  const poller = { ...noPoller, add: (_descriptor: number, known: number) => void watched.add(known) };
  const loadedHere = tls === null ? undefined : loadTls(tls);
  if (loadedHere === undefined) throw new Error('it speaks plain');
  const transport = new OpensslTransport(poller);
  const gate = new OpensslHandshakeGate({
    ...{ contexts: new TlsContexts(loadedHere), transport, handshakeTimeoutMs: HANDSHAKE_MS, poller },
    newToken: () => ++token,
    refuse: (arrival, why) => void refused.push([arrival, why]),
  });
  const space = allocateStable(100);
  return {
    ...{ gate, refused, transport: plain },
    look: () => {
      for (const known of [...watched]) if (!gate.ready(known)) watched.delete(known);
    },
    deadlinePasses: () => vi.advanceTimersByTime(HANDSHAKE_MS + 250),
    saidBy: (entrant) => {
      inside.add(entrant);
      const n = (entrant.secure as TlsSession).read(addressOf(space), space.length);
      return space.toString('latin1', 0, Math.max(n, 0));
    },
    end: () => {
      for (const { secure, arrival } of inside) {
        secure?.free();
        closeDescriptor(arrival.descriptor);
      }
      for (const socket of sockets) socket.destroy();
    },
    come: async () => {
      const { arrival, socket } = await come(sockets);
      return {
        ...{ arrival, socket },
        passes: (then) => {
          const client = connectTls({ socket, rejectUnauthorized: false }).on('error', () => {});
          if (then !== '') client.write(then);
        },
        fails: () => void socket.write('GET / HTTP/1.1\r\n\r\n'),
      };
    },
  };
});
