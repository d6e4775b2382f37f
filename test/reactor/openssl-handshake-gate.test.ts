import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import type { Arrival } from '../../src/ipc/arrival.js';
import { SOCKADDR_BYTES } from '../../src/os/address.js';
import { AF_INET } from '../../src/os/constants.js';
import { createPoller } from '../../src/os/create-poller.js';
import { addressOf, allocateStable } from '../../src/os/libc.js';
import { accept, bindTcp, closeDescriptor, listen, localAddress, receive } from '../../src/os/socket.js';
import type { Entrant } from '../../src/reactor/admission/gate.js';
import { MOST_LINGERING } from '../../src/reactor/admission/lingering.js';
import { OpensslHandshakeGate } from '../../src/reactor/admission/openssl-handshake.js';
import { TlsContexts } from '../../src/reactor/transport/openssl/tls-contexts.js';
import { OpensslTransport } from '../../src/reactor/transport/openssl.js';
import { certificateFor } from '../helpers/certificates.js';
import { openDescriptors } from '../helpers/leaks.js';
import { poll } from '../helpers/server-process.js';
import { loaded } from '../helpers/tls-echo-server.js';

const undo: (() => void)[] = [];
afterEach(() => {
  for (const step of undo.splice(0).reverse()) step();
});

/** A listener whose clients all go to the gate. @param early bytes of each client that are read before */
function world(handshakeTimeoutMs: number, early = 0, backend: 'epoll' | 'poll' = 'epoll') {
  const space = allocateStable(4096);
  const entered: Entrant[] = [];
  const refused: string[] = [];
  const listener = bindTcp('127.0.0.1', 0);
  listen(listener, 64);
  let tokens = 0;
  const admit = (descriptor: number): void => {
    const address = Buffer.from([127, 0, 0, 1]);
    const arrival: Arrival = { descriptor, portIndex: 0, family: AF_INET, address, remotePort: 1 };
    const n = early === 0 ? 0 : receive(descriptor, addressOf(space), early);
    const begun = space.subarray(0, Math.max(n, 0));
    gate.admit({ arrival, early: begun, isWatched: false, secure: null, transport }, (entrant) => {
      entered.push(entrant);
    });
  };
  const poller = createPoller(backend, {
    ready: (token) => {
      if (token !== 0) return void gate.ready(token);
      for (let fd = accept(listener, Buffer.alloc(SOCKADDR_BYTES)); fd >= 0; ) {
        const descriptor = fd;
        if (early === 0) admit(descriptor);
        else setTimeout(() => admit(descriptor), 50);
        fd = accept(listener, Buffer.alloc(SOCKADDR_BYTES));
      }
    },
    turnEnd: () => {},
  });
  const transport = new OpensslTransport(poller);
  const gate = new OpensslHandshakeGate({
    transport,
    contexts: new TlsContexts(loaded(certificateFor('main.test'))),
    ...{ handshakeTimeoutMs, poller },
    newToken: () => ++tokens,
    refuse: (_arrival, why) => refused.push(why),
  });
  poller.addReadable(listener, 0);
  undo.push(() => {
    gate.clear();
    for (const { arrival, secure } of entered) {
      secure?.free();
      poller.remove(arrival.descriptor);
      closeDescriptor(arrival.descriptor);
    }
    poller.remove(listener);
    closeDescriptor(listener);
    poller.close();
  });
  return { gate, entered, refused, port: localAddress(listener).port };
}

describe('the gate of handshakes by OpenSSL', () => {
  const WHOLE_HELLO = 4096;
  it.each([
    [0, 'epoll'],
    [20, 'epoll'],
    [WHOLE_HELLO, 'epoll'],
    [0, 'poll'],
    [20, 'poll'],
    [WHOLE_HELLO, 'poll'],
  ] as const)('lets in clients that shake hands, with up to %i bytes read before, by %s', async (early, backend) => {
    const { gate, entered, port } = world(10_000, early, backend);
    const client = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
    await once(client, 'secureConnect');
    const entrant = await poll('it is let in', () => entered[0]);
    expect(entrant.secure?.info()).toMatchObject({ version: 'TLSv1.3' });
    expect([entrant.isWatched, gate.waiting]).toEqual([true, 0]);
    client.destroy();
  });

  it('turns away clients that take too long, speak nonsense or go, and tells why', async () => {
    const { gate, entered, refused, port } = world(300);
    for (const text of [undefined, '\x16\x03\x01', 'GET / HTTP/1.1\r\n\r\n', '']) {
      const client = connectTcp(port, '127.0.0.1');
      client.on('error', () => {});
      client.resume();
      if (text === '') client.end();
      else if (text !== undefined) client.write(text, 'latin1');
    }
    await poll('all are turned away', () => refused.length === 4);
    const late = 'it has not shaken hands within 300 ms';
    expect([...refused].sort()).toEqual(['http request', 'it ended in the handshake', late, late]);
    expect([entered.length, gate.waiting]).toEqual([0, 0]);
  });

  describe('keeps clients that were refused by an alert until they end', () => {
    const open = (): number => openDescriptors().length;
    /** They never end their side. */
    async function refuse(port: number, count: number): Promise<Socket[]> {
      const clients = Array.from({ length: count }, () => connectTcp({ port, host: '127.0.0.1', allowHalfOpen: true }));
      undo.push(() => {
        for (const client of clients) client.destroy();
      });
      for (const client of clients) {
        client.on('error', () => {}).resume();
        client.write('GET / HTTP/1.1\r\n\r\n');
      }
      await Promise.all(clients.map((client) => once(client, 'end')));
      return clients;
    }

    it('of which it keeps none when it is cleared', async () => {
      const { gate, refused, port } = world(10_000);
      const before = open();
      await refuse(port, 3);
      expect([refused.length, gate.waiting, open() - before]).toEqual([3, 0, 6]);
      gate.clear();
      expect(open() - before).toBe(3); // the clients' own
    });

    it('but not for longer than a second', async () => {
      const { port } = world(10_000);
      const before = open();
      await refuse(port, 3);
      await poll('they are closed', () => open() - before === 3);
    });

    it('and not more of them than it may', async () => {
      const { gate, refused, port } = world(10_000);
      const before = open();
      await refuse(port, MOST_LINGERING + 20);
      expect(refused.length).toBe(MOST_LINGERING + 20);
      expect(open() - before - refused.length).toBeLessThanOrEqual(MOST_LINGERING);
      gate.clear();
      expect(open() - before).toBe(refused.length);
    });
  });

  it('looks for late clients only while some wait', async () => {
    const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const { gate, port } = world(10_000);
    const before = timers();
    const client = connectTcp(port, '127.0.0.1').on('error', () => {});
    await poll('it waits', () => gate.waiting === 1);
    expect(timers()).toBeGreaterThan(before);
    gate.clear();
    expect(timers()).toBe(before);
    client.destroy();
  });

  it('turns away all at the end', async () => {
    const { gate, refused, port } = world(10_000);
    const clients = Array.from({ length: 3 }, () =>
      connectTcp(port, '127.0.0.1')
        .on('error', () => {})
        .resume(),
    );
    await poll('they wait', () => gate.waiting === 3);
    gate.clear();
    expect([refused, gate.waiting]).toEqual([new Array(3).fill('the server shuts down'), 0]);
    for (const client of clients) client.destroy();
  });
});
