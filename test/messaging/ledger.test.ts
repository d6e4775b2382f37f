import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WorkerBoard } from '../../src/memory/boards.js';
import { peerNum, peerOf, peerOfManager, peerOfMaster } from '../../src/memory/layout.js';
import { Ledger } from '../../src/messaging/ledger.js';
import { Counter, LedgerField, MessagingMemory } from '../../src/messaging/memory.js';
import { sleepIndexOf } from '../../src/messaging/peers.js';
import { freed, inState, nextUse, SlotState } from '../../src/messaging/word.js';
import { MessagingWorld } from '../helpers/messaging-world.js';

const [PEER, OTHER] = [2, 3];
let world: MessagingWorld;
let memory: MessagingMemory;
let index: number;

beforeEach(() => {
  world = new MessagingWorld();
  memory = new MessagingMemory(world.region);
  index = memory.wordIndex(PEER, 5);
});
afterEach(() => world.close());

const queued = inState(nextUse(0), SlotState.queued);
const running = inState(queued, SlotState.running);
const done = inState(queued, SlotState.done);
const count = (counter: Counter): number => memory.total(counter);

describe('a change that is counted', () => {
  it('changes the word and counts it, in one counter or in two', () => {
    const ledger = new Ledger(memory, PEER);
    expect(ledger.change(index, 0, queued, Counter.submitted)).toBe(true);
    expect(ledger.change(index, queued, running, Counter.failed, Counter.retried)).toBe(true);
    expect([memory.int32[index], count(Counter.submitted)]).toEqual([running, 1]);
    expect([count(Counter.failed), count(Counter.retried), count(Counter.done)]).toEqual([1, 1, 0]);
  });

  it('is none where somebody else was faster', () => {
    memory.int32[index] = running;
    expect(new Ledger(memory, PEER).change(index, queued, 0, Counter.timedOut)).toBe(false);
    expect([memory.int32[index], count(Counter.timedOut)]).toEqual([running, 0]);
  });
});

describe('after the death of a process in the middle of it', () => {
  /** As if it had died behind one of the steps. */
  function die(hasChanged: boolean, hasCounted: boolean): void {
    const ledger = new Ledger(memory, PEER);
    memory.int32[index] = running;
    ledger.change(index, running, done, Counter.submitted, Counter.retried);
    memory.int32[memory.ledgerIndex(PEER) + LedgerField.armed] = 1;
    if (!hasChanged) memory.int32[index] = running;
    if (hasCounted) return;
    for (const counter of [Counter.submitted, Counter.retried]) memory.float64[memory.counterIndex(PEER, counter)] = 0;
  }

  it.each([
    ['it has changed the word', true, false, 1],
    ['it has counted it, too', true, true, 1],
    ['it has done neither', false, false, 0],
  ])('the counters are right where %s', (_title, hasChanged, hasCounted, total) => {
    die(hasChanged, hasCounted);
    const keeper = new Ledger(memory, OTHER);
    keeper.settle(PEER);
    keeper.settle(PEER);
    expect([count(Counter.submitted), count(Counter.retried)]).toEqual([total, total]);
    expect(memory.int32[memory.ledgerIndex(PEER) + LedgerField.armed]).toBe(0);
  });

  it('a task that waited is counted as left only where it does not wait any more', () => {
    for (const [now, total] of [
      [running, 0],
      [freed(queued), 1],
    ] as const) {
      memory.int32[index] = queued;
      new Ledger(memory, PEER).change(index, queued, freed(queued), Counter.timedOut);
      memory.float64[memory.counterIndex(PEER, Counter.timedOut)] = 0;
      memory.int32[memory.ledgerIndex(PEER) + LedgerField.armed] = 1;
      memory.int32[index] = now;
      new Ledger(memory, OTHER).settle(PEER);
      expect(count(Counter.timedOut)).toBe(total);
    }
  });

  it('nothing is counted that was complete', () => {
    new Ledger(memory, PEER).change(index, 0, queued, Counter.submitted);
    memory.float64[memory.counterIndex(PEER, Counter.submitted)] = 7; // counted on since
    new Ledger(memory, OTHER).settle(PEER);
    expect(count(Counter.submitted)).toBe(7);
  });
});

it('every process sleeps at a place of its own', () => {
  const { region } = world;
  const board = new WorkerBoard(region);
  const places = Array.from({ length: peerNum(region.shape) }, (_, peer) => sleepIndexOf(region, board, peer));
  expect(new Set(places).size).toBe(places.length);
  expect(sleepIndexOf(region, board, peerOfManager(region.shape))).toBe(region.managerSleepIndex);
  expect(sleepIndexOf(region, board, peerOfMaster(region.shape))).toBe(region.masterSleepIndex);
  expect(sleepIndexOf(region, board, peerOf(1, 1))).toBe(board.sleepIndex(1, 1));
});
