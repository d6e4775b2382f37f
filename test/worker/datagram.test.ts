import { expect, it } from 'vitest';
import { Event, PieceFlag } from '../../src/ipc/frame.js';
import { DATAGRAM_HEADER_BYTES, sockaddrOf, writeDatagramHeader } from '../../src/ipc/frames/datagram.js';
import { DatagramService } from '../../src/worker/services/datagram.js';
import { describeFrameService, type ServiceUnderTest } from './frame-service.conformance.js';
import { type Frame, ServiceWorld } from './world.js';

function datagram(text: string, portIndex = 0): Buffer {
  const packet = Buffer.alloc(DATAGRAM_HEADER_BYTES + Buffer.byteLength(text));
  sockaddrOf(packet).write('from');
  writeDatagramHeader(packet, portIndex, 4);
  packet.write(text, DATAGRAM_HEADER_BYTES);
  return packet;
}

function open(): ServiceUnderTest & { peers: string[] } {
  const seen: string[] = [];
  const peers: string[] = [];
  let fails = false;
  const packet = (data: Buffer, peer: Buffer): void => {
    if (fails) throw new Error('as the test wants');
    seen.push(data.toString());
    peers.push(peer.toString());
  };
  const world = new ServiceWorld({ ports: [{ packet }] });
  const whole = (_fd: number, text: string): Frame => ({ type: Event.packet, payload: datagram(text) });
  return {
    ...{ world, seen, peers, service: new DatagramService(world.host), whole },
    fail: () => {
      fails = true;
    },
    pieces: (_fd, texts) =>
      texts.map((text, i) => {
        const flags = (i < texts.length - 1 ? PieceFlag.more : 0) | (i > 0 ? PieceFlag.continued : 0);
        return { type: Event.packet, flags, payload: i === 0 ? datagram(text) : text };
      }),
  };
}

describeFrameService('the service of datagrams', open);

it('a datagram comes with its sender, and counts as received', () => {
  const { world, service, peers, seen, whole } = open();
  const ring = world.inbound();
  world.write(whole(0, 'hello'), { type: Event.packet, payload: datagram('no such port', 7) });
  for (; ring.available(); ring.advance()) {
    service.deliver(service.take(ring));
  }
  expect([seen, peers]).toEqual([['hello'], ['from']]);
  expect(world.counter('received')).toBe(2);
  expect(world.counter('receivedBytes')).toBe('hello'.length + 'no such port'.length);
});
