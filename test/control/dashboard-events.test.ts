import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Events, MOST_STREAMS, type State } from '../../src/control/dashboard/events.js';

/** A viewer whose socket takes what it gets, unless `writableLength` says otherwise. */
class Viewer extends EventEmitter {
  readonly writes: string[] = [];
  status = 0;
  destroyed = false;
  writableLength = 0;

  writeHead(status: number): void {
    this.status = status;
  }

  flushHeaders(): void {}

  write(text: string): void {
    this.writes.push(text);
  }

  end(text: string): void {
    this.writes.push(text);
    this.emit('close');
  }

  /** The data of the last event. */
  get got(): unknown {
    return JSON.parse(/^data: (.*)$/m.exec(this.writes.at(-1) ?? '')?.[1] ?? 'null');
  }
}

let state: State;
let built: number;
let failed: unknown[];
let events: Events;

beforeEach(() => {
  vi.useFakeTimers();
  state = { at: 1, stats: { requests: 1 }, rooms: null };
  [built, failed] = [0, []];
  events = new Events({
    build: () => {
      built++;
      return state;
    },
    failed: (error) => failed.push(error),
  });
});
afterEach(() => {
  events.close();
  vi.useRealTimers();
});

const look = (isAllowed = (): boolean => true): Viewer => {
  const viewer = new Viewer();
  events.add(viewer as unknown as ServerResponse, {}, isAllowed);
  return viewer;
};

describe('an event stream', () => {
  it('begins with the whole state, and then has what has changed, with the time', () => {
    const viewer = look();
    expect([viewer.status, viewer.writes]).toEqual([
      200,
      ['event: state\nid: 1\ndata: {"at":1,"stats":{"requests":1},"rooms":null}\n\n'],
    ]);
    state = { at: 2, stats: { requests: 1 }, rooms: { rooms: 1 } };
    vi.advanceTimersByTime(1000);
    expect(viewer.writes[1]).toBe('event: state\nid: 2\ndata: {"at":2,"rooms":{"rooms":1}}\n\n');
    vi.advanceTimersByTime(1000);
    expect(viewer.writes[2]).toBe('event: state\nid: 3\ndata: {"at":2}\n\n');
  });

  it('gives a later viewer the whole state too, and the first one no less than before', () => {
    const first = look();
    state = { ...state, at: 2, rooms: 5 };
    expect(look().got).toEqual(state);
    vi.advanceTimersByTime(1000);
    expect(first.got).toEqual({ at: 2, rooms: 5 });
  });

  it('gives a viewer that does not keep up the newest state, and never a queue', () => {
    const [slow, fast] = [look(), look()];
    slow.writableLength = 64 * 1024 + 1;
    for (const requests of [2, 3, 4]) {
      state = { ...state, at: requests, stats: { requests } };
      vi.advanceTimersByTime(1000);
    }
    expect([slow.writes.length, fast.writes.length]).toEqual([1, 4]);
    slow.writableLength = 0;
    state = { ...state, at: 5 };
    vi.advanceTimersByTime(1000);
    expect([slow.got, fast.got]).toEqual([{ at: 5, stats: { requests: 4 } }, { at: 5 }]);
  });

  it('costs one build a second for all viewers, and none without any', () => {
    const viewers = Array.from({ length: 5 }, () => look());
    built = 0;
    vi.advanceTimersByTime(3000);
    expect(built).toBe(3);
    for (const viewer of viewers) viewer.emit('close');
    vi.advanceTimersByTime(3000);
    expect([built, vi.getTimerCount()]).toEqual([3, 0]);
  });

  it('is full with 16 viewers, until one goes', () => {
    const viewers = Array.from({ length: MOST_STREAMS }, () => look());
    expect([MOST_STREAMS, events.isFull]).toEqual([16, true]);
    viewers[0]?.emit('close');
    expect(events.isFull).toBe(false);
  });

  it('ends when its viewer may not look any more, and when the server stops', () => {
    let isAllowed = true;
    const [one, other] = [look(() => isAllowed), look()];
    isAllowed = false;
    vi.advanceTimersByTime(1000);
    const END = 'event: end\ndata: {}\n\n';
    expect([one.writes.at(-1), other.writes.includes(END)]).toEqual([END, false]);
    const told = one.writes.length;
    vi.advanceTimersByTime(1000);
    events.close();
    expect([other.writes.at(-1), one.writes.length, vi.getTimerCount()]).toEqual([END, told, 0]);
  });

  it('goes on after a state that could not be built', () => {
    const viewer = look();
    const good = state;
    state = { ...good };
    Object.defineProperty(state, 'bad', {
      enumerable: true,
      get: () => {
        throw new Error('no');
      },
    });
    vi.advanceTimersByTime(1000);
    expect([viewer.writes.length, failed.length]).toEqual([1, 1]);
    state = { ...good, at: 9 };
    vi.advanceTimersByTime(1000);
    expect(viewer.got).toEqual({ at: 9 });
  });

  it('has text of others as it is: JSON ends no line', () => {
    state = { at: 1, log: '<script>\n\ndata: x\r</script>' };
    const viewer = look();
    expect(viewer.writes[0]?.split('\n')).toHaveLength(5);
    expect(viewer.got).toEqual(state);
  });
});
