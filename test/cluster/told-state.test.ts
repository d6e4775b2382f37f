import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { ToldState } from '../../src/cluster/told-state.js';

let isSilent: boolean;
let told: string[];
let known: ToldState;

beforeEach(() => {
  vi.useFakeTimers();
  [isSilent, told] = [false, []];
  known = new ToldState({ isSilent: () => isSilent, tell: (state) => told.push(state) });
  known.look();
});
afterEach(() => {
  vi.useRealTimers();
});

/** As the broker process says it. */
function say(state: 'up' | 'reconnecting' | 'down'): void {
  known.said(state);
  known.changed(state);
}

it('a broker process that stands still is one event down, and one up when it writes again', async () => {
  say('up');
  isSilent = true;
  await vi.advanceTimersByTimeAsync(500);
  expect([known.state, told]).toEqual(['up', ['up']]); // the whole machine may have stood still
  await vi.advanceTimersByTimeAsync(10_000);
  expect([known.state, told]).toEqual(['down', ['up', 'down']]);
  isSilent = false;
  await vi.advanceTimersByTimeAsync(10_000);
  expect([known.state, told]).toEqual(['up', ['up', 'down', 'up']]);
});

it('what it says while it is silent is told when that is over', async () => {
  say('up');
  isSilent = true;
  await vi.advanceTimersByTimeAsync(1_000);
  say('reconnecting');
  expect([known.state, told]).toEqual(['down', ['up', 'down']]);
  say('up');
  isSilent = false;
  await vi.advanceTimersByTimeAsync(500);
  expect([known.state, told]).toEqual(['up', ['up', 'down', 'up']]);
});

it('one that was killed is reconnecting as soon as there is another, and no news where it was down', async () => {
  say('up');
  known.restarted();
  known.restarted();
  expect([known.state, told]).toEqual(['reconnecting', ['up', 'reconnecting']]);
  say('up');
  isSilent = true;
  await vi.advanceTimersByTimeAsync(1_000);
  known.restarted();
  expect(told).toEqual(['up', 'reconnecting', 'up', 'down']);
  known.said('up');
  isSilent = false;
  await vi.advanceTimersByTimeAsync(500);
  known.changed('up');
  expect(told).toEqual(['up', 'reconnecting', 'up', 'down', 'up']);
});
