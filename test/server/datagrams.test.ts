import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ServerError } from '../../src/errors/index.js';
import { encodeAddress, encodeUnixAddress } from '../../src/os/address.js';
import { bindUdp, bindUnix, closeDescriptor, localAddress } from '../../src/os/socket.js';
import { DatagramSender } from '../../src/server/datagrams.js';
import type { ListenPort } from '../../src/server/listen-port.js';
import { openDescriptors } from '../helpers/leaks.js';

let before: string[];
let descriptors: number[];
let clients: Socket[];
let refused: ServerError[];
let folder: string;

beforeEach(() => {
  before = openDescriptors();
  folder = mkdtempSync(join(tmpdir(), 'datagrams-'));
  [descriptors, clients, refused] = [[], [], []];
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
  new DatagramSender(
    () => all,
    ports,
    (error) => {
      refused.push(error);
      return false;
    },
  );
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
