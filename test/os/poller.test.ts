import { executionAsyncId } from 'node:async_hooks';
import { createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { BlockingPoller } from '../../src/os/blocking-poller.js';
import { createBlockingPoller, createPoller } from '../../src/os/create-poller.js';
import { createMessagePair } from '../../src/os/descriptor-passing.js';
import { clearDoorbell, createDoorbell, ringDoorbell } from '../../src/os/doorbell.js';
import { addressOf, allocateStable, EAGAIN } from '../../src/os/libc.js';
import { BROKEN, HANGUP, type Poller, type PollerHandler, READABLE, WRITABLE } from '../../src/os/poller.js';
import { closeDescriptor, connectTcp, receive, send, socketError } from '../../src/os/socket.js';
import { closeDoorbell } from '../helpers/doorbell.js';
import { poll } from '../helpers/server-process.js';

const space = allocateStable(1 << 16);
const spaceAddress = addressOf(space);
const cleanUp: (() => void)[] = [];
afterEach(() => {
  for (const undo of cleanUp.splice(0).reverse()) undo();
});

/** A connection whose one end is ours, and the other Node's. */
async function connection(): Promise<{ descriptor: number; peer: Socket }> {
  const sockets: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => sockets.push(socket.on('error', () => {})));
  server.listen(0, '127.0.0.1');
  await poll('it listens', () => server.listening);
  const descriptor = connectTcp('127.0.0.1', (server.address() as { port: number }).port);
  const peer = await poll('it is connected', () => sockets[0]);
  cleanUp.push(() => {
    peer.destroy();
    server.close();
  });
  expect(socketError(descriptor)).toBe(0);
  return { descriptor, peer };
}

/** @returns the messages of exceptions that nobody catches from now on, in place of a failure of the test */
function uncaught(): string[] {
  const caught: string[] = [];
  const listeners = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  process.on('uncaughtException', (error) => caught.push(error.message));
  cleanUp.push(() => {
    process.removeAllListeners('uncaughtException');
    for (const listener of listeners) process.on('uncaughtException', listener);
  });
  return caught;
}

const pollers: [name: string, create: (handler: PollerHandler) => Poller][] = [
  ['epoll', (handler) => createPoller('epoll', handler)],
  ['poll', (handler) => createPoller('poll', handler)],
  ['blocking', (handler) => createBlockingPoller('epoll', handler)],
];

describe.each(pollers)('the %s poller', (_, create) => {
  const seen: { token: number; descriptor: number; events: number }[] = [];
  let turns = 0;
  let onReady: (() => void) | undefined;

  function poller(): Poller {
    seen.length = 0;
    turns = 0;
    onReady = undefined;
    const made = create({
      ready(token, descriptor, events) {
        seen.push({ token, descriptor, events });
        onReady?.();
      },
      turnEnd() {
        turns++;
      },
    });
    cleanUp.push(() => made.close());
    return made;
  }

  const saw = (descriptor: number, event: number): boolean =>
    seen.some((report) => report.descriptor === descriptor && (report.events & event) !== 0);

  /** Reads until there is nothing, as users of a poller have to. */
  function readDry(descriptor: number, made: Poller): number {
    let total = 0;
    for (;;) {
      const n = receive(descriptor, spaceAddress, space.length);
      if (n === -EAGAIN) break;
      if (n <= 0) return total;
      total += n;
    }
    made.rearm(descriptor, READABLE);
    return total;
  }

  it('ends one turn for each time it is woken by a few events', async () => {
    const made = poller();
    const bell = createDoorbell();
    cleanUp.push(() => closeDoorbell(bell));
    onReady = () => {
      clearDoorbell(bell);
      made.rearm(bell.read, READABLE);
    };
    made.addReadable(bell.read, 1);
    for (let rings = 1; rings <= 3; rings++) {
      ringDoorbell(bell);
      await poll('it is told', () => seen.length === rings);
      await new Promise(setImmediate);
      expect(turns).toBe(rings);
    }
  });

  it('tells it under another token from the moment it is given one, also what is ready already', async () => {
    const made = poller();
    const { descriptor, peer } = await connection();
    made.add(descriptor, 7);
    peer.write('x');
    await poll('it is told', () => saw(descriptor, READABLE));
    expect(seen.every(({ token }) => token === 7)).toBe(true);
    seen.length = 0;
    made.retoken(descriptor, 8);
    await poll('it is told again', () => saw(descriptor, READABLE));
    expect(seen.every(({ token }) => token === 8)).toBe(true);
    made.remove(descriptor);
    closeDescriptor(descriptor);
  });

  it('tells what is readable, with its token, as often as something comes', async () => {
    const made = poller();
    const { descriptor, peer } = await connection();
    made.add(descriptor, 0xfffffff0);
    for (let round = 0; round < 5; round++) {
      seen.length = 0;
      peer.write('hello');
      await poll('it is told', () => saw(descriptor, READABLE));
      expect(seen.at(-1)?.token).toBe(0xfffffff0);
      expect(readDry(descriptor, made)).toBe(5);
    }
    expect(turns).toBeGreaterThanOrEqual(5);
    made.remove(descriptor);
    closeDescriptor(descriptor);
  });

  it('tells when a full socket has room again', async () => {
    const made = poller();
    const { descriptor, peer } = await connection();
    made.add(descriptor, 1);
    peer.pause();
    while (send(descriptor, spaceAddress, space.length) > 0);
    await poll('all that was told is old', () => turns >= 0);
    seen.length = 0;
    made.rearm(descriptor, WRITABLE);
    peer.resume();
    await poll('it is writable', () => saw(descriptor, WRITABLE));
    expect(send(descriptor, spaceAddress, 10)).toBe(10);
    made.remove(descriptor);
    closeDescriptor(descriptor);
  });

  it("tells of the peer's end", async () => {
    const made = poller();
    const { descriptor, peer } = await connection();
    made.add(descriptor, 1);
    peer.end();
    await poll('it is told', () => saw(descriptor, READABLE) || saw(descriptor, HANGUP));
    expect(receive(descriptor, spaceAddress, 10)).toBe(0);
    made.remove(descriptor);
    closeDescriptor(descriptor);
  });

  it("tells of the peer's end, and of its break, though nothing is read, and not over and over", async () => {
    const made = poller();
    const { descriptor, peer } = await connection();
    made.add(descriptor, 1);
    peer.write('never read');
    await poll('it is told', () => saw(descriptor, READABLE));
    peer.end();
    await poll('its end is told', () => saw(descriptor, HANGUP));
    expect(saw(descriptor, BROKEN)).toBe(false);
    const before = seen.length;
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(seen.length - before).toBeLessThanOrEqual(1);
    peer.resetAndDestroy();
    await poll('its break is told', () => saw(descriptor, BROKEN));
    made.remove(descriptor);
    closeDescriptor(descriptor);
  });

  it("tells of a unix socket's close, which is no end alone", async () => {
    const made = poller();
    const [ours, theirs] = createMessagePair();
    cleanUp.push(() => closeDescriptor(ours));
    made.add(ours, 1);
    made.rearm(ours, READABLE | WRITABLE);
    closeDescriptor(theirs);
    await poll('it is told', () => saw(ours, BROKEN));
    made.remove(ours);
  });

  it('is silent about what was removed and closed', async () => {
    const made = poller();
    const { descriptor, peer } = await connection();
    const other = await connection();
    made.add(descriptor, 1);
    made.add(other.descriptor, 2);
    made.remove(descriptor);
    closeDescriptor(descriptor);
    peer.write('too late');
    other.peer.write('in time');
    await poll('the other one is told', () => saw(other.descriptor, READABLE));
    expect(seen.filter(({ token }) => token === 1)).toEqual([]);
    made.remove(other.descriptor);
    closeDescriptor(other.descriptor);
  });

  it('hears every doorbell', async () => {
    const made = poller();
    const bell = createDoorbell();
    cleanUp.push(() => closeDoorbell(bell));
    made.addReadable(bell.read, 7);
    for (let round = 0; round < 50; round++) {
      seen.length = 0;
      ringDoorbell(bell);
      await poll('it is heard', () => seen.some(({ token }) => token === 7));
      if (made.levelTriggered) clearDoorbell(bell);
      made.rearm(bell.read, READABLE);
    }
  });

  it('comes round soon when asked to, once however often it was asked', async () => {
    const made = poller();
    made.wakeSoon();
    made.wakeSoon();
    await poll('a turn', () => turns > 0);
    expect(seen).toEqual([]);
  });

  it('keeps its process running until it is closed', () => {
    const timers = (): string[] => process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout');
    const before = timers();
    const made = poller();
    made.close();
    expect(timers()).toEqual(before);
  });

  it('has no turn after it was closed, though it was asked for one', async () => {
    const made = poller();
    made.wakeSoon();
    made.close();
    made.close(); // told twice
    await new Promise((resolve) => setImmediate(resolve));
    expect(turns).toBe(0);
  });

  it('runs reports and turns as callbacks that Node knows: no tick or promise of theirs goes on before they end', async () => {
    const ids: number[] = [];
    const made = create({
      ready: () => ids.push(executionAsyncId()),
      turnEnd: () => ids.push(executionAsyncId()),
    });
    cleanUp.push(() => made.close());
    const bell = createDoorbell();
    cleanUp.push(() => closeDoorbell(bell));
    made.addReadable(bell.read, 1);
    ringDoorbell(bell);
    await poll('a report and a turn', () => ids.length > 1);
    expect(Math.min(...ids)).toBeGreaterThan(1); // 1 is the start of the process, 0 what Node does not know
  });

  it('lets exceptions of reports and of turns be uncaught ones, and goes on with the reports behind them', async () => {
    const caught = uncaught();
    const reported: number[] = [];
    const failing = new Set(['report', 'turn']);
    let isFollowed = false;
    const made = create({
      ready(token) {
        reported.push(token);
        if (failing.delete('report')) throw new Error('in a report');
      },
      turnEnd() {
        isFollowed = !failing.has('turn');
        if (reported.length === 2 && failing.delete('turn')) throw new Error('in a turn');
      },
    });
    cleanUp.push(() => made.close());
    for (const token of [1, 2]) {
      const bell = createDoorbell();
      cleanUp.push(() => closeDoorbell(bell));
      ringDoorbell(bell);
      made.addReadable(bell.read, token);
    }
    await poll('both exceptions, and another turn', () => isFollowed && caught.length === 2);
    expect(reported.sort()).toEqual([1, 2]);
    expect(caught.sort()).toEqual(['in a report', 'in a turn']);
  });

  it('says nothing more of what was abandoned, though it stays open', async () => {
    const made = poller();
    const { descriptor, peer } = await connection();
    const other = await connection();
    made.add(other.descriptor, 2);
    made.add(descriptor, 1);
    made.abandon(descriptor);
    peer.write('x');
    other.peer.write('x');
    await poll('the other one is told', () => saw(other.descriptor, READABLE));
    expect(seen.filter(({ token, events }) => token === 1 && (events & READABLE) !== 0)).toEqual([]);
    made.remove(other.descriptor);
    closeDescriptor(other.descriptor);
    closeDescriptor(descriptor);
  });

  it('can be closed from inside its own report', async () => {
    const made = poller();
    const { descriptor, peer } = await connection();
    made.add(descriptor, 1);
    onReady = () => made.close();
    peer.write('x');
    await poll('it was told', () => seen.length > 0);
    const before = turns;
    peer.write('y');
    await new Promise((resolve) => setImmediate(resolve));
    expect(turns).toBe(before);
    closeDescriptor(descriptor);
  });
});

/** More wake-ups in a row by one descriptor alone than make the event loop watch it itself. */
const OFTEN = 40;

describe('the epoll poller, where one descriptor alone is ready again and again', () => {
  /** Echoes as a reactor does: reads until a read is short, then asks for the next report. */
  function echo(): { made: Poller; tokens: number[]; events: number[]; repeats: () => boolean; stopReading(): void } {
    const tokens: number[] = [];
    const events: number[] = [];
    let isReading = true;
    let repeats = false;
    const made = createPoller('epoll', {
      ready(token, descriptor, seen) {
        tokens.push(token);
        events.push(seen);
        repeats = made.levelTriggered;
        if (!isReading || (seen & READABLE) === 0) return;
        const n = receive(descriptor, spaceAddress, space.length);
        if (n > 0) send(descriptor, spaceAddress, n);
        made.rearm(descriptor, READABLE);
      },
      turnEnd() {},
    });
    cleanUp.push(() => made.close());
    const stopReading = (): void => {
      isReading = false;
    };
    return { made, tokens, events, repeats: () => repeats, stopReading };
  }

  async function talk(peer: Socket, times: number): Promise<void> {
    for (let i = 0; i < times; i++) {
      const answered = new Promise((resolve) => peer.once('data', resolve));
      peer.write('x');
      await answered;
    }
  }

  async function lone() {
    const { descriptor, peer } = await connection();
    const echoing = echo();
    echoing.made.add(descriptor, 7);
    cleanUp.push(() => closeDescriptor(descriptor));
    await talk(peer, OFTEN);
    expect(echoing.repeats()).toBe(true);
    return { descriptor, peer, ...echoing };
  }

  it('answers all the time, and another descriptor too that becomes ready', async () => {
    const { made, peer, tokens, repeats } = await lone();
    const other = await connection();
    made.add(other.descriptor, 8);
    cleanUp.push(() => closeDescriptor(other.descriptor));
    for (let i = 0; i < 3; i++) {
      await Promise.all([talk(other.peer, 5), talk(peer, 5)]);
      await talk(other.peer, OFTEN);
      expect([repeats(), tokens.at(-1)]).toEqual([true, 8]);
      await talk(peer, OFTEN);
      expect([repeats(), tokens.at(-1)]).toEqual([true, 7]);
    }
  });

  it("reports the peer's end, and its break", async () => {
    const ended = await lone();
    ended.peer.end();
    await poll('its end is reported', () => ended.events.some((event) => (event & HANGUP) !== 0));
    const broken = await lone();
    broken.peer.resetAndDestroy();
    await poll('its break is reported', () => broken.events.some((event) => (event & BROKEN) !== 0));
  });

  it('is not reported over and over where it is not read', async () => {
    const { descriptor, made, peer, tokens, stopReading } = await lone();
    stopReading();
    peer.write('x');
    await new Promise((resolve) => setTimeout(resolve, 30));
    const before = tokens.length;
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(tokens.length).toBe(before);
    made.retoken(descriptor, 9);
    await poll('it is reported under another token', () => tokens.at(-1) === 9);
  });

  it('is reported under the token it is given meanwhile, and no more when it is removed or abandoned', async () => {
    const { descriptor, made, peer, tokens } = await lone();
    made.retoken(descriptor, 9);
    await talk(peer, OFTEN);
    expect(tokens.at(-1)).toBe(9);
    made.abandon(descriptor);
    const before = tokens.length;
    peer.write('x');
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(tokens.length).toBe(before);
    const next = await lone();
    next.made.remove(next.descriptor);
    next.peer.write('x');
    const then = next.tokens.length;
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(next.tokens.length).toBe(then);
  });

  it('reports that it can be written again', async () => {
    const { descriptor, peer, events } = await lone();
    peer.pause();
    while (send(descriptor, spaceAddress, space.length) > 0);
    events.length = 0;
    peer.resume();
    await poll('it can be written', () => events.some((event) => (event & WRITABLE) !== 0));
  });

  it('hears every ring of a bell, and clears it only where it would be reported again', async () => {
    const bell = createDoorbell();
    cleanUp.push(() => closeDoorbell(bell));
    let heard = 0;
    let cleared = 0;
    let turns = 0;
    const made = createPoller('epoll', {
      ready() {
        heard++;
        if (!made.levelTriggered) return;
        cleared++;
        clearDoorbell(bell);
        made.rearm(bell.read, READABLE);
      },
      turnEnd() {
        turns++;
      },
    });
    cleanUp.push(() => made.close());
    made.addReadable(bell.read, 1);
    for (let rings = 1; rings <= OFTEN * 3; rings++) {
      const before = heard;
      ringDoorbell(bell);
      while (heard === before) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(cleared).toBeGreaterThan(OFTEN);
    expect(cleared).toBeLessThan(OFTEN * 3);
    await new Promise((resolve) => setImmediate(resolve));
    expect(turns).toBeLessThan(OFTEN * 3 + 5);
  });

  it('is closed with the poller, in the midst of a report too', async () => {
    const { made, peer, tokens } = await lone();
    made.close();
    const before = tokens.length;
    peer.write('x');
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(tokens.length).toBe(before);
  });
});

describe('a poller that blocks', () => {
  /** Rings its own bell in each turn until told to stop, so the poller has always something to do. */
  function busy(): { poller: BlockingPoller; turns: () => number; stop: () => void } {
    const bell = createDoorbell();
    cleanUp.push(() => closeDoorbell(bell));
    let turns = 0;
    let goesOn = true;
    const poller = new BlockingPoller({
      ready() {},
      turnEnd() {
        turns++;
        if (goesOn) ringDoorbell(bell);
      },
    });
    cleanUp.push(() => poller.close());
    poller.addReadable(bell.read, 1);
    ringDoorbell(bell);
    const stop = (): void => {
      goesOn = false;
    };
    return { poller, turns: () => turns, stop };
  }

  it('lets timers, immediates, promises and messages have their turn while it is busy', async () => {
    const { turns } = busy();
    await poll('it is busy', () => turns() > 100);
    const { port1, port2 } = new MessageChannel();
    cleanUp.push(() => port1.close());
    for (let i = 0; i < 5; i++) {
      const began = performance.now();
      await new Promise((resolve) => setTimeout(resolve, 1));
      await new Promise((resolve) => setImmediate(resolve));
      const came = new Promise((resolve) => port2.addEventListener('message', resolve, { once: true }));
      port2.start();
      port1.postMessage('x');
      await came;
      expect(performance.now() - began).toBeLessThan(500); // 5 ms each, on a machine with nothing else to do
    }
  });

  it('serves many wake-ups in one turn of the event loop of Node', async () => {
    const { turns } = busy();
    await poll('it is busy', () => turns() > 100);
    await new Promise((resolve) => setImmediate(resolve));
    const before = turns();
    await new Promise((resolve) => setImmediate(resolve));
    expect(turns() - before).toBeGreaterThan(20);
  });

  it('leaves the waiting to Node when nothing happens any more, and sleeps', async () => {
    const { turns, stop } = busy();
    await poll('it is busy', () => turns() > 100);
    stop();
    await poll('it is calm', async () => {
      const before = turns();
      await new Promise((resolve) => setTimeout(resolve, 20));
      return turns() === before;
    });
    const { user, system } = process.cpuUsage();
    await new Promise((resolve) => setTimeout(resolve, 300));
    const used = process.cpuUsage({ user, system });
    expect((used.user + used.system) / 1000).toBeLessThan(150);
  });

  it('is woken by one that is rarely ready without blocking', async () => {
    const { poller, turns, stop } = busy();
    stop();
    await poll('it is woken', () => turns() > 0);
    expect(poller.blockedMs).toBe(0);
  });

  it('counts the time in which it slept, which Node does not see', async () => {
    const bell = createDoorbell();
    cleanUp.push(() => closeDoorbell(bell));
    let turns = 0;
    const made = new BlockingPoller({ ready() {}, turnEnd: () => turns++ });
    cleanUp.push(() => made.close());
    made.addReadable(bell.read, 1);
    for (let i = 0; i < 50 && made.blockedMs === 0; i++) {
      ringDoorbell(bell);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(made.blockedMs).toBeGreaterThan(1);
    expect(made.blockedMs).toBeLessThan(1000);
    expect(turns).toBeGreaterThan(1);
  });

  it('never blocks where the I/O of Node takes place too', async () => {
    const { poller, turns } = busy();
    poller.leaveWaitingToNode();
    await poll('it is woken often', () => turns() > 200);
    await new Promise((resolve) => setImmediate(resolve));
    const before = turns();
    await new Promise((resolve) => setImmediate(resolve));
    expect(turns() - before).toBeLessThan(5);
    expect(poller.blockedMs).toBe(0);
  });

  it('stops blocking when that begins while it is busy', async () => {
    const { poller, turns } = busy();
    await poll('it is busy', () => turns() > 100);
    poller.leaveWaitingToNode();
    const before = turns();
    await poll('Node watches', () => turns() > before + 20);
    await new Promise((resolve) => setImmediate(resolve));
    const blocked = poller.blockedMs;
    const then = turns();
    await poll('it goes on', () => turns() > then + 20);
    expect(poller.blockedMs).toBe(blocked);
  });

  it('can be closed from inside its own turn while it is busy, and from a timer', async () => {
    const { poller, turns } = busy();
    await poll('it is busy', () => turns() > 100);
    poller.close();
    const before = turns();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(turns()).toBe(before);
    const bell = createDoorbell();
    cleanUp.push(() => closeDoorbell(bell));
    let seen = 0;
    const made = new BlockingPoller({
      ready() {},
      turnEnd() {
        if (++seen === 200) made.close();
        else ringDoorbell(bell);
      },
    });
    made.addReadable(bell.read, 1);
    ringDoorbell(bell);
    await poll('it is closed', () => seen === 200);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(seen).toBe(200);
  });

  it('lets an exception of a turn be an uncaught one, and goes on', async () => {
    const bell = createDoorbell();
    cleanUp.push(() => closeDoorbell(bell));
    let turns = 0;
    const made = new BlockingPoller({
      ready() {},
      turnEnd() {
        ringDoorbell(bell);
        if (++turns === 200) throw new Error('in a turn');
      },
    });
    cleanUp.push(() => made.close());
    const caught = uncaught();
    made.addReadable(bell.read, 1);
    ringDoorbell(bell);
    await poll('it has gone on', () => turns > 300 && caught.length > 0);
    expect(caught).toEqual(['in a turn']);
  });
});
