import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Event } from '../../src/ipc/frame.js';
import { readDatagram } from '../../src/ipc/frames/datagram.js';
import { ReactorCounter } from '../../src/memory/boards.js';
import { decodePeer, encodeAddress } from '../../src/os/address.js';
import type { Poller } from '../../src/os/poller.js';
import { bindUdp, closeDescriptor, localAddress, sendTo } from '../../src/os/socket.js';
import type { PortOptions } from '../../src/reactor/context.js';
import { Datagrams } from '../../src/reactor/datagrams.js';
import { type DispatchStrategy, strategyOf } from '../../src/reactor/dispatch/index.js';
import { noPoller, ReactorWorld, type TakenFrame } from '../helpers/reactor-world.js';

const FIRST_TOKEN = 0x80000000;
const WORKERS = 3;

let opened: number[];
/** What the poller was told. */
let told: unknown[][];
beforeEach(() => {
  [opened, told] = [[], []];
});
afterEach(() => {
  for (const descriptor of opened) closeDescriptor(descriptor);
});

const poller: Poller = {
  ...noPoller,
  addReadable: (descriptor, token) => void told.push(['add', descriptor, token]),
  abandon: (descriptor) => void told.push(['abandon', descriptor]),
  rearm: (descriptor, events) => void told.push(['rearm', descriptor, events]),
};

function bind(): number {
  const descriptor = bindUdp('127.0.0.1', 0);
  opened.push(descriptor);
  return descriptor;
}

/** A reactor with a TCP port, and one for datagrams behind it. */
function open(strategy: DispatchStrategy = strategyOf('fd-mod')) {
  const descriptor = bind();
  const world = new ReactorWorld({ workers: WORKERS, port: { datagrams: -1 } });
  const tcp = world.context.options.ports[0] as PortOptions;
  (world.context.options.ports as PortOptions[]).push({ ...tcp, datagrams: descriptor });
  const datagrams = new Datagrams(world.context, strategy, world.view, poller);
  const to = encodeAddress('127.0.0.1', localAddress(descriptor).port);
  const send = (from: number, text: string): number => sendTo(from, Buffer.from(text, 'latin1'), to);
  return { world, descriptor, datagrams, send };
}

const read = ({ text }: TakenFrame) => {
  const { portIndex, sockaddr, data } = readDatagram(Buffer.from(text, 'latin1'));
  return { portIndex, from: decodePeer(sockaddr).port, text: data.toString('latin1') };
};

describe('datagrams', () => {
  it('are watched from the beginning, until another process reads them', () => {
    const { descriptor, datagrams } = open();
    expect(told).toEqual([['add', descriptor, FIRST_TOKEN + 1]]);
    datagrams.abandon();
    expect(told.slice(1)).toEqual([['abandon', descriptor]]);
  });

  it('are told from connections and from the bell by their token', () => {
    expect([0, FIRST_TOKEN - 1, FIRST_TOKEN, 0xffffffff, 7].map((token) => Datagrams.owns(token, 0xffffffff))).toEqual([
      ...[false, false, true, false, false],
    ]);
  });

  it('go to a worker with their port and their sender, all that wait', () => {
    const { world, descriptor, datagrams, send } = open();
    const from = bind();
    for (const text of ['one', '', 'three']) send(from, text);
    datagrams.ready(FIRST_TOKEN + 1);
    expect(datagrams.take()).toBe(false);
    const frames = world.takeAll();
    expect(new Set(frames.map(({ type }) => type))).toEqual(new Set([Event.packet]));
    const { port } = localAddress(from);
    expect(frames.map(read)).toEqual([
      { portIndex: 1, from: port, text: 'one' },
      { portIndex: 1, from: port, text: '' },
      { portIndex: 1, from: port, text: 'three' },
    ]);
    expect(told.at(-1)).toEqual(['rearm', descriptor, 1]);
    expect(world.board.read(0, ReactorCounter.receivedBytes)).toBe(8);
    expect(world.board.read(0, ReactorCounter.dispatched)).toBe(3);
    expect(world.board.read(0, ReactorCounter.discarded)).toBe(0);
  });

  it('are not looked for before they are reported', () => {
    const { world, datagrams, send } = open();
    send(bind(), 'x');
    expect(datagrams.take()).toBe(false);
    expect(world.takeAll()).toEqual([]);
  });

  it('leave the turn to others after a number of them, and go on with the next one', () => {
    const { world, datagrams, send } = open();
    const from = bind();
    for (let i = 0; i < 64; i++) send(from, String(i));
    datagrams.ready(FIRST_TOKEN + 1);
    expect(datagrams.take()).toBe(true);
    send(from, '64');
    expect(datagrams.take()).toBe(false);
    expect(world.takeAll().map((frame) => read(frame).text)).toEqual(Array.from({ length: 65 }, (_, i) => String(i)));
  });

  it('are lost, and counted, where the worker has no room', () => {
    const { world, datagrams, send } = open();
    for (let worker = 0; worker < WORKERS; worker++) world.fill(worker);
    send(bind(), 'x');
    datagrams.ready(FIRST_TOKEN + 1);
    datagrams.take();
    expect(world.board.read(0, ReactorCounter.discarded)).toBe(1);
    expect(world.board.read(0, ReactorCounter.dispatched)).toBe(0);
  });

  it('of one sender go to one worker where connections do, and those of many to all', () => {
    const { world, datagrams, send } = open(strategyOf('fd-mod'));
    const senders = Array.from({ length: 30 }, bind);
    for (let round = 0; round < 2; round++) for (const from of senders) send(from, 'x');
    datagrams.ready(FIRST_TOKEN + 1);
    datagrams.take();
    const workers = new Map<number, Set<number>>();
    for (const frame of world.takeAll()) {
      const { from } = read(frame);
      workers.set(from, (workers.get(from) ?? new Set()).add(frame.worker));
    }
    expect([...workers.values()].map((ofOne) => ofOne.size)).toEqual(senders.map(() => 1));
    expect(new Set([...workers.values()].flatMap((ofOne) => [...ofOne])).size).toBe(WORKERS);
  });

  it('are dealt as packets are, where each goes by itself', () => {
    const { world, datagrams, send } = open(strategyOf('round-robin'));
    const from = bind();
    for (let i = 0; i < WORKERS; i++) send(from, 'x');
    datagrams.ready(FIRST_TOKEN + 1);
    datagrams.take();
    expect(world.takeAll().map(({ worker }) => worker)).toEqual([0, 1, 2]);
  });

  it('are of nobody where a strategy asks for the uid of their connection', () => {
    const subjects: unknown[] = [];
    const choose: DispatchStrategy['choose'] = ({ slot, address }, view) => {
      subjects.push([slot, decodePeer(address).address, view.uid(slot)]);
      return 1;
    };
    const { world, datagrams, send } = open({ sticky: false, keepsUnused: false, choose });
    send(bind(), 'x');
    datagrams.ready(FIRST_TOKEN + 1);
    datagrams.take();
    expect(subjects).toEqual([[-1, '127.0.0.1', 0]]);
    expect(world.takeAll().map(({ worker }) => worker)).toEqual([1]);
  });

  it('stay with the worker that has a socket of its own', () => {
    const { world, datagrams, send } = open({ ...strategyOf('fd-mod'), datagrams: 2 });
    for (let i = 0; i < 5; i++) send(bind(), 'x');
    datagrams.ready(FIRST_TOKEN + 1);
    datagrams.take();
    expect(world.takeAll().map(({ worker }) => worker)).toEqual([2, 2, 2, 2, 2]);
  });
});
