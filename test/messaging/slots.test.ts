import { afterEach, beforeEach, expect, it } from 'vitest';
import { MessagingMemory } from '../../src/messaging/memory.js';
import { Records } from '../../src/messaging/record.js';
import { endMessage, Slots, signalOwner } from '../../src/messaging/slots.js';
import { GONE, SlotState, stateOf, useOf } from '../../src/messaging/word.js';
import { MessagingWorld } from '../helpers/messaging-world.js';

const PEER = 1;
let world: MessagingWorld;
let memory: MessagingMemory;
let slots: Slots;

beforeEach(() => {
  world = new MessagingWorld({ shape: { messageSlots: 40 } });
  memory = new MessagingMemory(world.region);
  slots = new Slots(memory, new Records(memory, world.overflow), PEER);
});

afterEach(() => world.close());

const wordOf = (slot: number): number => memory.int32[memory.wordIndex(PEER, slot)] ?? 0;

it('slots are taken one by one, as many as there are, and each is being written', () => {
  const taken = Array.from({ length: 40 }, () => slots.take());
  expect(taken).toEqual(Array.from({ length: 40 }, (_, index) => index));
  expect(taken.map((slot) => stateOf(wordOf(slot)))).toEqual(taken.map(() => SlotState.writing));
  expect([slots.take(), memory.used(PEER)]).toEqual([-1, 40]);
});

it('one that was released is used again, before fresh ones, and as another use', () => {
  const [first, second] = [slots.take(), slots.take()];
  const use = useOf(wordOf(first));
  slots.release(first);
  expect(stateOf(wordOf(first))).toBe(SlotState.free);
  expect([slots.take(), slots.take()]).toEqual([first, 2]);
  expect(useOf(wordOf(first))).toBe(use + 1);
  slots.release(second);
  slots.release(first);
  expect(memory.used(PEER)).toBe(3);
});

it('a process goes on with the slots of the one before', () => {
  for (let i = 0; i < 3; i++) slots.take();
  slots.release(1);
  const next = new Slots(memory, new Records(memory, world.overflow), PEER);
  expect([next.take(), next.take()]).toEqual([1, 3]);
});

it('those that another process has changed are told once, each', () => {
  for (let i = 0; i < 40; i++) slots.take();
  expect(slots.takeSignalled(() => expect.unreachable())).toBe(false);
  const bits = memory.bitsIndex(PEER);
  memory.int32[bits] = (1 << 31) | (1 << 3) | 1;
  memory.int32[bits + 1] = 1 << 7;
  const told: number[] = [];
  expect(slots.takeSignalled((slot) => told.push(slot))).toBe(true);
  expect(told).toEqual([0, 3, 31, 39]);
  expect(slots.takeSignalled(() => expect.unreachable())).toBe(false);
});

it('news is there as soon as one of them has some, and until it was taken', () => {
  for (let i = 0; i < 40; i++) slots.take();
  for (const slot of [0, 31, 32, 39]) {
    expect(slots.hasSignals).toBe(false);
    signalOwner(memory, PEER, slot);
    expect(slots.hasSignals).toBe(true);
    const told: number[] = [];
    slots.takeSignalled((each) => told.push(each));
    expect(told).toEqual([slot]);
  }
});

it('a message that was taken goes back to its owner, who is told; one whose owner has gone is free at once', () => {
  const records = new Records(memory, world.overflow);
  const [taken, left] = [slots.take(), slots.take()];
  endMessage(memory, records, PEER, taken);
  expect([stateOf(wordOf(taken)), slots.hasSignals]).toEqual([SlotState.done, true]);
  slots.takeSignalled(() => {});
  memory.int32[memory.wordIndex(PEER, left)] = wordOf(left) | GONE;
  endMessage(memory, records, PEER, left);
  expect([stateOf(wordOf(left)), slots.hasSignals]).toEqual([SlotState.free, false]);
});
