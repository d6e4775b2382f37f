import { expect, test } from 'vitest';
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
