import { expect, it } from 'vitest';
import { checkProcessId, nameOfProcess } from '../../src/memory/process-id.js';
import { Region } from '../../src/memory/region.js';
import { testShape } from '../helpers/test-shape.js';

const shape = testShape({ workerNum: 3, taskWorkerNum: 2, userProcessNum: 1 });

it.each([0, 2, 3, 5])('%i is an id among six', (id) => {
  expect(() => checkProcessId(Region.create(shape), id)).not.toThrow();
});

it.each([
  [-1, 'number -1'],
  [6, 'number 6'],
  [1.5, 'number 1.5'],
  [Number.NaN, 'number NaN'],
  ['1', 'string "1"'],
  [undefined, 'undefined'],
])('%s is none', (id, received) => {
  expect(() => checkProcessId(Region.create(shape), id)).toThrowError(
    expect.objectContaining({ code: 'ERR_WORKER_ID', detail: { received, count: 6 } }),
  );
});

it('a worker that has been given up is none, while those behind it are', () => {
  const region = Region.create(shape);
  region.activeWorkerNum = 1;
  region.seatNum = 2;
  expect(() => checkProcessId(region, 1)).not.toThrow(); // it still drains
  expect(() => checkProcessId(region, 3)).not.toThrow();
  expect(() => checkProcessId(region, 2)).toThrowError(
    expect.objectContaining({ code: 'ERR_WORKER_ID', detail: { received: 'number 2', count: 6, workers: 2 } }),
  );
  region.activeWorkerNum = 3; // it comes
  expect(() => checkProcessId(region, 2)).not.toThrow();
});

it.each([
  [2, 'worker 2'],
  [4, 'task worker 4'],
  [5, 'process mailer'],
  [6, 'process 6'],
])('process %i is called as in the log', (id, name) => {
  expect(nameOfProcess(shape, id, ['mailer'])).toBe(name);
});
