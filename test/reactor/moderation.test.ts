import { describe, expect, it } from 'vitest';
import { Moderation } from '../../src/reactor/moderation.js';
import { ReactorWorld } from '../helpers/reactor-world.js';

/** Turns of 1 ms in which so many reads find so many messages. @returns pauses by ms */
function run(
  load: (ms: number, isPausing: boolean) => { reads: number; messages: number },
  lengthMs: number,
): number[] {
  const { context } = new ReactorWorld();
  const pauses: number[] = [];
  let now = 0;
  const moderation = new Moderation(
    context,
    () => void pauses.push(now),
    () => now,
  );
  for (now = 1; now <= lengthMs; now++) {
    const { reads, messages } = load(now, pauses.at(-1) === now - 1);
    context.now = now;
    context.reads = reads;
    context.messages = messages;
    moderation.turnEnd();
    expect([context.reads, context.messages]).toEqual([0, reads === 0 ? messages : 0]);
  }
  return pauses;
}

const SECOND = 1000;

describe('the pause between turns', () => {
  it('stays where clients have several messages under way and as many come with it', () => {
    const pauses = run(() => ({ reads: 10, messages: 40 }), SECOND);
    expect(pauses.length).toBeGreaterThan(0.9 * SECOND);
    expect(pauses[0]).toBeLessThan(10);
  });

  it('goes where fewer come with it, and is tried again half a second later', () => {
    const pauses = run((_, isPausing) => ({ reads: 10, messages: isPausing ? 30 : 40 }), SECOND);
    expect(pauses.length).toBeLessThan(40);
    expect(pauses.length).toBeGreaterThan(10);
  });

  it('never comes where each read finds one message', () => {
    expect(run(() => ({ reads: 100, messages: 100 }), SECOND)).toEqual([]);
  });

  it('never comes where there is little to do', () => {
    expect(run(() => ({ reads: 1, messages: 20 }), SECOND)).toEqual([]);
    expect(run(() => ({ reads: 0, messages: 0 }), SECOND)).toEqual([]);
  });

  it('ends with the load', () => {
    const pauses = run((ms) => (ms < 200 ? { reads: 10, messages: 40 } : { reads: 1, messages: 1 }), SECOND);
    expect(pauses.at(-1)).toBeLessThan(220);
  });

  it('compares with turns without it again and again', () => {
    const pauses = run(() => ({ reads: 10, messages: 40 }), 3 * SECOND);
    const without = 3 * SECOND - pauses.length;
    expect(without).toBeGreaterThanOrEqual(5 * 8);
  });
});
