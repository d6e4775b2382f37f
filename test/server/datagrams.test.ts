import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ServerError } from '../../src/errors/index.js';
import { encodeAddress, encodeUnixAddress } from '../../src/os/address.js';
import { isLinux } from '../../src/os/libc.js';
import { bindUdp, bindUnix, closeDescriptor, localAddress } from '../../src/os/socket.js';
import { type DatagramPeer, DatagramSender } from '../../src/server/datagrams.js';
import type { ListenPort } from '../../src/server/listen-port.js';
import { textsOf } from '../helpers/datagrams.js';
import { openDescriptors } from '../helpers/leaks.js';

let before: string[];
let descriptors: number[];
let clients: Socket[];
let refused: ServerError[];
let logged: unknown[][];
let folder: string;

beforeEach(() => {
  before = openDescriptors();
  folder = mkdtempSync(join(tmpdir(), 'datagrams-'));
  [descriptors, clients, refused, logged] = [[], [], [], []];
});
afterEach(async () => {
  for (const descriptor of descriptors) closeDescriptor(descriptor);
  await Promise.all(clients.map((client) => new Promise<void>((resolve) => client.close(() => resolve()))));
  rmSync(folder, { recursive: true });
  expect(openDescriptors()).toEqual(before);
});

const stream = { type: 'tcp', host: '127.0.0.1' } as ListenPort;
const udp = { type: 'udp', host: '127.0.0.1' } as ListenPort;
const udp6 = { type: 'udp', host: '::1' } as ListenPort;
const unix = { type: 'unix-dgram', host: '' } as ListenPort;
const sender = (all: readonly number[], ports: readonly ListenPort[]): DatagramSender =>
  new DatagramSender({
    descriptors: () => all,
    ports,
    refuse(error) {
      refused.push(error);
      return false;
    },
    log: { warn: (message, fields) => logged.push([message, fields?.['datagrams']]) },
  });
const bound = (host: string): number => {
  const descriptor = bindUdp(host, 0);
  descriptors.push(descriptor);
  return descriptor;
};
const client = async (host: string): Promise<Socket> => {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  clients.push(socket);
  socket.bind(0, host);
  await once(socket, 'listening');
  return socket;
};

describe('sending a datagram', () => {
  it.each(['127.0.0.1', '::1'])('to %s goes by the listen port of that family', async (host) => {
    const to = await client(host);
    const [four, six] = [bound('127.0.0.1'), bound('::1')];
    const came = once(to, 'message') as Promise<[Buffer, { port: number }]>;
    expect(sender([-1, four, six], [stream, udp, udp6]).sendTo(host, to.address().port, 'hello')).toBe(true);
    const [data, { port }] = await came;
    expect([data.toString(), port]).toEqual(['hello', localAddress(host === '::1' ? six : four).port]);
  });

  it('may be empty, and of bytes', async () => {
    const to = await client('127.0.0.1');
    const from = sender([bound('127.0.0.1')], [udp]);
    const came = once(to, 'message');
    expect(from.sendTo('127.0.0.1', to.address().port, new Uint8Array())).toBe(true);
    expect(((await came) as [Buffer])[0]).toHaveLength(0);
  });

  it('to an address that no listen port can reach says false, and why', () => {
    const four = sender([bound('127.0.0.1')], [udp]);
    expect([four.sendTo('::1', 9, 'x'), four.sendTo('/tmp/x', 0, 'x')]).toEqual([false, false]);
    expect(sender([-1], [stream]).sendTo('127.0.0.1', 9, 'x')).toBe(false);
    expect(refused.map(({ code, detail }) => [code, detail])).toEqual([
      ['ERR_NO_DATAGRAM_PORT', { address: '::1' }],
      ['ERR_NO_DATAGRAM_PORT', { address: '/tmp/x' }],
      ['ERR_NO_DATAGRAM_PORT', { address: '127.0.0.1' }],
    ]);
  });

  it('that is too large says false, with its size and the code of the kernel', () => {
    expect(sender([bound('127.0.0.1')], [udp]).sendTo('127.0.0.1', 9, Buffer.alloc(65_508))).toBe(false);
    expect(refused[0]).toMatchObject({ code: 'ERR_DATAGRAM', detail: { bytes: 65_508, code: 'EMSGSIZE' } });
  });

  it('to a unix socket that is not there says false, with the code', () => {
    const path = join(folder, 'own');
    descriptors.push(bindUnix(path, 'datagram'));
    expect(sender(descriptors, [unix]).sendTo(join(folder, 'none'), 0, 'x')).toBe(false);
    expect(refused[0]).toMatchObject({ code: 'ERR_DATAGRAM', detail: { bytes: 1, code: 'ENOENT' } });
  });

  it.each([
    ['localhost', 9],
    ['', 9],
    [undefined, 9],
    [4, 9],
    ['127.0.0.1', 0],
    ['127.0.0.1', 65_536],
    ['127.0.0.1', 1.5],
    ['127.0.0.1', '9'],
    ['::1', undefined],
  ])('refuses the address %s, port %s', (address, port) => {
    expect(() => sender([], []).sendTo(address, port, 'x')).toThrow(
      expect.objectContaining({ code: 'ERR_DATAGRAM_ADDRESS', detail: { received: expect.any(String) } }),
    );
  });

  it.each([undefined, 5, {}, [1]])('refuses %j as data', (data) => {
    expect(() => sender([bound('127.0.0.1')], [udp]).sendTo('127.0.0.1', 9, data as unknown as string)).toThrow(
      expect.objectContaining({ code: 'ERR_DATA_TYPE' }),
    );
  });
});

describe('whoever sent a datagram', () => {
  it('is answered by the socket it came to', async () => {
    const to = await client('127.0.0.1');
    const [other, own] = [bound('127.0.0.1'), bound('127.0.0.1')];
    const peer = sender([other, own], [udp, udp]).peer(1, encodeAddress('127.0.0.1', to.address().port));
    expect([peer.address, peer.port, peer.listenPort]).toEqual(['127.0.0.1', to.address().port, udp]);
    const came = once(to, 'message') as Promise<[Buffer, { port: number }]>;
    expect(peer.send('answer')).toBe(true);
    expect((await came)[1].port).toBe(localAddress(own).port);
  });

  it('has its path as address where it is a unix socket, and none where it has none', () => {
    const all = sender([-1], [unix]);
    const path = encodeUnixAddress('/tmp/it');
    expect([all.peer(0, path).address, all.peer(0, path).port]).toEqual(['/tmp/it', 0]);
    const nameless = all.peer(0, path.subarray(0, 2));
    expect([nameless.address, nameless.port]).toEqual(['', 0]);
  });
});

describe.runIf(isLinux)('answers to datagrams of one turn', () => {
  let all: DatagramSender;
  let peer: DatagramPeer;
  let read: () => string[];
  const answer = (to: DatagramPeer, ...texts: string[]): boolean[] =>
    texts.map((text) => {
      all.beginCallback();
      const sent = to.send(text);
      all.endCallback();
      return sent;
    });
  afterEach(() => {
    vi.restoreAllMocks();
  });
  beforeEach(() => {
    vi.spyOn(performance, 'now').mockReturnValue(5); // no callback is slow
    const [own, reader] = [bound('127.0.0.1'), bound('127.0.0.1')];
    all = sender([own], [udp]);
    peer = all.peer(0, encodeAddress('127.0.0.1', localAddress(reader).port));
    read = () => textsOf(reader);
    answer(peer, 'two', 'of them');
    all.endTurn();
    expect(read()).toEqual(['two', 'of them']);
  });

  it('wait for its end, and leave in order', () => {
    expect(answer(peer, 'a', 'b')).toEqual([true, true]);
    expect(read()).toEqual([]);
    all.endTurn();
    expect(read()).toEqual(['a', 'b']);
  });

  it('are not overtaken by what another callback sends, or by sendTo', () => {
    answer(peer, 'a');
    expect(peer.send('b')).toBe(true);
    expect(read()).toEqual(['a', 'b']);
    answer(peer, 'c');
    expect(all.sendTo(peer.address, peer.port, 'd')).toBe(true);
    expect(read()).toEqual(['c', 'd']);
  });

  it('are told of afterwards where the kernel refuses them, and at once from then on', () => {
    const nobody = all.peer(0, encodeAddress('255.255.255.255', 9)); // SO_BROADCAST is not set
    expect(answer(nobody, 'one', 'two')).toEqual([true, true]);
    expect(answer(peer, 'others leave')).toEqual([true]);
    all.endTurn();
    expect(read()).toEqual(['others leave']);
    expect(refused.map(({ code, detail }) => [code, detail])).toEqual([['ERR_DATAGRAM', { bytes: 3, code: 'EACCES' }]]);
    expect(logged).toEqual([['datagrams were not sent', 2]]);
    const before = 'two' + 'of them';
    expect([all.sentCount, all.sentBytes]).toEqual([3, before.length + 'others leave'.length]);
    expect(answer(nobody, 'three', 'four')).toEqual([false, false]);
  });

  it('to a port that does not exist are refused at once, and others still wait', () => {
    const forged = all.peer(0, encodeAddress('127.0.0.1', 0));
    expect([answer(forged, 'a'), answer(peer, 'b')]).toEqual([[false], [true]]);
    expect(refused[0]?.detail).toMatchObject({ code: 'EINVAL' });
    expect(read()).toEqual([]);
    all.endTurn();
    expect(read()).toEqual(['b']);
  });

  it('of unix sockets never wait: who has gone is told of at once', () => {
    const path = join(folder, 'own');
    const own = bindUnix(path, 'datagram');
    descriptors.push(own);
    all = sender([own], [unix]);
    const gone = all.peer(0, encodeUnixAddress(join(folder, 'none')));
    answer(gone, 'a', 'b');
    all.endTurn();
    expect(answer(gone, 'c')).toEqual([false]);
  });

  it('of wrong data are refused as ever', () => {
    all.beginCallback();
    expect(() => peer.send(5 as unknown as string)).toThrow(expect.objectContaining({ code: 'ERR_DATA_TYPE' }));
    all.endCallback();
  });
});
