import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { bindTcp, bindUdp, closeDescriptor, localAddress } from '../../src/os/socket.js';
import { droppedDatagrams, setSocketBuffers } from '../../src/os/socket-buffers.js';
import { textsOf } from '../helpers/datagrams.js';
import { poll } from '../helpers/server-process.js';

const onLinux = process.platform === 'linux';
const none = { kernelReceiveBufferSize: 0, kernelSendBufferSize: 0 };
const descriptors: number[] = [];
afterEach(() => {
  for (const descriptor of descriptors.splice(0)) closeDescriptor(descriptor);
});

function bound(bind: typeof bindUdp = bindUdp): number {
  const descriptor = bind('127.0.0.1', 0);
  descriptors.push(descriptor);
  return descriptor;
}

describe.runIf(onLinux)('the buffers of a socket', () => {
  it.each([bindUdp, bindTcp])('have the sizes they were given', (bind) => {
    const wanted = { kernelReceiveBufferSize: 32_768, kernelSendBufferSize: 65_536 };
    expect(setSocketBuffers(bound(bind), wanted)).toEqual([]);
  });

  it('are told where the kernel gives less', () => {
    const wanted = { kernelReceiveBufferSize: 2 ** 30, kernelSendBufferSize: 0 };
    // With CAP_NET_ADMIN a process gets more than the system's limit.
    for (const { granted, ...rest } of setSocketBuffers(bound(), wanted)) {
      expect(rest).toEqual({ option: 'kernelReceiveBufferSize', wanted: 2 ** 30 });
      expect(granted).toBeLessThan(2 ** 30);
    }
  });

  it('that are full lose datagrams, each of which counts', async () => {
    const [small, usual] = [bound(), bound()];
    setSocketBuffers(small, { ...none, kernelReceiveBufferSize: 4096 });
    setSocketBuffers(usual, none);
    const client = createSocket('udp4').bind(0, '127.0.0.1');
    await once(client, 'listening');
    const SENT = 100;
    for (const descriptor of [small, usual]) {
      const { port } = localAddress(descriptor);
      for (let i = 0; i < SENT; i++) client.send(`number ${i}`, port, '127.0.0.1');
    }
    const got = { small: [] as string[], usual: [] as string[] };
    await poll('all to the usual one', () => got.usual.push(...textsOf(usual)) === SENT);
    got.small.push(...textsOf(small));
    expect(got.small.length).toBeLessThan(SENT);
    expect([droppedDatagrams(small), droppedDatagrams(usual)]).toEqual([SENT - got.small.length, 0]);
    client.close();
  });
});

it('what is no socket has dropped nothing', () => {
  expect(droppedDatagrams(-1)).toBe(0);
});
