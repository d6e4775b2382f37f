import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { STACK_WATCH_ENTRY } from '../../src/entries.js';
import { ProcessRecord } from '../../src/memory/process-board.js';
import { Region } from '../../src/memory/region.js';
import type { Log } from '../../src/util/log.js';
import { startStackWatch } from '../../src/worker/stack-watch.js';
import { testShape } from '../helpers/test-shape.js';

const thread = vi.hoisted(() => ({ made: [] as unknown[][], current: undefined as unknown as EventEmitter }));
const inspector = vi.hoisted(() => ({ sessions: [] as unknown[] }));
vi.mock(import('node:worker_threads'), async (original) => ({
  ...(await original()),
  workerData: { region: 4, peer: 2, timeoutMs: 1000 },
  Worker: function FakeThread(...given: unknown[]) {
    thread.made.push(given);
    return thread.current;
  } as never,
}));
/** The debugger of a main thread that stops when it is asked to. */
vi.mock(import('node:inspector'), async (original) => ({
  ...(await original()),
  Session: function FakeSession() {
    const session = Object.assign(new EventEmitter(), {
      posted: [] as string[],
      connectToMainThread: () => session.posted.push('connect'),
      disconnect: () => session.posted.push('disconnect'),
      post: (method: string, done?: () => void) => {
        session.posted.push(method);
        done?.();
      },
    });
    inspector.sessions.push(session);
    return session;
  } as never,
}));
type Session = EventEmitter & { posted: string[] };

describe('the thread that watches the loop', () => {
  it('is started with what it needs, and holds nobody up', () => {
    let isHeld = true;
    const log: unknown[] = [];
    thread.current = Object.assign(new EventEmitter(), { unref: () => (isHeld = false) });
    const data = { region: 4, peer: 2, timeoutMs: 1000 };
    startStackWatch(data, { warn: (...given: unknown[]) => log.push(given) } as unknown as Log);
    const [[entry, options] = []] = thread.made;
    expect([entry, isHeld]).toEqual([STACK_WATCH_ENTRY, false]);
    expect(options).toMatchObject({ workerData: data, execArgv: [], name: 'stack watch' });
    expect((options as { resourceLimits: object }).resourceLimits).toEqual({
      ...{ maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 32 },
    });
    thread.current.emit('error', new Error('no thread'));
    expect(log).toHaveLength(1);
  });
});

describe('a loop that stands still', () => {
  let record: ProcessRecord;
  let nowMs: number;
  let monotonicMs: () => number;
  /** In steps of a look. */
  const pass = (ms: number): void => {
    vi.spyOn(performance, 'now').mockImplementation(() => nowMs);
    for (let left = ms; left > 0; left -= 50) {
      nowMs += 50;
      vi.advanceTimersByTime(50);
    }
  };
  beforeEach(async () => {
    nowMs = performance.now();
    inspector.sessions.length = 0;
    const region = Region.create(testShape({ workerNum: 2 }));
    record = ProcessRecord.ofPeer(region, 2);
    vi.resetModules();
    const fresh = await import('../../src/memory/region.js');
    vi.spyOn(fresh.Region, 'open').mockReturnValue(region as never);
    ({ monotonicMs } = await import('../../src/util/clock.js'));
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    await import('../../src/worker/stack-watch-entry.js');
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
  });
  const sessions = (): Session[] => inspector.sessions as Session[];

  it('has its stack taken after 70 % of the time that it has, once', () => {
    pass(0);
    record.seenAt = monotonicMs();
    pass(650);
    expect(sessions()).toHaveLength(0);
    pass(50);
    expect(sessions()).toHaveLength(1);
    pass(5000);
    expect(sessions()).toHaveLength(1);
    pass(0);
    record.seenAt = monotonicMs();
    pass(700);
    expect(sessions()).toHaveLength(2);
  });

  it('is none before the process has checked in', () => {
    pass(5000);
    expect(sessions()).toHaveLength(0);
  });

  it('is stopped as by a debugger, described, and goes on', () => {
    pass(0);
    record.seenAt = monotonicMs();
    pass(700);
    const session = sessions()[0] as Session;
    expect(session.posted).toEqual(['connect', 'Debugger.enable', 'Debugger.pause']);
    session.emit('Debugger.scriptParsed', { params: { scriptId: '9', url: 'file:///srv/it.js' } });
    const frame = (functionName: string, scriptId: string, lineNumber: number, columnNumber?: number): object => ({
      functionName,
      location: { scriptId, lineNumber, ...(columnNumber === undefined ? {} : { columnNumber }) },
    });
    const deep = Array.from({ length: 50 }, (_, index) => frame(`deep${index}`, '9', index, 0));
    const callFrames = [frame('work', '9', 4, 6), frame('', '9', 0), frame('other', '8', 1, 1), ...deep];
    session.emit('Debugger.paused', { params: { callFrames } });
    const lines = record.stack.split('\n');
    expect(lines.slice(0, 4)).toEqual([
      'at work (file:///srv/it.js:5:7)',
      'at file:///srv/it.js:1:1',
      'at other (:2:2)',
      'at deep0 (file:///srv/it.js:1:1)',
    ]);
    expect(lines).toHaveLength(40);
    expect(session.posted.slice(3)).toEqual(['Debugger.resume', 'disconnect']);
  });
});
