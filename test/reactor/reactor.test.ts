import type { Socket } from 'node:net';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AnswerFlag, CloseCode, Event, markOf, Request, SendFlag } from '../../src/ipc/frame.js';
import { Reply } from '../../src/ipc/reply.js';
import { Sleeper } from '../../src/ipc/sleep.js';
import { ReactorCounter, WorkerField } from '../../src/memory/boards.js';
import { peerOf, peerOfMaster } from '../../src/memory/layout.js';
import { encodeAddress } from '../../src/os/address.js';
import { createDoorbell, ringDoorbell } from '../../src/os/doorbell.js';
import { HANGUP, type Poller, READABLE, WRITABLE } from '../../src/os/poller.js';
import { bindUdp, closeDescriptor, localAddress, sendTo } from '../../src/os/socket.js';
import { assembleReactor } from '../../src/reactor/assemble.js';
import type { ReactorOptions } from '../../src/reactor/context.js';
import { strategyOf } from '../../src/reactor/dispatch/index.js';
import type { Reactor } from '../../src/reactor/reactor.js';
import { closeDoorbell } from '../helpers/doorbell.js';
import { Loopback } from '../helpers/loopback.js';
import { ReactorWorld, someHttp } from '../helpers/reactor-world.js';
import { poll } from '../helpers/server-process.js';

const FIRST_PID = 1000;
const BELL_TOKEN = 0xffffffff;
const REQUESTS_PER_TURN = 1024;
const loopback = new Loopback();
const bell = createDoorbell();
afterAll(() => {
  loopback.close();
  closeDoorbell(bell);
});

/** Reports nothing by itself. */
class FakePoller implements Poller {
  readonly name = 'epoll';
  levelTriggered = false;
  /** By descriptor. */
  readonly watched = new Map<number, number>();
  readonly rearmed: number[] = [];
  wakes = 0;
  isClosed = false;

  add(descriptor: number, token: number): void {
    this.watched.set(descriptor, token);
  }
  addReadable(descriptor: number, token: number): void {
    this.watched.set(descriptor, token);
  }
  retoken(descriptor: number, token: number): void {
    this.watched.set(descriptor, token);
  }
  remove(descriptor: number): void {
    this.watched.delete(descriptor);
  }
  abandon(descriptor: number): void {
    this.watched.delete(descriptor);
  }
  rearm(descriptor: number): void {
    this.rearmed.push(descriptor);
  }
  wakeSoon(): void {
    this.wakes++;
  }
  close(): void {
    this.isClosed = true;
  }
}

/** A reactor over real sockets, a poller by hand, and the workers of a world that shares its memory. */
class Rig {
  readonly world: ReactorWorld;
  readonly poller = new FakePoller();
  readonly refused: number[] = [];
  readonly broken: number[] = [];
  /** Runs while the reactor takes what was sent, when it comes to a frame that cannot be read. */
  meanwhile = (): void => {};
  readonly reactor: Reactor;

  constructor(options: Partial<ReactorOptions> = {}, world = new ReactorWorld({ workers: 2 })) {
    this.world = world;
    this.reactor = assembleReactor({
      ...{ id: 0, region: world.region, bells: Array<typeof bell>(64).fill(bell) },
      takesDatagrams: world.context.options.ports.some(({ datagrams }) => datagrams >= 0),
      options: { ...world.context.options, ...options },
      strategy: strategyOf('fd-mod'),
      modules: { dispatch: undefined, framings: [undefined], certificates: [undefined] },
      createPoller: () => this.poller,
      onRefused: (_sessionId, code) => this.refused.push(code),
      onOverload: () => {},
      onBrokenSender: (worker) => {
        this.broken.push(worker);
        this.meanwhile();
      },
    });
    rigs.push(this);
  }

  /** The accepting thread has counted it, and hands it over. */
  async accept(): Promise<Guest> {
    const socket = loopback.connect();
    const arrival = await loopback.arrival();
    this.world.board.addConnections(0, 1);
    this.world.board.addOccupied(0, 1);
    this.reactor.accept(arrival);
    const guest = new Guest(this, socket, arrival.descriptor);
    this.reactor.turnEnd();
    return guest;
  }

  get isAsleep(): boolean {
    return (Atomics.load(this.world.region.int32, this.world.board.sleepIndex(0)) & 1) === 1;
  }
}

const rigs: Rig[] = [];

/** A client, and its connection. */
class Guest {
  readonly #rig: Rig;
  readonly socket: Socket;
  readonly descriptor: number;
  got = '';
  isClosed = false;

  constructor(rig: Rig, socket: Socket, descriptor: number) {
    this.#rig = rig;
    this.socket = socket;
    this.descriptor = descriptor;
    socket.on('data', (bytes: Buffer) => {
      this.got += bytes.toString('latin1');
    });
    socket.on('close', () => {
      this.isClosed = true;
    });
  }

  /** Its slot, while it is watched. */
  get token(): number {
    return this.#rig.poller.watched.get(this.descriptor) ?? -1;
  }
  get sessionId(): number {
    return this.#rig.world.table.sessionId(this.token);
  }
  get worker(): number {
    return this.#rig.world.table.worker(this.token);
  }

  /** The poller reports until something of its has come to a worker. */
  async says(text: string): Promise<void> {
    const before = this.received;
    this.socket.write(text);
    await poll('it is read', () => {
      this.reported(READABLE);
      return this.received === before + text.length;
    });
  }

  get received(): number {
    return this.#rig.world.board.read(0, ReactorCounter.receivedBytes);
  }

  reported(events: number): void {
    const { reactor } = this.#rig;
    reactor.ready(this.token, this.descriptor, events);
    reactor.turnEnd();
  }
}

beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }));
afterEach(() => {
  for (const { reactor } of rigs.splice(0)) reactor.stop();
  vi.useRealTimers();
});

it('reads datagrams before it shows workers what came, so that their callbacks run in the same turn', () => {
  const [to, from] = [bindUdp('127.0.0.1', 0), bindUdp('127.0.0.1', 0)];
  const rig = new Rig({}, new ReactorWorld({ workers: 2, port: { datagrams: to } }));
  sendTo(from, Buffer.from('x'), encodeAddress('127.0.0.1', localAddress(to).port));
  rig.reactor.ready(0x80000000, to, READABLE);
  rig.reactor.publish();
  expect(rig.world.takeAll().map(({ type }) => type)).toEqual([Event.packet]);
  for (const descriptor of [to, from]) closeDescriptor(descriptor);
});

describe('a turn', () => {
  it('gives workers what clients send, and clients what workers send', async () => {
    const rig = new Rig();
    const guest = await rig.accept();
    await guest.says('hello');
    expect(rig.world.takeAll().map(({ type, text }) => [type, text])).toEqual([
      [Event.connect, ''],
      [Event.receive, 'hello'],
    ]);
    rig.world.writes(guest.sessionId, [{ type: Request.send, payload: 'answer' }], 0);
    rig.reactor.turnEnd();
    await poll('the answer has come', () => guest.got === 'answer');
    expect(rig.world.board.read(0, ReactorCounter.replies)).toBe(1);
  });

  it('has nothing to do with reports about a descriptor that is another one by now', async () => {
    const rig = new Rig();
    const guest = await rig.accept();
    rig.world.takeAll();
    guest.socket.write('hello');
    await new Promise((resolve) => setTimeout(resolve, 20));
    rig.reactor.ready(guest.token, guest.descriptor + 1, READABLE);
    rig.reactor.ready(guest.token + 1, guest.descriptor, READABLE);
    rig.reactor.turnEnd();
    expect(rig.world.takeAll()).toEqual([]);
  });

  it('shows the end of a client', async () => {
    const rig = new Rig();
    const guest = await rig.accept();
    rig.world.takeAll();
    guest.socket.end();
    const frames = await poll('the worker knows', () => {
      guest.reported(READABLE | HANGUP);
      const taken = rig.world.takeAll();
      return taken.length > 0 && taken;
    });
    expect(frames).toMatchObject([{ type: Event.close, detail: CloseCode.CLIENT_CLOSED }]);
  });

  it('goes on writing when the kernel has room again', async () => {
    const rig = new Rig();
    const guest = await rig.accept();
    guest.socket.pause();
    const payload = 'x'.repeat(60_000);
    for (let i = 0; i < 16; i++) {
      rig.world.writes(guest.sessionId, [{ type: Request.send, payload }], 0);
      rig.reactor.turnEnd();
    }
    guest.socket.resume();
    await poll('all has come', () => {
      guest.reported(WRITABLE);
      return guest.got.length === 16 * payload.length;
    });
    expect(rig.world.board.read(0, ReactorCounter.buffered)).toBe(0);
  });

  it('is followed by another one while there is more than one turn takes', async () => {
    const rig = new Rig();
    const guest = await rig.accept();
    const { wakes } = rig.poller;
    const frames = Array.from({ length: REQUESTS_PER_TURN + 1 }, () => ({ type: Request.resume }));
    rig.world.writes(guest.sessionId, frames, 0);
    rig.reactor.turnEnd();
    expect([rig.poller.wakes, rig.isAsleep]).toEqual([wakes + 1, false]);
    rig.reactor.turnEnd();
    expect([rig.poller.wakes, rig.isAsleep]).toEqual([wakes + 1, true]);
  });

  it('tells of senders that write what cannot be read', () => {
    const rig = new Rig();
    rig.world.writes(0, [{ type: 99 }], 2);
    rig.reactor.turnEnd();
    expect(rig.broken).toEqual([1]);
  });

  it('sees to what the dead have left when all that they had sent is taken', async () => {
    const rig = new Rig();
    const guest = await rig.accept();
    const flags = SendFlag.more;
    const half = { type: Request.send, flags, detail: markOf(FIRST_PID), payload: 'half' };
    rig.world.writes(guest.sessionId, [half], 0);
    rig.world.workers.setField(0, WorkerField.processOfLane0, 0);
    rig.reactor.turnEnd();
    expect(guest.token).toBeGreaterThanOrEqual(0);
    rig.world.region.countDeath();
    rig.reactor.turnEnd();
    expect(guest.token).toBe(-1);
  });

  it('does so only then, where one turn does not take it all', async () => {
    const rig = new Rig();
    const guest = await rig.accept();
    const part = { type: Request.send, detail: markOf(FIRST_PID) };
    const load = Array.from({ length: REQUESTS_PER_TURN }, () => ({ type: Request.resume }));
    const half = { ...part, flags: SendFlag.more, payload: 'half ' };
    rig.world.writes(guest.sessionId, [half, ...load, { ...part, payload: 'whole' }], 0);
    rig.world.workers.setField(0, WorkerField.processOfLane0, 0);
    rig.world.region.countDeath();
    rig.reactor.turnEnd();
    rig.reactor.turnEnd();
    await poll('all has come', () => guest.got === 'half whole');
    expect(guest.token).toBeGreaterThanOrEqual(0);
  });
});

describe('a process that has ended in an orderly way', () => {
  const isGone = ({ world }: Rig, worker: number): void => {
    world.workers.setField(worker, WorkerField.processOfLane0, 0);
    world.region.countDeath();
  };
  const send = (worker: number, payload: string, flags = 0) => ({
    ...{ type: Request.send, flags, detail: markOf(FIRST_PID + worker), payload },
  });

  it('while the reactor took what others had sent is not taken for one that has died in the middle', async () => {
    const rig = new Rig();
    const guest = await rig.accept();
    rig.world.writes(guest.sessionId, [send(0, 'half ', SendFlag.more)], 0);
    rig.reactor.turnEnd();
    rig.meanwhile = () => {
      rig.world.writes(guest.sessionId, [send(0, 'whole')], 0);
      isGone(rig, 0);
    };
    rig.world.writes(guest.sessionId, [{ type: 99 }], peerOf(1, 0));
    rig.world.region.countDeath();
    rig.reactor.turnEnd();
    rig.reactor.turnEnd();
    await poll('all has come', () => guest.got === 'half whole');
    expect(guest.token).toBeGreaterThanOrEqual(0);
  });

  it('is not taken for one either where its send had to wait for that of another', async () => {
    const rig = new Rig();
    const guest = await rig.accept();
    rig.world.writes(guest.sessionId, [send(0, 'one ', SendFlag.more)], 0);
    rig.world.writes(guest.sessionId, [send(1, 'two ', SendFlag.more)], peerOf(1, 0));
    rig.reactor.turnEnd();
    rig.world.writes(guest.sessionId, [send(0, 'end, ')], 0);
    rig.world.writes(guest.sessionId, [send(1, 'end')], peerOf(1, 0));
    isGone(rig, 1);
    rig.reactor.turnEnd();
    await poll('all has come', () => guest.got === 'one end, two end');
    expect(guest.token).toBeGreaterThanOrEqual(0);
  });

  it('is one where it had not: its send waits, it dies, and the other one ends later', async () => {
    const rig = new Rig();
    const guest = await rig.accept();
    rig.world.writes(guest.sessionId, [send(0, 'one ', SendFlag.more)], 0);
    rig.world.writes(guest.sessionId, [send(1, 'two ', SendFlag.more)], peerOf(1, 0));
    isGone(rig, 1);
    rig.reactor.turnEnd();
    expect(guest.token).toBeGreaterThanOrEqual(0);
    rig.world.writes(guest.sessionId, [send(0, 'end')], 0);
    rig.reactor.turnEnd();
    expect([rig.isAsleep, guest.token]).toEqual([false, expect.any(Number)]);
    rig.reactor.turnEnd();
    expect([rig.isAsleep, guest.token]).toEqual([true, -1]);
  });

  it('has answered the request that it had taken', async () => {
    const rig = new Rig({}, new ReactorWorld({ workers: 2, port: { http: someHttp } }));
    const guest = await rig.accept();
    await guest.says('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    const { token, sessionId, worker } = guest;
    rig.world.table.setTaker(token, FIRST_PID + worker);
    const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n';
    rig.meanwhile = () => {
      rig.world.writes(
        sessionId,
        [{ type: Request.answer, flags: AnswerFlag.last, detail: 1, payload: answer }],
        2 * worker,
      );
      isGone(rig, worker);
    };
    // That ring is looked at behind those of the workers.
    rig.world.writes(sessionId, [{ type: 99 }], peerOfMaster(rig.world.region.shape));
    rig.world.region.countDeath();
    rig.reactor.turnEnd();
    rig.reactor.turnEnd();
    await poll('an answer has come', () => guest.got !== '');
    expect(guest.got).toBe(answer);
  });
});

describe('sleep', () => {
  it('is announced when there is nothing to do, and over with the first report', async () => {
    const rig = new Rig();
    const guest = await rig.accept();
    expect(rig.isAsleep).toBe(true);
    rig.reactor.ready(guest.token, guest.descriptor, WRITABLE);
    expect(rig.isAsleep).toBe(false);
    rig.reactor.turnEnd();
    expect(rig.isAsleep).toBe(true);
  });

  it('is none when something has come just before it was announced', () => {
    const rig = new Rig();
    const { wakes } = rig.poller;
    const sleep = vi.spyOn(Sleeper.prototype, 'sleep').mockImplementationOnce(() => {
      rig.world.writes(0, [{ type: Request.resume }], 0);
    });
    rig.reactor.turnEnd();
    sleep.mockRestore();
    expect(rig.poller.wakes).toBe(wakes + 1);
  });

  it('ends by the bell, which is cleared where it would be reported again', () => {
    const rig = new Rig();
    rig.poller.levelTriggered = true;
    ringDoorbell(bell);
    rig.reactor.turnEnd();
    rig.reactor.ready(BELL_TOKEN, bell.read, READABLE);
    expect([rig.isAsleep, rig.poller.rearmed]).toEqual([false, [bell.read]]);
  });
});

describe('another number of workers', () => {
  it('holds back what is for those that go, and gives it to others when they have finished', async () => {
    const rig = new Rig();
    const guests = [await rig.accept(), await rig.accept()];
    const goes = guests.find(({ worker }) => worker === 1);
    if (goes === undefined) throw new Error('none of them is with worker 1');
    rig.world.takeAll();
    const withheld = vi.fn();
    rig.reactor.withhold(1, withheld);
    rig.reactor.turnEnd();
    expect(withheld).toHaveBeenCalledTimes(1);
    goes.socket.write('hello');
    await new Promise((resolve) => setTimeout(resolve, 20));
    goes.reported(READABLE);
    expect(rig.world.takeAll()).toEqual([]);
    await new Promise<void>((resolve) => rig.reactor.rebind(resolve));
    expect([goes.worker, rig.world.takeAll().map(({ worker, text }) => [worker, text])]).toEqual([0, [[0, 'hello']]]);
  });

  it('gives nothing new to those above it', async () => {
    const rig = new Rig();
    rig.reactor.useWorkers(1);
    const guests = [await rig.accept(), await rig.accept(), await rig.accept()];
    expect(guests.map(({ worker }) => worker)).toEqual([0, 0, 0]);
  });
});

describe('an answer by hand', () => {
  it('is left to the ring where the protocol does not take it', async () => {
    const rig = new Rig();
    const guest = await rig.accept();
    const answer = Object.assign(new Reply(Request.answer, AnswerFlag.last), { sessionId: guest.sessionId, text: 'x' });
    expect(rig.reactor.answer(answer, 0)).toBe(false);
    answer.sessionId += 64;
    expect(rig.reactor.answer(answer, 0)).toBe(true);
    expect(rig.world.board.read(0, ReactorCounter.discarded)).toBe(1);
  });
});

describe('the end', () => {
  it('comes when every client is gone', async () => {
    const rig = new Rig();
    const guest = await rig.accept();
    rig.reactor.quiesce(() => {});
    const done = vi.fn();
    rig.reactor.closeAll(1000, done);
    guest.socket.end();
    await poll('it is done', () => {
      if (guest.token >= 0) guest.reported(READABLE | HANGUP);
      else rig.reactor.turnEnd();
      return done.mock.calls.length > 0;
    });
    expect(rig.world.takeAll().at(-1)).toMatchObject({ type: Event.close, detail: CloseCode.SERVER_SHUTDOWN });
    expect(rig.world.board.connections(0)).toBe(0);
  });

  it('lets every descriptor and every timer go', async () => {
    const rig = new Rig({ heartbeatIdleMs: 1000, writeTimeoutMs: 1000 });
    const guest = await rig.accept();
    expect(vi.getTimerCount()).toBeGreaterThan(0);
    rig.reactor.stop();
    rigs.length = 0;
    expect([vi.getTimerCount(), rig.poller.isClosed, guest.token]).toEqual([0, true, -1]);
    guest.socket.end();
    await poll('the client knows', () => guest.isClosed);
  });
});

describe('another process', () => {
  it('goes on with the same sockets', async () => {
    const rig = new Rig();
    const guest = await rig.accept();
    await guest.says('before');
    const { sessionId, descriptor, socket } = guest;
    const snapshots = rig.reactor.handOver();
    rigs.length = 0;
    expect(rig.poller.watched.size).toBe(0);
    const next = new Rig({}, rig.world);
    next.reactor.takeOver(snapshots);
    next.reactor.turnEnd();
    const same = new Guest(next, socket, descriptor);
    expect(same.sessionId).toBe(sessionId);
    await same.says('behind');
    const received = next.world.takeAll().filter(({ type }) => type === Event.receive);
    expect(received.map(({ text }) => text)).toEqual(['before', 'behind']);
  });

  it('replies in order, where the worker has sent just before it went and the next one at once', async () => {
    const rig = new Rig();
    const guest = await rig.accept();
    const { sessionId } = guest;
    // The ring of the process that goes is looked at behind that of its successor.
    rig.world.writes(sessionId, [{ type: Request.send, payload: 'first ' }], 1);
    const snapshots = rig.reactor.handOver();
    rigs.length = 0;
    const next = new Rig({}, rig.world);
    next.reactor.takeOver(snapshots);
    rig.world.writes(sessionId, [{ type: Request.send, payload: 'second' }], 0);
    next.reactor.turnEnd();
    await poll('both have come', () => guest.got.length >= 12);
    expect(guest.got).toBe('first second');
  });

  describe('learns who has died before its first turn', () => {
    /** @param dies what happens between the two, or before @returns true when the connection stands */
    const stands = async (holder: number, dies: (rig: Rig) => void): Promise<boolean> => {
      const rig = new Rig();
      const guest = await rig.accept();
      rig.world.table.holders.add(guest.sessionId, holder);
      const snapshots = rig.reactor.handOver();
      rigs.length = 0;
      dies(rig);
      const next = new Rig({}, rig.world);
      next.reactor.takeOver(snapshots);
      next.reactor.turnEnd();
      return next.poller.watched.has(guest.descriptor);
    };

    it('and ends connections for which it held something: the preceding process itself, or another one', async () => {
      const isReaped = ({ world }: Rig): void => {
        world.workers.setField(0, WorkerField.processOfLane0, 0);
        world.region.countDeath();
      };
      expect(await stands(FIRST_PID, isReaped)).toBe(false);
      expect(await stands(FIRST_PID + 2, isReaped)).toBe(false);
    });

    it('and no others: who leaves lives on beside its successor', async () => {
      const comes = ({ world }: Rig): void => {
        world.workers.setField(0, WorkerField.pid, 77);
        world.workers.setField(0, WorkerField.processOfLane1, 77);
        world.region.countDeath();
      };
      expect(await stands(FIRST_PID, comes)).toBe(true);
    });
  });
});
