import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { cookieName, readCookie, sessionCookie } from '../../src/control/dashboard/cookie.js';
import { DoingWatch } from '../../src/control/dashboard/doing.js';
import { Ends } from '../../src/control/dashboard/ends.js';
import { PageFiles } from '../../src/control/dashboard/files.js';
import { HistoryMeter } from '../../src/control/dashboard/history.js';
import { LoginLimit } from '../../src/control/dashboard/login-limit.js';
import { Ring } from '../../src/control/dashboard/ring.js';
import { hasOwnOrigin, isForeign } from '../../src/control/dashboard/same-origin.js';
import { selectLines } from '../../src/control/dashboard/select-lines.js';
import { Sessions } from '../../src/control/dashboard/session.js';
import type { ProcessEnd } from '../../src/ipc/message.js';
import { ReactorBoard, ReactorCounter, WorkerBoard, WorkerCounter, WorkerField } from '../../src/memory/boards.js';
import { peerOf, peerOfManager, peerOfMaster } from '../../src/memory/layout.js';
import type { LogLine } from '../../src/memory/log-board.js';
import { ProcessRecord } from '../../src/memory/process-board.js';
import { Region } from '../../src/memory/region.js';
import { testShape } from '../helpers/test-shape.js';

const HOURS = 3_600_000;
const MINUTES = 60_000;

describe('a ring', () => {
  it('keeps the newest, numbered from 1', () => {
    const ring = new Ring<number>(3);
    expect([ring.newest, ring.last, ring.all(), ring.latest(2)]).toEqual([0, undefined, [], []]);
    for (let i = 0; i < 5; i++) ring.push((number) => number);
    expect([ring.newest, ring.last, ring.all()]).toEqual([5, 5, [3, 4, 5]]);
    expect([0, 1, 2, 9].map((count) => ring.latest(count))).toEqual([[], [5], [5, 4], [5, 4, 3]]);
  });
});

describe('the ends of processes', () => {
  it('are the last 100, the newest first, with the time', () => {
    let now = 1000;
    const ends = new Ends(() => now++);
    for (let id = 0; id < 101; id++) ends.add({ id } as ProcessEnd);
    expect(ends.newest).toBe(101);
    const { ends: all, newest } = ends.report(100);
    expect([newest, all.length, all.at(-1)?.id]).toEqual([101, 100, 1]);
    expect(ends.report(1).ends).toEqual([{ number: 101, at: 1100, id: 100 }]);
  });
});

describe('a session', () => {
  it('is found by the value of its cookie alone, for twelve hours', () => {
    let now = 0;
    const sessions = new Sessions(() => now);
    const { value, session } = sessions.open('change');
    expect(value).toMatch(/^[\w-]{43}$/);
    expect(session.csrf).not.toBe(value);
    expect(sessions.find(value)).toMatchObject({ rights: 'change', csrf: session.csrf });
    expect(sessions.find(`${value}x`)).toBeUndefined();
    expect(sessions.find('')).toBeUndefined();
    now = 12 * HOURS - 1;
    expect(sessions.find(value)).toBeDefined();
    now = 12 * HOURS;
    expect(sessions.find(value)).toBeUndefined();
  });

  it('ends by logging out', () => {
    const sessions = new Sessions(() => 0);
    const [one, other] = [sessions.open('read'), sessions.open('read')];
    sessions.close(one.value);
    expect([sessions.find(one.value), sessions.find(other.value)]).toMatchObject([undefined, { rights: 'read' }]);
  });

  it('ends, as the oldest one, when there are 256', () => {
    const sessions = new Sessions(() => 0);
    const values = Array.from({ length: 257 }, () => sessions.open('read').value);
    expect(values.map((value) => sessions.find(value) === undefined)).toEqual([true, ...Array(256).fill(false)]);
  });
});

describe('wrong tokens', () => {
  it('may be tried ten times in five minutes by one address', () => {
    let now = 0;
    const limit = new LoginLimit(() => now);
    for (let i = 0; i < 10; i++) {
      expect(limit.waitSeconds('10.0.0.1')).toBe(0);
      limit.failed('10.0.0.1');
    }
    expect([limit.waitSeconds('10.0.0.1'), limit.waitSeconds('10.0.0.2')]).toEqual([300, 0]);
    now = 5 * MINUTES - 1;
    expect(limit.waitSeconds('10.0.0.1')).toBe(1);
    now = 5 * MINUTES;
    expect(limit.waitSeconds('10.0.0.1')).toBe(0);
  });

  it('are forgotten after the right one', () => {
    const limit = new LoginLimit(() => 0);
    for (let i = 0; i < 9; i++) limit.failed('10.0.0.1');
    limit.succeeded('10.0.0.1');
    limit.failed('10.0.0.1');
    expect(limit.waitSeconds('10.0.0.1')).toBe(0);
  });

  it('of one network of IPv6 are those of one address', () => {
    const limit = new LoginLimit(() => 0);
    for (let i = 0; i < 10; i++) limit.failed(`2001:db8:0:1::${i}`);
    expect(limit.waitSeconds('2001:db8:0:1:ffff::1')).toBe(300);
    expect(limit.waitSeconds('2001:db8:0:2::1')).toBe(0);
    for (let i = 0; i < 10; i++) limit.failed('::ffff:10.0.0.1');
    expect(limit.waitSeconds('::ffff:10.0.0.2')).toBe(0);
  });

  it('may be tried two hundred times by all together', () => {
    const limit = new LoginLimit(() => 0);
    for (let i = 0; i < 199; i++) limit.failed(`10.0.0.${i}`);
    expect(limit.waitSeconds('10.1.0.1')).toBe(0);
    limit.failed('10.0.0.199');
    expect(limit.waitSeconds('10.1.0.1')).toBe(300);
  });

  it('of others do not lock out who has logged in before', () => {
    const limit = new LoginLimit(() => 0);
    limit.succeeded('10.1.0.1');
    limit.succeeded('2001:db8:0:1::1');
    for (let i = 0; i < 200; i++) limit.failed(`10.0.0.${i}`);
    expect(['10.1.0.1', '2001:db8:0:1::2', '10.1.0.2'].map((address) => limit.waitSeconds(address))).toEqual([
      0, 0, 300,
    ]);
    for (let i = 0; i < 10; i++) limit.failed('10.1.0.1');
    expect(limit.waitSeconds('10.1.0.1')).toBe(300);
  });

  it('lock out, of those who have logged in, only who did so longest ago, when they are more than a thousand', () => {
    const limit = new LoginLimit(() => 0);
    for (let i = 0; i <= 1000; i++) limit.succeeded(`10.1.${i >> 8}.${i & 255}`);
    for (let i = 0; i < 200; i++) limit.failed(`10.0.0.${i}`);
    expect([limit.waitSeconds('10.1.0.0'), limit.waitSeconds('10.1.0.1')]).toEqual([300, 0]);
  });
});

describe('the cookie', () => {
  it('is for this listener alone, and no script reads it', () => {
    expect(sessionCookie(cookieName(9100, false), 'abc', 60)).toBe(
      'tswoole_session_9100=abc; Path=/; HttpOnly; SameSite=Strict; Max-Age=60',
    );
    expect(sessionCookie(cookieName(9100, true), 'abc', 60)).toBe(
      '__Host-tswoole_session_9100=abc; Path=/; HttpOnly; SameSite=Strict; Max-Age=60; Secure',
    );
  });

  it.each([
    [undefined, undefined],
    ['', undefined],
    ['a=1', '1'],
    ['b=2; a=1; c=3', '1'],
    ['b=2;a=1', '1'],
    ['aa=1', undefined],
    ['a', undefined],
    ['a=', ''],
    ['a=x=y', 'x=y'],
    ['a=1; a=2', undefined],
  ])('in %j has the value %j', (header, value) => {
    expect(readCookie(header, 'a')).toBe(value);
  });
});

describe('a request comes from the own page', () => {
  it.each([
    [{ host: '127.0.0.1:9100', origin: 'http://127.0.0.1:9100' }, true],
    [{ host: 'dash.example', origin: 'https://dash.example' }, true],
    [{ host: 'dash.example:443', origin: 'https://dash.example' }, true],
    [{ host: 'Dash.Example', origin: 'https://dash.example' }, true],
    [{ host: '[::1]:9100', origin: 'http://[::1]:9100' }, true],
    [{ host: '127.0.0.1:9100', origin: 'http://127.0.0.1:9101' }, false],
    [{ host: '127.0.0.1:9100', origin: 'http://localhost:9100' }, false],
    [{ host: '127.0.0.1:9100', origin: 'null' }, false],
    [{ host: '127.0.0.1:9100', origin: 'file://127.0.0.1:9100' }, false],
    [{ host: '127.0.0.1:9100' }, false],
    [{ origin: 'http://127.0.0.1' }, false],
  ])('%j: %j', (headers, isOwn) => {
    expect(hasOwnOrigin(headers)).toBe(isOwn);
  });

  it.each([
    [{ host: 'a' }, false],
    [{ host: 'a', origin: 'http://a' }, false],
    [{ host: 'a', origin: 'http://b' }, true],
    [{ host: 'a', origin: 'null' }, true],
    [{ host: 'a', 'sec-fetch-site': 'same-origin' }, false],
    [{ host: 'a', 'sec-fetch-site': 'none' }, false],
    [{ host: 'a', 'sec-fetch-site': 'same-site' }, true],
    [{ host: 'a', 'sec-fetch-site': 'cross-site' }, true],
  ])('and not from a foreign one: %j: %j', (headers, isFrom) => {
    expect(isForeign(headers)).toBe(isFrom);
  });
});

describe('lines of the log', () => {
  const line = (number: number, level: LogLine['level'], text: string): LogLine => ({
    ...{ number, at: 0, level, text },
    source: `worker ${number}[9]`,
  });
  const all = {
    lines: [line(1, 'debug', 'a'), line(2, 'info', 'B'), line(3, 'error', 'ab')],
    ...{ newest: 3, lost: 4 },
  };
  const numbers = (filter: Parameters<typeof selectLines>[1]): number[] =>
    selectLines(all, filter).lines.map(({ number }) => number);

  it('are chosen by level, text and process, the newest first of all', () => {
    expect(numbers({ count: 9 })).toEqual([1, 2, 3]);
    expect(numbers({ count: 2 })).toEqual([2, 3]);
    expect(numbers({ count: 9, level: 'info' })).toEqual([2, 3]);
    expect(numbers({ count: 9, text: 'b' })).toEqual([2, 3]);
    expect(numbers({ count: 9, text: 'WORKER 1' })).toEqual([1]);
    expect(numbers({ count: 9, text: 'b', level: 'warn' })).toEqual([3]);
    expect(selectLines(all, { count: 1 })).toMatchObject({ newest: 3, lost: 4 });
  });
});

describe('the files of the page', () => {
  it('are missing until it is built, and then read once', () => {
    const folder = mkdtempSync(join(tmpdir(), 'page-'));
    try {
      const files = new PageFiles(folder);
      expect([files.isMissing, files.get('index.html')]).toEqual([true, undefined]);
      mkdirSync(join(folder, 'assets', 'folder.js'), { recursive: true });
      writeFileSync(join(folder, 'index.html'), '<!doctype html>');
      writeFileSync(join(folder, 'assets/a-1.js'), 'a');
      writeFileSync(join(folder, 'assets/b.map'), 'b');
      expect(files.isMissing).toBe(false);
      expect(files.get('index.html')).toMatchObject({ type: 'text/html; charset=utf-8' });
      expect(files.get('assets/a-1.js')?.bytes.toString()).toBe('a');
      for (const name of ['assets/b.map', 'assets/folder.js', 'assets/../index.html', 'assets', 'constructor'])
        expect(files.get(name)).toBeUndefined();
      rmSync(join(folder, 'index.html'));
      expect(files.get('index.html')).toBeDefined();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('the history', () => {
  it('has a point for each second: rates, and latencies of that second alone', () => {
    const region = Region.create(testShape({ workerNum: 2, reactorNum: 1 }));
    const [reactors, workers] = [new ReactorBoard(region), new WorkerBoard(region)];
    let [now, tasks] = [1000, 5];
    const meter = new HistoryMeter({ region, endedTasks: () => tasks, now: () => now });
    const record = ProcessRecord.ofPeer(region, peerOf(0, 0));
    const receive = (count: number): void => {
      const index = workers.counterIndex(0, 0) + WorkerCounter.received;
      region.float64[index] = (region.float64[index] ?? 0) + count;
    };
    record.callbackTook(1000);
    receive(7);
    meter.sample();
    expect([meter.newest, meter.report()]).toEqual([undefined, { stepMs: 1000, points: [] }]);
    now += 2000;
    meter.sample();
    expect(meter.newest).toMatchObject({ requests: 0, p50Ms: 0, p99Ms: 0, busy: 0, memoryBytes: 0, tasks: 0 });

    now += 2000;
    tasks += 4;
    receive(10);
    reactors.add(0, ReactorCounter.receivedBytes, 100);
    reactors.add(0, ReactorCounter.sentBytes, 300);
    reactors.add(0, ReactorCounter.filesServed, 2);
    reactors.addConnections(0, 3);
    for (let i = 0; i < 9; i++) record.callbackTook(0.01);
    record.callbackTook(1);
    workers.setField(0, WorkerField.pid, 77);
    record.residentBytes = 1000;
    record.loopRan(30, 10);
    ProcessRecord.ofPeer(region, peerOfManager(region.shape)).residentBytes = 100;
    ProcessRecord.ofPeer(region, peerOfMaster(region.shape)).residentBytes = 10;
    ProcessRecord.ofPeer(region, peerOf(1, 0)).residentBytes = 5000; // of a process that is gone
    meter.sample();
    expect(meter.newest).toMatchObject({
      ...{ requests: 6, connections: 3, bytesIn: 50, bytesOut: 150, tasks: 2 },
      ...{ p50Ms: 0.016, p99Ms: 1.024, busy: 0.75, memoryBytes: 1110, at: Math.round(region.unixMs(now)) },
    });
    meter.sample(); // no time has passed
    expect(meter.report().points).toHaveLength(2);
  });

  it('goes back for 15 minutes', () => {
    const region = Region.create(testShape());
    vi.spyOn(region, 'unixMs').mockImplementation((monotonic) => monotonic); // else the machine's clock, which may be set
    let now = 0;
    const meter = new HistoryMeter({ region, endedTasks: () => 0, now: () => now });
    for (; now <= 901_000; now += 1000) meter.sample();
    const { points } = meter.report();
    expect(points).toHaveLength(900);
    expect((points.at(-1)?.at ?? 0) - (points[0]?.at ?? 0)).toBe(899_000);
  });
});

describe('what is going on', () => {
  it('is a reload, from its first sight to its end, whoever has asked for it', () => {
    const region = Region.create(testShape({ workerNum: 3 }));
    const board = new WorkerBoard(region);
    let now = 5;
    const doing = new DoingWatch(region, () => now);
    region.managerPid = 1;
    expect(doing.now()).toBeNull();
    region.generation = 1;
    for (const id of [0, 1]) board.setField(id, WorkerField.pid, 10 + id);
    board.setField(1, WorkerField.generation, 1);
    expect(doing.now()).toEqual({ what: 'reload', since: 5, detail: '1 of 2 processes are of generation 1' });
    now = 9;
    expect(doing.now()?.since).toBe(5);
    region.reloads = 1;
    expect(doing.now()).toBeNull();
    region.generation = 2;
    expect(doing.now()?.since).toBe(9);
    region.reloadsFailed = 1;
    expect(doing.now()).toBeNull();
  });

  it('is no reload that has died with its manager', () => {
    const region = Region.create(testShape());
    const doing = new DoingWatch(region, () => 1);
    region.managerPid = 1;
    doing.now();
    region.generation = 1;
    expect(doing.now()).not.toBeNull();
    region.managerPid = 2;
    expect(doing.now()).toBeNull();
    region.generation = 2;
    expect(doing.now()).toMatchObject({ what: 'reload' });
    region.reloads = 1;
    expect(doing.now()).toBeNull();
  });

  it('is a scaling until it has ended, well or not', async () => {
    const region = Region.create(testShape({ workerNum: 4 }));
    region.activeWorkerNum = 2;
    const doing = new DoingWatch(region, () => 8);
    await doing.scaling(4, async () => {
      expect(doing.now()).toEqual({ what: 'scale', since: 8, detail: 'from 2 to 4 workers' });
      await expect(doing.scaling(3, () => Promise.reject(new Error('it runs already')))).rejects.toThrow('runs');
      expect(doing.now()).not.toBeNull();
    });
    expect(doing.now()).toBeNull();
  });
});
