import { expect, test } from 'vitest';
import { encodeGap } from '../../src/cluster/drivers/envelope.js';
import { Gaps } from '../../src/cluster/drivers/gaps.js';

function world() {
  const sent: string[] = [];
  const gaps = new Gaps({
    self: () => 'a',
    send: (channel) => sent.push(channel) > 0,
    tell: () => {},
    tellAll: () => {},
  });
  return { gaps, sent };
}

test('what was lost is said at once, of all subjects', () => {
  const { gaps, sent } = world();
  for (let i = 0; i < 1000; i++) gaps.lost(`s${i}`);
  gaps.tick();
  expect(new Set(sent).size).toBe(1000);
  gaps.tick();
  expect(sent).toHaveLength(1000);
});

test('what this node itself has lost is told here at the next heartbeat, once', () => {
  const told: unknown[] = [];
  const events = { tell: (...given: unknown[]) => told.push(given), tellAll: (isOwn: boolean) => told.push(isOwn) };
  const gaps = new Gaps({ self: () => 'a', send: () => true, ...events });
  gaps.lost('s');
  gaps.lostHere('s');
  gaps.heard('t', encodeGap('b'));
  gaps.heard('s', encodeGap('a')); // its own
  expect(told).toEqual([]);
  gaps.tick();
  expect(told.splice(0)).toEqual([
    ['t', false],
    ['s', true],
  ]);
  gaps.tick();
  for (let i = 0; i <= 100_000; i++) gaps.lostHere(`s${i}`);
  gaps.tick();
  expect(told).toEqual([true]);
});

test('refused subjects are tried again, 100 at a heartbeat and each in its turn, until the engine takes them', () => {
  const { gaps, sent } = world();
  for (let i = 0; i < 250; i++) gaps.refused(`s${i}`);
  const counts: number[] = [];
  for (let tick = 0; tick < 5; tick++) {
    gaps.tick();
    counts.push(sent.length);
    for (const channel of sent.splice(0)) gaps.refused(channel.replace('subject/', ''));
  }
  expect(counts).toEqual([100, 100, 100, 100, 100]);
  expect(new Set(gaps.untold()).size).toBe(250);
  const tried = new Set<string>();
  for (let tick = 0; tick < 3; tick++) gaps.tick();
  for (const channel of sent) tried.add(channel);
  expect(tried.size).toBe(250);
  expect(gaps.untold()).toEqual([]);
});
