import { describe, expect, it } from 'vitest';
import { JoinAs, Request } from '../../src/ipc/frame.js';
import { packPublication } from '../../src/ipc/frames/publish.js';
import { ReactorCounter } from '../../src/memory/boards.js';
import { peerOf } from '../../src/memory/layout.js';
import type { Connection } from '../../src/reactor/connection.js';
import type { WebSocketLimits } from '../../src/reactor/context.js';
import { FanOut } from '../../src/reactor/fan-out.js';
import { FakeBatch } from '../helpers/fake-batch.js';
import { ReactorWorld, someHttp } from '../helpers/reactor-world.js';

const ECONNRESET = 104;
const webSocket: WebSocketLimits = {
  ...{ maxMessageBytes: 1 << 20, pingIntervalMs: 0, slowConsumer: 'close', roomHighWatermark: 1 << 20 },
};

function openRoom(members: number) {
  const world = new ReactorWorld({ batched: true, port: { http: someHttp, webSocket } });
  const connections = Array.from({ length: members }, (): Connection => {
    const connection = world.connect();
    world.protocols.webSocket.begin(connection, false);
    world.sends(connection, [{ type: Request.join, detail: JoinAs.frames, payload: 'room' }]);
    return connection;
  });
  const publish = (text: string): void => {
    const plain = Buffer.concat([Buffer.from([0x81, text.length]), Buffer.from(text)]);
    const payload = packPublication({ room: 'room', plain, deflated: null, except: [], isText: true });
    world.writes(0, [{ type: Request.publish, payload }], peerOf(0, 0));
    world.turn();
  };
  const got = (connection: Connection): string => world.transport.clientOf(connection).got;
  return { world, connections, publish, got };
}

describe('what is published to many', () => {
  it('leaves in one call', () => {
    const { world, connections, publish, got } = openRoom(20);
    publish('hello');
    expect(world.batch.submitted).toEqual([20]);
    expect(connections.map(got)).toEqual(connections.map(() => '\x81\x05hello'));
    expect(world.board.read(0, ReactorCounter.deliveries)).toBe(20);
  });

  it('leaves one by one where they are few', () => {
    const { world, connections, publish, got } = openRoom(7);
    publish('hello');
    expect(world.batch.submitted).toEqual([]);
    expect(connections.map(got)).toEqual(connections.map(() => '\x81\x05hello'));
  });

  it('waits in order where the kernel takes but a part, and the others get it whole', () => {
    const { world, connections, publish, got } = openRoom(10);
    const [slow, other] = connections as [Connection, Connection];
    world.transport.clientOf(slow).room = 3;
    publish('hello');
    publish('again');
    expect(got(slow)).toBe('\x81\x05h');
    expect(got(other)).toBe('\x81\x05hello\x81\x05again');
    world.transport.clientOf(slow).room = 100;
    world.sending.hasRoom(slow);
    expect(got(slow)).toBe('\x81\x05hello\x81\x05again');
  });

  it('ends the members whose sockets have failed, and them alone', () => {
    const { world, connections, publish, got } = openRoom(10);
    const broken = connections[4] as Connection;
    world.transport.clientOf(broken).sendFailures.push(-ECONNRESET);
    publish('hello');
    publish('again');
    expect(connections.map(({ isClosed }) => isClosed)).toEqual(connections.map((each) => each === broken));
    const rest = connections.filter((each) => each !== broken);
    expect(rest.map(got)).toEqual(rest.map(() => '\x81\x05hello\x81\x05again'));
  });
});

describe('a batch', () => {
  function openFanOut(batch: (world: ReactorWorld) => FakeBatch | undefined) {
    const world = new ReactorWorld({ batched: true });
    let opened = 0;
    const fanOut = new FanOut(world.sending, () => {
      opened++;
      return batch(world);
    });
    const connections = Array.from({ length: 10 }, () => world.connect());
    const send = (text: string): void => {
      const bytes = world.context.scratch;
      bytes.write(text);
      fanOut.begin(connections.length);
      for (const each of connections) fanOut.write(each, bytes, 0, world.context.scratchAddress, text.length);
      fanOut.end();
    };
    const got = (): string[] => connections.map((each) => world.transport.clientOf(each).got);
    return { send, got, opened: () => opened };
  }

  it('that is full leaves, and what follows begins another', () => {
    const batches: FakeBatch[] = [];
    const { send, got } = openFanOut((world) => {
      batches.push(new FakeBatch(world.transport, 4));
      return batches[0];
    });
    send('abc');
    expect(batches[0]?.submitted).toEqual([4, 4, 2]);
    expect(got()).toEqual(Array(10).fill('abc'));
  });

  it('that the kernel refuses is not used again', () => {
    const batches: FakeBatch[] = [];
    const { send, got, opened } = openFanOut((world) => {
      const batch = new FakeBatch(world.transport);
      batch.isUsable = false;
      batches.push(batch);
      return batch;
    });
    send('abc');
    send('def');
    expect(batches[0]?.submitted).toEqual([10]);
    expect(opened()).toBe(1);
    expect(got()).toEqual(Array(10).fill('abcdef'));
  });

  it('is asked for once where there is none', () => {
    const { send, got, opened } = openFanOut(() => undefined);
    send('abc');
    send('def');
    expect(opened()).toBe(1);
    expect(got()).toEqual(Array(10).fill('abcdef'));
  });
});
