import { beforeEach, describe, expect, it } from 'vitest';
import { type TurnReactor, Turns, type TurnWorker } from '../../src/base/turns.js';
import { type Poller, READABLE } from '../../src/os/poller.js';
import { FakePoller } from '../helpers/fake-poller.js';

let poller: FakePoller;
let turns: Turns;
/** What happened, in order. */
let log: string[];

const part = (name: string) => ({
  ready: (token: number, descriptor: number, events: number) => log.push(`${name} ${token} ${descriptor} ${events}`),
  turnEnd: () => log.push(name),
});
const worker = { ...part('worker'), hasWork: false };
const reactor = { ...part('reactor'), publish: () => log.push('publish') };

beforeEach(() => {
  log = [];
  worker.hasWork = false;
  turns = new Turns((handler) => {
    poller = new FakePoller(handler);
    return poller;
  });
});

describe('a turn', () => {
  it('goes as data goes: accept, show what was read, call back, write', () => {
    turns.forReactor(reactor as unknown as TurnReactor);
    turns.forAcceptor(part('acceptor'));
    turns.forWorker(worker as unknown as TurnWorker);
    poller.handler.turnEnd();
    expect(log).toEqual(['acceptor', 'publish', 'worker', 'reactor']);
  });

  it('has only the worker before it owns connections, and after it has given them away', () => {
    turns.forWorker(worker as unknown as TurnWorker);
    poller.handler.turnEnd();
    turns.forReactor(reactor as unknown as TurnReactor);
    turns.withoutReactor();
    poller.handler.turnEnd();
    expect(log).toEqual(['worker', 'worker']);
  });

  it('is without a part that has closed its view of the poller, and goes on for the others', () => {
    turns.forWorker(worker as unknown as TurnWorker);
    const ofReactor = turns.forReactor(reactor as unknown as TurnReactor);
    const ofAcceptor = turns.forAcceptor(part('acceptor'));
    ofAcceptor.close();
    ofReactor.close();
    poller.handler.turnEnd();
    expect(log).toEqual(['worker']);
    expect(poller.asked).toEqual([]);
  });

  it('is followed by another one while something is left for the worker, and by none otherwise', () => {
    turns.forWorker(worker as unknown as TurnWorker);
    poller.handler.turnEnd();
    expect(poller.wanted).toBe(0);
    worker.hasWork = true;
    poller.handler.turnEnd();
    expect(poller.wanted).toBe(1);
  });

  it('ends for good when the worker closes its view', () => {
    turns.forWorker(worker as unknown as TurnWorker).close();
    expect(poller.asked).toEqual(['close']);
  });
});

describe('reports of the one poller', () => {
  it('reach the part that has added the descriptor, with its own token, though all use the same one', () => {
    const views: [string, Poller][] = [
      ['reactor', turns.forReactor(reactor as unknown as TurnReactor)],
      ['worker', turns.forWorker(worker as unknown as TurnWorker)],
      ['acceptor', turns.forAcceptor(part('acceptor'))],
      ['taker', turns.forOther(part('taker'))],
      ['giver', turns.forOther(part('giver'))],
    ];
    for (const [index, [, view]] of views.entries()) view.add(10 + index, 7);
    for (const index of views.keys()) poller.report(10 + index, READABLE);
    expect(log).toEqual(views.map(([name], index) => `${name} 7 ${10 + index} 1`));
  });

  it('keep the token of a part at its smallest and largest value', () => {
    turns.forWorker(worker as unknown as TurnWorker).addReadable(10, 0);
    const acceptor = turns.forAcceptor(part('acceptor'));
    acceptor.addReadable(11, 0);
    acceptor.addReadable(12, 0xffff);
    for (const descriptor of [10, 11, 12]) poller.report(descriptor, READABLE);
    expect(log).toEqual(['worker 0 10 1', 'acceptor 0 11 1', 'acceptor 65535 12 1']);
  });

  it('of the bell of the reactor, which has the largest of all tokens, reach the reactor', () => {
    const view = turns.forReactor(reactor as unknown as TurnReactor);
    turns.forWorker(worker as unknown as TurnWorker);
    view.addReadable(10, 0xffffffff);
    poller.report(10, READABLE);
    expect(log).toEqual([`reactor ${0xffffffff} 10 1`]);
  });

  it('for a reactor that is gone are dropped', () => {
    turns.forReactor(reactor as unknown as TurnReactor).add(10, 7);
    turns.withoutReactor();
    poller.report(10, READABLE);
    expect(log).toEqual([]);
  });

  it('come under a new token after retoken, and not after remove or abandon', () => {
    const view = turns.forOther(part('other'));
    view.add(10, 1);
    view.retoken(10, 2);
    poller.report(10, READABLE);
    view.remove(10);
    view.add(11, 3);
    view.abandon(11);
    view.rearm(12, READABLE);
    expect(log).toEqual(['other 2 10 1']);
    expect(poller.watched.size).toBe(0);
    expect(poller.asked).toEqual(['remove 10', 'abandon 11', 'rearm 12 1']);
  });

  it('are as those of the poller below say', () => {
    const { name, levelTriggered } = turns.forOther(part('other'));
    expect({ name, levelTriggered }).toEqual({ name: 'epoll', levelTriggered: false });
  });
});

describe('worker and reactor of one process', () => {
  const far = { wake: () => log.push('far wake') > 0, ring: () => log.push('far ring') };

  it('wake each other by a turn, not by a bell', () => {
    turns.forReactor(reactor as unknown as TurnReactor);
    const waker = turns.waker(far);
    expect(waker.wake()).toBe(false);
    expect(poller.wanted).toBe(1);
    waker.ring();
    expect(poller.wanted).toBe(2);
    expect(log).toEqual([]);
  });

  it('need nothing within a turn, which comes to both', () => {
    const waker = turns.waker(far);
    turns.forReactor({ ...reactor, publish: () => void waker.wake() } as unknown as TurnReactor);
    poller.handler.turnEnd();
    expect(poller.wanted).toBe(0);
  });

  it('ring while the reactor is in another process', () => {
    const waker = turns.waker(far);
    expect(waker.wake()).toBe(true);
    waker.ring();
    expect(log).toEqual(['far wake', 'far ring']);
    expect(poller.wanted).toBe(0);
  });
});
