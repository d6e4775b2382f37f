import { afterEach, beforeEach, expect, it } from 'vitest';
import { createBells, workerBell } from '../../src/ipc/bells.js';
import { Sleeper } from '../../src/ipc/sleep.js';
import { WorkerBoard, WorkerField } from '../../src/memory/boards.js';
import { Region } from '../../src/memory/region.js';
import { Peers } from '../../src/messaging/peers.js';
import type { DoorbellDescriptors } from '../../src/os/doorbell.js';
import { closeDoorbell, readableNow } from '../helpers/doorbell.js';
import { testShape } from '../helpers/test-shape.js';

const TASK_WORKERS = [1, 2, 3];

let region: Region;
let bells: DoorbellDescriptors[];
let board: WorkerBoard;
let peers: Peers;
let sleepers: Map<number, Sleeper>;

beforeEach(() => {
  region = Region.create(testShape({ workerNum: 1, taskWorkerNum: 3 }));
  bells = createBells(region.shape);
  board = new WorkerBoard(region);
  peers = new Peers(region, bells);
  sleepers = new Map(TASK_WORKERS.map((id) => [id, new Sleeper(region.int32, board.sleepIndex(id, 0))]));
  for (const id of TASK_WORKERS) {
    board.setField(id, WorkerField.room, 1);
    sleepers.get(id)?.sleep();
  }
});
afterEach(() => bells.forEach(closeDoorbell));

/** The task workers rung since the last time. */
const rung = (): number[] => TASK_WORKERS.filter((id) => readableNow(workerBell(bells, region.shape, id, 0).read));

it('wakes one task worker for each task, and none twice', () => {
  peers.wakeFreeTaskWorker();
  expect(rung()).toEqual([1]);
  peers.wakeFreeTaskWorker();
  expect(rung()).toEqual([2]);
  for (let i = 0; i < 5; i++) peers.wakeFreeTaskWorker();
  expect(rung()).toEqual([3]);
});

it('passes over those that are awake, and those without room', () => {
  sleepers.get(1)?.wake();
  board.setField(2, WorkerField.room, 0);
  peers.wakeFreeTaskWorker();
  expect(rung()).toEqual([3]);
});

it('begins with the one woken last', () => {
  board.setField(1, WorkerField.room, 0);
  peers.wakeFreeTaskWorker();
  expect(rung()).toEqual([2]);
  board.setField(1, WorkerField.room, 1);
  sleepers.get(2)?.wake();
  sleepers.get(2)?.sleep();
  peers.wakeFreeTaskWorker();
  expect(rung()).toEqual([2]);
});

it('wakes none while one looks for tasks by itself, and leaves one task to each look', () => {
  sleepers.get(3)?.wake();
  board.setLooking(3, true);
  peers.wakeFreeTaskWorker();
  expect(rung()).toEqual([]);
  peers.wakeFreeTaskWorker(); // the first one still waits, or the task worker was stopped
  expect(rung()).toEqual([1]);
  board.setLooking(3, false);
  board.setLooking(3, true);
  peers.wakeFreeTaskWorker();
  expect(rung()).toEqual([]);
  board.setLooking(3, false);
  peers.wakeFreeTaskWorker();
  expect(rung()).toEqual([2]);
});
