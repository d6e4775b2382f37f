import { AsyncLocalStorage } from 'node:async_hooks';
import { EventEmitter } from 'node:events';
import { constants, type ServerHttp2Stream } from 'node:http2';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { DataMeter } from '../../src/http/http2/data-meter.js';
import { HeldAnswers } from '../../src/http/http2/held-answers.js';
import { HeldConnection, type HeldStream } from '../../src/http/http2/held-connection.js';

const MIB = 1024 * 1024;
const { NGHTTP2_CANCEL, NGHTTP2_ENHANCE_YOUR_CALM } = constants;

/** As much of a stream of Node as is looked at. */
class FakeStream extends EventEmitter {
  static nextId = 1;
  readonly id = FakeStream.nextId++;
  writableLength = 0;
  destroyed = false;
  closed = false;
  code: number | undefined;

  close(code: number): void {
    this.closed = true;
    this.code = code;
  }

  destroy(): void {
    this.destroyed = true;
    this.emit('close');
  }
}

let answers: HeldAnswers;
let warned: string[];
let told: number[];
let resets: number;

function makeAnswers(limits: { writeTimeoutMs?: number; sendBufferSize?: number } = {}): HeldAnswers {
  return new HeldAnswers({
    limits: { writeTimeoutMs: 1000, sendBufferSize: 16 * MIB, ...limits },
    log: { debug: (text: string) => warned.push(text), warn: (text: string) => warned.push(text) } as never,
    record: { countReset: () => void resets++, held: (bytes) => void told.push(bytes) },
  });
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'setImmediate', 'performance'] });
  vi.advanceTimersByTime(100_000);
  [warned, told, resets] = [[], [], 0];
  answers = makeAnswers();
});

afterEach(() => {
  vi.useRealTimers();
});

interface Held {
  readonly stream: FakeStream;
  readonly held: HeldStream;
  /** So much of its answer waits from now on. */
  holds(bytes: number): void;
}

function connection({ isBlocked = false, isMostlyData = true } = {}) {
  const meter = { dataBytes: 0, isMostlyData };
  const made = new HeldConnection(answers, 7, meter as unknown as DataMeter, () => isBlocked);
  const stream = (bytes = 0): Held => {
    const fake = new FakeStream();
    const held = made.add(fake as unknown as ServerHttp2Stream);
    const holds = (length: number): void => {
      fake.writableLength = length;
      held.added();
    };
    if (bytes > 0) holds(bytes);
    return { stream: fake, held, holds };
  };
  return { made, meter, stream };
}

describe('bytes that a client has not taken', () => {
  it('are told for each answer, each connection and all', () => {
    const [one, other] = [connection(), connection()];
    const first = one.stream(100);
    const second = one.stream(50);
    other.stream(7);
    second.held.queued = 5;
    second.holds(50);
    expect([first.held.held, second.held.held, one.made.total, other.made.total, answers.total]).toEqual([
      100, 55, 155, 7, 162,
    ]);
    first.holds(0);
    expect([one.made.total, one.made.holding.size, answers.total]).toEqual([55, 1, 62]);
    second.stream.destroy();
    expect([one.made.total, one.made.holding.size, answers.total]).toEqual([0, 0, 7]);
  });

  it('are told to others four times in its time for writing, until there are none', () => {
    const { stream } = connection();
    const answer = stream(100);
    vi.advanceTimersByTime(249);
    expect(told).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(told).toEqual([100]);
    answer.stream.writableLength = 0;
    vi.advanceTimersByTime(250);
    expect([told, vi.getTimerCount()]).toEqual([[100, 0], 0]);
  });

  it.each([
    [0, 250],
    [20, 10],
    [400, 100],
    [100_000, 250],
  ])('are looked at, with a time for writing of %i ms, every %i ms', (writeTimeoutMs, everyMs) => {
    answers = makeAnswers({ writeTimeoutMs });
    connection().stream(100);
    vi.advanceTimersByTime(everyMs - 1);
    expect(told).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(told).toHaveLength(1);
  });
});

describe('a client that takes nothing', () => {
  it('costs its stream when its time is over, and its alone', () => {
    const { stream } = connection();
    const standing = stream(100);
    vi.advanceTimersByTime(500);
    const late = stream(100);
    vi.advanceTimersByTime(499);
    expect(resets).toBe(0);
    vi.advanceTimersByTime(251);
    expect([standing.stream.code, standing.held.isReset, late.stream.closed, resets]).toEqual([
      NGHTTP2_CANCEL,
      true,
      false,
      1,
    ]);
    expect(warned).toEqual(['a stream of HTTP/2 was reset: its client takes nothing']);
  });

  it('is one that takes less than 4096 bytes in that time', () => {
    const { made, stream } = connection();
    const slow = stream(MIB);
    const quick = stream(MIB);
    for (let i = 0; i < 5; i++) {
      made.sent(slow.stream.id, 800);
      made.sent(quick.stream.id, 4096);
      made.sent(999_999, 1);
      vi.advanceTimersByTime(250);
    }
    expect([slow.stream.destroyed, quick.stream.destroyed]).toEqual([true, false]);
  });

  it('is left alone where there is no such time', () => {
    answers = makeAnswers({ writeTimeoutMs: 0 });
    const answer = connection().stream(100);
    vi.advanceTimersByTime(100_000);
    expect(answer.stream.destroyed).toBe(false);
  });

  it.each([
    [{ isBlocked: true, isMostlyData: true }, MIB - 1, false],
    [{ isBlocked: true, isMostlyData: true }, MIB, true],
    [{ isBlocked: true, isMostlyData: false }, 0, true],
    [{ isBlocked: false, isMostlyData: true }, 0, true],
  ])('while its TCP is slow, and its neighbours are let pass: %j', (given, passedBytes, isReset) => {
    const { meter, stream } = connection(given);
    const answer = stream(100);
    meter.dataBytes = passedBytes;
    vi.advanceTimersByTime(1500);
    expect(answer.stream.destroyed).toBe(isReset);
  });
});

describe('too much', () => {
  it('for one client is half of the buffer, beside its largest answer: what has stood longest goes', () => {
    answers = makeAnswers({ writeTimeoutMs: 0 });
    const { made, stream } = connection();
    const largest = stream(100 * MIB);
    const old = stream(4 * MIB);
    vi.advanceTimersByTime(1000);
    const young = stream(4 * MIB);
    expect(resets).toBe(0);
    stream(1);
    expect([largest, old, young].map((one) => one.stream.destroyed)).toEqual([false, true, false]);
    expect([old.stream.code, resets, made.total]).toEqual([NGHTTP2_ENHANCE_YOUR_CALM, 1, 104 * MIB + 1]);
    expect(made.waitsUntil).toBeGreaterThan(0);
    expect(warned).toHaveLength(1);
  });

  it('where nothing stands, is relieved by the largest but one', () => {
    const { stream } = connection();
    const all = [3, 5, 4, 9].map((mib) => stream(mib * MIB));
    expect(all.map((one) => one.stream.destroyed)).toEqual([false, true, false, false]);
  });

  it('for a process is the whole buffer, beside the largest answer', () => {
    const clients = Array.from({ length: 5 }, () => connection());
    const all = clients.flatMap(({ stream }) => [stream(2 * MIB), stream(2 * MIB)]);
    expect(resets).toBe(1); // 20 MiB, less the largest, are 18
    expect(all.filter((one) => one.stream.destroyed)).toHaveLength(1);
  });
});

describe('further requests', () => {
  const isServedAtOnce = (made: HeldConnection): boolean => {
    let served = false;
    const serve = (): void => {
      served = true;
    };
    made.whenRoom(serve);
    if (!served) made.leave(serve);
    return served;
  };

  it('are served while little waits', () => {
    const { made, stream } = connection();
    stream(MIB);
    stream(2 * MIB);
    stream(2 * MIB); // beside the largest 3 MiB would be, here are 2 allowed
    expect(isServedAtOnce(connection().made)).toBe(true);
    expect(isServedAtOnce(made)).toBe(false);
  });

  it('of one client wait above an eighth of the buffer, beside its largest answer', () => {
    const { made, stream } = connection();
    stream(50 * MIB);
    expect(isServedAtOnce(made)).toBe(false); // half of all is held by this one
    answers = makeAnswers({ sendBufferSize: 1024 * MIB });
    const other = connection();
    other.stream(400 * MIB);
    other.stream(128 * MIB);
    expect(isServedAtOnce(other.made)).toBe(false); // 528 of 512 MiB
    answers = makeAnswers({ sendBufferSize: 2048 * MIB });
    const third = connection();
    third.stream(400 * MIB);
    third.stream(256 * MIB);
    expect(isServedAtOnce(third.made)).toBe(true);
    third.stream(1);
    expect(isServedAtOnce(third.made)).toBe(false);
  });

  it('of a client that holds little are served where the process holds much', () => {
    connection().stream(8 * MIB);
    const [little, more] = [connection(), connection()];
    little.stream(65_536);
    more.stream(65_537);
    expect([isServedAtOnce(little.made), isServedAtOnce(more.made)]).toEqual([true, false]);
  });

  it('wait in their order until there is room, and are told of it', () => {
    const { made, stream } = connection();
    const large = stream(50 * MIB);
    const served: string[] = [];
    const [first, second, third] = ['first', 'second', 'third'].map(
      (name) => () => served.push(name),
    ) as (() => void)[];
    for (const serve of [first, second, third]) made.whenRoom(serve as () => void);
    expect([served, made.isWaiting(second as () => void)]).toEqual([[], true]);
    expect([made.leave(second as () => void), made.leave(second as () => void)]).toEqual([true, false]);
    large.stream.writableLength = 0;
    answers.moved();
    answers.moved();
    expect(served).toEqual([]);
    vi.advanceTimersByTime(0);
    expect(served).toEqual(['first', 'third']);
  });

  it('of a client that has gone are not served any more', () => {
    const { made, stream } = connection();
    const large = stream(50 * MIB);
    made.whenRoom(() => expect.unreachable());
    made.close();
    large.stream.destroy();
    vi.advanceTimersByTime(1000);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('of a client whose stream was reset for too much wait ten seconds', () => {
    const { made, stream } = connection();
    for (const mib of [100, 9]) stream(mib * MIB).stream;
    expect(resets).toBe(1);
    for (const held of [...made.holding]) (held.stream as unknown as FakeStream).destroy();
    expect([made.total, isServedAtOnce(made)]).toEqual([0, false]);
    vi.advanceTimersByTime(9999);
    expect(isServedAtOnce(made)).toBe(false);
    vi.advanceTimersByTime(2);
    expect(isServedAtOnce(made)).toBe(true);
  });
});

it('a request that waited for room is served in a context of its own, not in that of the answer that has left', () => {
  answers = makeAnswers({ sendBufferSize: MIB });
  const { made, stream } = connection();
  const [large, small] = [stream(MIB), stream(MIB)];
  const storage = new AsyncLocalStorage<string>();
  const found: (string | undefined)[] = [];
  made.whenRoom(() => found.push(storage.getStore()));
  expect(found).toEqual([]);
  storage.run('of the answer that has left', () => {
    for (const { stream: fake, holds } of [large, small]) {
      holds(0);
      fake.destroy();
    }
    vi.advanceTimersByTime(20_000); // callbacks of faked timers have the context of this call
  });
  expect(found).toEqual([undefined]);
});
