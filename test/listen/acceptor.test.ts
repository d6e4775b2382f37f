import { closeSync, mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Arrival } from '../../src/ipc/arrival.js';
import { Acceptor, type AcceptorParts } from '../../src/listen/acceptor.js';
import { type BoundPort, bindPort, listenOn, unbindPort } from '../../src/listen/bind-port.js';
import { AddressCounters } from '../../src/memory/address-counters.js';
import { Region } from '../../src/memory/region.js';
import { AF_INET, AF_INET6, AF_UNIX } from '../../src/os/constants.js';
import { createPoller } from '../../src/os/create-poller.js';
import { errnoOf } from '../../src/os/libc.js';
import * as socket from '../../src/os/socket.js';
import { Log } from '../../src/util/log.js';
import { eventually } from '../helpers/eventually.js';
import { openDescriptors } from '../helpers/leaks.js';
import { testShape } from '../helpers/test-shape.js';

vi.mock('../../src/os/socket.js', { spy: true });

let before: string[];
let folder: string;
let ports: BoundPort[];
let clients: Socket[];
let taken: Arrival[];
let log: string[];
let region: Region;
let acceptor: Acceptor | undefined;
let may: ReturnType<AcceptorParts['mayTake']>;
/** Turns that ended, and how often nobody waited. */
let gave: number;
let drained: number;

beforeEach(() => {
  before = openDescriptors();
  folder = mkdtempSync(join(tmpdir(), 'acceptor-'));
  region = Region.create(testShape());
  [ports, clients, taken, log, acceptor, may, gave, drained] = [[], [], [], [], undefined, 'yes', 0, 0];
});
afterEach(async () => {
  acceptor?.stop();
  for (const { descriptor } of taken) closeSync(descriptor);
  for (const port of ports) unbindPort(port);
  for (const client of clients) client.destroy();
  rmSync(folder, { recursive: true });
  closeSync(region.descriptor);
  await eventually(() => expect(openDescriptors()).toEqual(before));
});

const bind = async (wanted: Partial<Parameters<typeof bindPort>[0]> = {}, listens = true): Promise<BoundPort> => {
  const port = await bindPort({
    ...{ type: 'tcp', host: '127.0.0.1', port: 0, path: '', backlog: 64, proxyProtocol: [] },
    ...wanted,
  } as Parameters<typeof bindPort>[0]);
  if (listens) listenOn(port);
  ports.push(port);
  return port;
};

const accept = (parts: Partial<AcceptorParts> = {}): Acceptor => {
  acceptor = new Acceptor({
    ports,
    maxConnectionsPerIp: 0,
    addresses: new AddressCounters(region),
    log: new Log({ role: 'master', level: 'debug', write: (line) => log.push(line) }),
    mayTake: () => may,
    give: (arrival) => taken.push({ ...arrival, address: Buffer.from(arrival.address) }),
    gave: () => gave++,
    drained: () => drained++,
    createPoller: (handler) => createPoller('auto', handler),
    ...parts,
  });
  acceptor.start();
  return acceptor;
};

/** Connects as soon as the kernel has a place for it in the backlog. */
const dial = async (to: BoundPort | string, times = 1): Promise<Socket[]> => {
  const dialled = Array.from({ length: times }, async () => {
    const client = typeof to === 'string' ? connect(to) : connect(to.port, to.host);
    clients.push(client);
    client.on('error', () => {});
    await new Promise((resolve) => client.once('connect', resolve));
    return client;
  });
  return Promise.all(dialled);
};
const takenAre = (count: number): Promise<void> => eventually(() => expect(taken).toHaveLength(count));
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe('accepting', () => {
  it('gives each client with its port, address and remote port', async () => {
    const first = await bind();
    const second = await bind({ host: '::1' });
    accept();
    const [four] = await dial(first);
    await takenAre(1);
    const [six] = await dial(second);
    await takenAre(2);
    expect(taken).toMatchObject([
      { portIndex: 0, family: AF_INET, remotePort: four?.localPort },
      { portIndex: 1, family: AF_INET6, remotePort: six?.localPort },
    ]);
    expect(taken[0]?.address.subarray(0, 4)).toEqual(Buffer.from([127, 0, 0, 1]));
    expect(taken[1]?.address.toString('hex')).toBe(`${'0'.repeat(31)}1`);
  });

  it('takes clients that came before it began', async () => {
    await dial(await bind(), 3);
    accept();
    await takenAre(3);
    await eventually(() => expect(drained).toBeGreaterThan(0));
  });

  it('takes from a unix socket, whose clients have no address', async () => {
    const port = await bind({ type: 'unix', path: join(folder, 'it.sock') });
    accept({ maxConnectionsPerIp: 1 });
    await dial(port.path, 3);
    await takenAre(3);
    expect(taken.every(({ family }) => family === AF_UNIX)).toBe(true);
    expect(log).toEqual([]);
  });

  it('takes more than fit into one turn, and the turn ends in between', async () => {
    const port = await bind({ backlog: 512 });
    const dialled = dial(port, 150);
    await dialled;
    accept();
    await takenAre(150);
    expect(gave).toBeGreaterThanOrEqual(3);
  });

  it('leaves ports for datagrams alone', async () => {
    await bind({ type: 'udp' }, false);
    await dial(await bind());
    accept();
    await takenAre(1);
    expect(taken[0]?.portIndex).toBe(1);
  });
});

describe('a client that has gone, and a signal in between', () => {
  it.each(['EINTR', 'ECONNABORTED'])('do not stop accepting: %s', async (name) => {
    await dial(await bind());
    vi.mocked(socket.accept).mockReturnValueOnce(-errnoOf(name));
    accept();
    await takenAre(1);
    expect(log).toEqual([]);
  });

  it('are told from what does, until it is over', async () => {
    await dial(await bind());
    vi.mocked(socket.accept).mockReturnValueOnce(-errnoOf('EMFILE'));
    accept();
    await takenAre(1);
    expect(log.map((line) => line.replace(/^.*?\] /, '').trim())).toEqual([
      'accepting pauses: accept failed with EMFILE; new clients wait in the backlog',
      expect.stringMatching(/^accepting goes on after="?accept failed with EMFILE/),
    ]);
  });
});

describe('what cannot be accepted now', () => {
  it('waits in the backlog from maxConnections on, with one line, and comes when there is room', async () => {
    may = 'full';
    const port = await bind();
    accept();
    await dial(port, 2);
    await eventually(() => expect(log).toHaveLength(1));
    await pause(120);
    expect(taken).toEqual([]);
    expect(log.join('\n')).toMatch(/accepting pauses: maxConnections is reached; new clients wait in the backlog/);
    expect(log).toHaveLength(1);
    may = 'yes';
    await takenAre(2);
    await eventually(() => expect(log.join('\n')).toMatch(/accepting goes on/));
    expect(log).toHaveLength(2);
  });

  it('is looked at again by itself, and said nowhere, when it is the turn of another one', async () => {
    may = 'later';
    const port = await bind();
    accept();
    await dial(port);
    await pause(20);
    expect(taken).toEqual([]);
    may = 'yes';
    await takenAre(1);
    expect(log).toEqual([]);
  });
});

describe('clients of one address', () => {
  it('are turned away with a reset beyond maxConnectionsPerIp, which is said once a second at most', async () => {
    const port = await bind();
    const addresses = new AddressCounters(region);
    accept({ maxConnectionsPerIp: 2, addresses });
    const errors: unknown[] = [];
    for (let i = 0; i < 5; i++) {
      const client = connect(port.port, port.host);
      clients.push(client);
      client.on('error', (error) => errors.push((error as NodeJS.ErrnoException).code));
    }
    await eventually(() => expect(errors).toEqual(['ECONNRESET', 'ECONNRESET', 'ECONNRESET']));
    expect(taken).toHaveLength(2);
    expect(log).toHaveLength(1);
    expect(log[0]).toMatch(/maxConnectionsPerIp/);
    expect(addresses.add(taken[0]?.address ?? Buffer.alloc(16), 0, 0)).toBe(2); // those turned away are not counted
  });

  it('may come again when one has gone', async () => {
    const port = await bind();
    const addresses = new AddressCounters(region);
    accept({ maxConnectionsPerIp: 1, addresses });
    await dial(port);
    await takenAre(1);
    addresses.add(taken[0]?.address ?? Buffer.alloc(16), 0, -1);
    await dial(port);
    await takenAre(2);
  });

  it('are not counted where a load balancer connects', async () => {
    const port = await bind({ proxyProtocol: ['127.0.0.1'] });
    accept({ maxConnectionsPerIp: 1 });
    await dial(port, 3);
    await takenAre(3);
  });
});

describe('the end of accepting', () => {
  it('comes once, however often it is told', async () => {
    await bind();
    let closed = 0;
    const watched = accept({
      createPoller: (handler) => {
        const poller = createPoller('auto', handler);
        const close = poller.close.bind(poller);
        poller.close = () => {
          closed++;
          close();
        };
        return poller;
      },
    });
    watched.stop();
    watched.stop();
    expect(closed).toBe(1);
  });

  it('leaves the port open: who comes waits for another one', async () => {
    const port = await bind();
    const first = accept();
    first.stop();
    first.stop();
    await dial(port);
    await pause(20);
    expect(taken).toEqual([]);
    accept();
    await takenAre(1);
  });

  it('may be that of some ports only', async () => {
    const left = await bind();
    const kept = await bind();
    accept().leave((index) => index === 0);
    await dial(left);
    await dial(kept);
    await takenAre(1);
    expect(taken[0]?.portIndex).toBe(1);
    acceptor?.leave(() => false);
    await dial(kept);
    await takenAre(2);
  });

  it('ends the look that a pause has put off', async () => {
    may = 'full';
    await dial(await bind());
    const stopped = accept();
    await eventually(() => expect(log).toHaveLength(1));
    may = 'yes';
    stopped.stop();
    await pause(100);
    expect(taken).toEqual([]);
  });
});
