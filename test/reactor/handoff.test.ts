import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CloseCode, CloseFlag, Event, markOf, Request, SendFlag } from '../../src/ipc/frame.js';
import { filePayload } from '../../src/ipc/frames/file.js';
import { takenPayload } from '../../src/ipc/frames/http.js';
import { WorkerField } from '../../src/memory/boards.js';
import { peerOf } from '../../src/memory/layout.js';
import { AF_INET } from '../../src/os/constants.js';
import type { Connection } from '../../src/reactor/connection.js';
import {
  type ConnectionRecord,
  packConnection,
  packEvent,
  type Snapshot,
  unpackConnection,
} from '../../src/reactor/handoff/snapshot.js';
import { Input } from '../../src/reactor/input.js';
import { CloseSent, Hold, Life } from '../../src/reactor/life.js';
import { FilePart, OutQueue } from '../../src/reactor/out-queue.js';
import { sized } from '../helpers/http1-world.js';
import { ReactorWorld, someHttp } from '../helpers/reactor-world.js';
import { openTunnel } from './protocol/spoken.js';
import { someTls } from './protocol/talk.js';

beforeEach(
  () =>
    void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'setTimeout', 'clearTimeout', 'setImmediate'] }),
);
afterEach(() => void vi.useRealTimers());

const FIRST_PID = 1000;

/** Through JSON, as between processes. */
function travel(connection: Connection, world: ReactorWorld): Connection {
  const { record, descriptor, bytes } = packConnection(connection);
  const snapshot: Snapshot<ConnectionRecord> = { record: JSON.parse(JSON.stringify(record)), descriptor, bytes };
  return unpackConnection(snapshot, connection.protocol, world.transport);
}

describe('a connection in a snapshot', () => {
  it('is what it was in every field that counts', () => {
    const world = new ReactorWorld({ workers: 2 });
    const connection = world.connect(1);
    const fields = {
      ...{ lastWorker: 1, hangup: true, unconfirmed: true, mayBeLeft: true, closeSent: CloseSent.half },
      ...{ closeCode: CloseCode.SERVER_CLOSED, closeAnnounced: true, deadline: 1234.5, answererPid: 77 },
      ...{ full: true, waitingSince: 99.25, drainWatchers: [0, -8] },
    };
    Object.assign(connection, fields);
    const { sessionId, slot, descriptor, port, worker, protocol } = connection;
    const place = { sessionId, slot, descriptor, port, worker, protocol };
    expect(travel(connection, world)).toMatchObject({ ...fields, ...place, input: null, out: null, speech: null });
  });

  it.each(Object.entries(Life))('lives on as it did: %s', (_word, life) => {
    const world = new ReactorWorld();
    const connection = world.connect();
    connection.restoreLife(life);
    expect(travel(connection, world).life).toBe(life);
  });

  it.each(Object.entries(Hold))('is held there only for reasons that are not of this process: %s', (word, hold) => {
    const world = new ReactorWorld();
    const connection = world.connect();
    connection.holds = hold;
    expect(travel(connection, world).holds).toBe(['paused', 'inflight'].includes(word) ? hold : 0);
  });

  it('is looked at once: bytes may have come meanwhile', () => {
    const world = new ReactorWorld();
    expect(travel(world.connect(), world).readable).toBe(true);
  });

  it('keeps what has come of it, and how far that was looked at', () => {
    const world = new ReactorWorld();
    const connection = world.connect();
    connection.input = Input.waiting(Buffer.from('gone packet'), 5, 11, 6, { sent: 2, worker: 3 });
    connection.input.searched = 4;
    const { input } = travel(connection, world);
    expect(input?.bytes.toString('latin1', input.from, input.to)).toBe('packet');
    expect(input?.state).toEqual({ searched: 4, packetBytes: 6, sent: 2, worker: 3 });
  });

  it('keeps what waits for the client, files in their place, and what has left', () => {
    const world = new ReactorWorld();
    const connection = world.connect();
    connection.input = new Input(Buffer.from('input'), 0, 5);
    connection.out = new OutQueue();
    connection.out.push(Buffer.from('some bytes'), 0, 10);
    connection.out.shift(5);
    connection.out.pushFile(new FilePart('/a/file', 3, 20));
    connection.out.push(Buffer.from('x'.repeat(100_000)), 0, 100_000);
    const { out } = travel(connection, world);
    const items = out?.items ?? [];
    const texts = items.map((item) =>
      item instanceof FilePart ? item.path : item.buffer.toString('latin1', item.start, item.end),
    );
    expect([texts[0], texts[1], texts.slice(2).join('')]).toEqual(['bytes', '/a/file', 'x'.repeat(100_000)]);
    expect(items[1]).toMatchObject({ offset: 3, left: 20 });
    expect(out?.bytes).toBe(connection.out.bytes);
  });

  it('keeps a send that is not whole, and what waits behind it', () => {
    const world = new ReactorWorld();
    const connection = world.connect();
    connection.input = new Input(Buffer.from('input'), 0, 5);
    const frame = { peer: 4, word: 7, sessionId: 9, address: 0, payloadAt: 0 };
    const waiting = ['first', '', 'second'].map((text) => ({
      ...frame,
      ...{ bytes: Buffer.from(text), length: text.length },
    }));
    connection.speech = { peer: 2, mark: 5, waiting, waitingBytes: 11 };
    const { speech } = travel(connection, world);
    expect(speech).toMatchObject({ peer: 2, mark: 5, waitingBytes: 11 });
    expect(speech?.waiting.map(({ bytes, word, peer }) => [bytes.toString(), word, peer])).toEqual([
      ['first', 7, 4],
      ['', 7, 4],
      ['second', 7, 4],
    ]);
    expect(speech?.waiting.every(({ address, length }) => length === 0 || address > 0)).toBe(true);
  });

  it('has a little brother: an event that has found no room', () => {
    const event = { type: Event.close, flags: 1, detail: 2, sessionId: 3, payload: Buffer.from('why') };
    expect(packEvent(4, event)).toEqual({
      ...{ descriptor: -1, bytes: [Buffer.from('why')] },
      record: { kind: 'event', worker: 4, type: Event.close, flags: 1, detail: 2, sessionId: 3 },
    });
  });
});

describe('a reactor that another process goes on with', () => {
  it('lets a sender finish what it was saying, and those behind it speak', () => {
    const world = new ReactorWorld({ workers: 2 });
    const connection = world.connect();
    const part = { type: Request.send, detail: markOf(FIRST_PID) };
    world.sends(connection, [{ ...part, flags: SendFlag.more, payload: 'one ' }]);
    world.sends(connection, [{ type: Request.send, payload: '[other]' }], peerOf(1, 0));
    const next = world.successor();
    next.sends(connection, [{ ...part, payload: 'two ' }]);
    expect(next.client(connection).got).toBe('one two [other]');
  });

  it('breaks it off when that sender dies later', () => {
    const world = new ReactorWorld();
    const connection = world.connect();
    const flags = SendFlag.more;
    world.sends(connection, [{ type: Request.send, detail: markOf(FIRST_PID), flags, payload: 'one ' }]);
    const next = world.successor();
    next.replaceProcess(0, 77);
    expect(next.client(connection).end).toBe('reset');
  });

  it('tells who has asked for room', () => {
    const world = new ReactorWorld({ port: { highWatermark: 1, lowWatermark: 0 } });
    const connection = world.connect();
    world.client(connection).room = 0;
    world.sends(connection, [{ type: Request.send, payload: 'x' }, { type: Request.watchDrain }]);
    const next = world.successor();
    next.take();
    next.clientTakes(next.context.connectionOf(connection.sessionId) as Connection);
    expect(next.take().map(({ type }) => type)).toEqual([Event.bufferEmpty, Event.writable]);
  });

  it('sends the rest of a file', () => {
    const world = new ReactorWorld();
    const connection = world.connect();
    world.client(connection).room = 4;
    world.sends(connection, [{ type: Request.sendFile, payload: filePayload('/f', 0, 10) }]);
    const next = world.successor();
    next.clientTakes(next.context.connectionOf(connection.sessionId) as Connection);
    expect(next.client(connection).got).toBe('</f 0+4></f 4+6>');
  });

  it('reads on when a worker has handled enough', () => {
    const world = new ReactorWorld({ options: { maxQueuedBytes: 1 } });
    world.workers.setField(0, WorkerField.busy, 1);
    const connection = world.connect();
    world.clientSends(connection, 'one');
    world.clientSends(connection, 'two');
    const next = world.successor();
    expect(next.context.connectionOf(connection.sessionId)?.holds).toBe(Hold.inflight);
    next.table.countHandled(connection.slot, 3);
    next.sends(connection, [{ type: Request.readOn }]);
    expect(next.take().map(({ text }) => text)).toEqual(['one', 'two']);
  });

  it('gives workers the events that have found no room', () => {
    const world = new ReactorWorld({ slots: 1024 });
    world.fill(0);
    const connections = Array.from({ length: 500 }, () => world.connect());
    for (const connection of connections) world.ending.reset(connection, CloseCode.SERVER_RESET, 'x'.repeat(100));
    const next = world.successor();
    const frames = next.take();
    for (let i = 0; i < 10; i++) {
      next.turn();
      frames.push(...next.take());
    }
    expect(frames.map(({ sessionId }) => sessionId)).toEqual(connections.map(({ sessionId }) => sessionId));
    next.turn();
    expect([next.board.connections(0), next.board.occupied(0)]).toEqual([0, 0]);
  });

  it('counts its connections and their slots', () => {
    const world = new ReactorWorld();
    world.connect();
    world.connect();
    const next = world.successor();
    expect([next.board.connections(0), next.board.occupied(0), next.context.connections.size]).toEqual([2, 2, 2]);
    const third = next.connect();
    expect(next.context.connections.list().map(({ slot }) => slot)).toContain(third.slot);
    expect(next.context.connections.size).toBe(3);
  });

  it('buries those that were not handed over, and tells their worker once', () => {
    const world = new ReactorWorld();
    const [kept, lost] = [world.connect(), world.connect()];
    world.context.connections.delete(lost);
    const next = world.successor();
    expect(next.take().map(({ type, detail, sessionId }) => [type, detail, sessionId])).toEqual([
      [Event.close, CloseCode.WORKER_DIED, lost.sessionId],
    ]);
    expect([next.context.connectionOf(kept.sessionId)?.slot, next.board.connections(0)]).toEqual([kept.slot, 1]);
    next.turn();
    expect(next.board.occupied(0)).toBe(1);
  });

  it('leaves a tunnel a tunnel', () => {
    const world = new ReactorWorld({ port: { http: someHttp } });
    const connection = openTunnel(world, 0, null);
    const next = world.successor();
    expect(next.context.connectionOf(connection.sessionId)?.protocol).toBe(next.protocols.tunnel);
  });

  it('is not one that clients wait for whose PROXY header is not whole', () => {
    const world = new ReactorWorld({ port: { proxyProtocol: ['127.0.0.0/8'] } });
    const address = Buffer.from([127, 0, 0, 1, ...Array<number>(12).fill(0)]);
    const arrival = { descriptor: 1_000_999, portIndex: 0, family: AF_INET, remotePort: 7, address };
    world.board.addConnections(0, 1);
    world.board.addOccupied(0, 1);
    world.admission.accept(arrival);
    const next = world.successor();
    expect([world.admission.handOver().length, next.admission.handOver().length]).toEqual([0, 1]);
    expect(next.board.connections(0)).toBe(1);
  });

  it('does not take what has come of an upload for the whole: its client is reset', () => {
    const world = new ReactorWorld({ port: { http: someHttp } });
    const connection = world.connect();
    const upload = sized('x'.repeat(200_000));
    world.clientSends(connection, upload.slice(0, 1000));
    world.take();
    const next = world.successor();
    expect([next.context.connectionOf(connection.sessionId), next.client(connection).end]).toEqual([
      undefined,
      'reset',
    ]);
    expect(next.take().map(({ type, detail }) => [type, detail])).toEqual([
      [Event.gone, 1],
      [Event.close, CloseCode.WORKER_REPLACED],
    ]);
    expect(next.board.underWay(0)).toBe(0);
  });
});

describe('connections that cannot be handed over', () => {
  function open() {
    const world = new ReactorWorld();
    world.transport.encrypts();
    const connection = world.connect(0, someTls);
    const done = vi.fn();
    return { world, connection, done };
  }

  function openAmidUpload() {
    const world = new ReactorWorld({ port: { http: someHttp } });
    const connection = world.connect(0);
    world.clientSends(connection, sized('x'.repeat(200_000)).slice(0, 1000));
    return { world, connection, done: vi.fn() };
  }

  it('may be answered, and are closed then', () => {
    const { world, connection, done } = open();
    world.handoff.dismiss(1000, done);
    expect(world.take()).toMatchObject([{ type: Event.close, flags: CloseFlag.awaitsAnswers, detail: 18 }]);
    world.sends(connection, [{ type: Request.send, payload: 'answer' }, { type: Request.closed }]);
    world.transport.passOn(connection);
    world.sending.transportDrained(connection);
    world.clientSends(connection, 'end');
    vi.runAllTimers();
    expect([world.client(connection).got, connection.isClosed, done.mock.calls.length]).toEqual(['answer', true, 1]);
  });

  it.each(['encrypted', 'amid an upload'])('are reset at the deadline: %s', (what) => {
    const { world, connection, done } = what === 'encrypted' ? open() : openAmidUpload();
    world.handoff.dismiss(1000, done);
    vi.advanceTimersByTime(999);
    world.turn();
    expect(connection.isClosed).toBe(false);
    vi.advanceTimersByTime(1);
    world.turn();
    vi.runAllTimers();
    expect([world.client(connection).end, done.mock.calls.length]).toEqual(['reset', 1]);
  });

  it('are none, and it is done with the next turn', () => {
    const world = new ReactorWorld();
    world.connect();
    const done = vi.fn();
    world.handoff.dismiss(1000, done);
    world.turn();
    vi.runAllTimers();
    expect([done.mock.calls.length, world.context.connections.size]).toEqual([1, 1]);
  });

  it('are those amid an upload too, which finish it; no other upload begins meanwhile', () => {
    const world = new ReactorWorld({ workers: 2, port: { http: someHttp } });
    const upload = sized('x'.repeat(200_000));
    const [one, other] = [world.connect(0), world.connect(1)];
    world.clientSends(one, upload.slice(0, 1000));
    const done = vi.fn();
    world.workers.setField(0, WorkerField.dismissing, 1);
    world.handoff.dismiss(1000, done);
    world.clientSends(other, upload.slice(0, 1000));
    for (let i = 0; i < 3; i++) world.turn();
    vi.advanceTimersByTime(500);
    expect([done.mock.calls.length, world.take(1)]).toEqual([0, []]);
    for (let at = 1000; at < upload.length; at += 50_000) {
      world.clientSends(one, upload.slice(at, at + 50_000));
      for (const { type, detail } of world.take(0)) {
        if (type === Event.body) world.sends(one, [{ type: Request.taken, detail, payload: takenPayload(50_000) }]);
      }
    }
    world.turn();
    vi.advanceTimersByTime(0);
    expect([done.mock.calls.length, one.isClosed, other.isClosed]).toEqual([1, false, false]);
    const snapshots = world.handoff.handOver();
    expect(snapshots.map(({ record }) => record.kind)).toEqual(['connection', 'connection']);
  });

  it('are not in the snapshot', () => {
    const { world, connection } = open();
    expect([world.handoff.handOver(), connection.isClosed]).toEqual([[], true]);
  });
});
