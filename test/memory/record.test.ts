import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ReactorBoard, ReactorCounter, WorkerBoard, WorkerCounter, WorkerField } from '../../src/memory/boards.js';
import { ConnectionTable } from '../../src/memory/connection-table.js';
import { type Field, float64, int32, layoutRecord, numbered } from '../../src/memory/record.js';
import { Region } from '../../src/memory/region.js';
import { testShape } from '../helpers/test-shape.js';

const BYTES = { int32: 4, float64: 8 };

test('no two fields of a record share a byte, each is aligned, and all lie inside', () => {
  const field = fc.record<Field>({
    kind: fc.constantFrom('int32' as const, 'float64' as const),
    count: fc.integer({ min: 1, max: 5 }),
  });
  fc.assert(
    fc.property(fc.array(field, { minLength: 1, maxLength: 20 }), (list) => {
      const fields = Object.fromEntries(list.map((one, index) => [`f${index}`, one]));
      const { at, usedBytes } = layoutRecord(fields, 4096);
      let end = 0;
      for (const [name, { kind, count }] of Object.entries(fields)) {
        const from = (at[name] ?? -1) * BYTES[kind];
        expect(from).toBeGreaterThanOrEqual(end);
        end = from + count * BYTES[kind];
      }
      expect(usedBytes).toBe(end);
    }),
  );
});

test('fields that do not fit are refused', () => {
  expect(layoutRecord({ a: float64(), b: int32(2) }, 16).at).toEqual({ a: 0, b: 2 });
  expect(() => layoutRecord({ a: float64(), b: int32(3) }, 16)).toThrow(RangeError);
});

test('numbers follow each other in the order of their names', () => {
  expect(numbered(['a', 'b', 'c'])).toEqual({ a: 0, b: 1, c: 2 });
});

/** Each of `fields` is written with a number of its own, then all are read: one that lies on another shows. */
function writeAll(fields: readonly (readonly [write: (value: number) => void, read: () => number])[]): void {
  for (const [index, [write]] of fields.entries()) write(index + 1);
  expect(fields.map(([, read]) => read())).toEqual(fields.map((_, index) => index + 1));
}

test('what reactors and workers count does not lie on what they tell otherwise', () => {
  const region = Region.create(testShape({ reactorNum: 2, workerNum: 2 }));
  const reactors = new ReactorBoard(region);
  const workers = new WorkerBoard(region);
  const table = new ConnectionTable(region);
  const at = (list: Int32Array | Float64Array, index: number) =>
    [(value: number) => void list.fill(value, index, index + 1), () => list[index] ?? 0] as const;
  writeAll([
    ...[0, 1].flatMap((reactor) => [
      ...Object.values(ReactorCounter).map(
        (counter) =>
          [(value: number) => reactors.set(reactor, counter, value), () => reactors.read(reactor, counter)] as const,
      ),
      [(value: number) => reactors.addConnections(reactor, value), () => reactors.connections(reactor)] as const,
      [(value: number) => reactors.addOccupied(reactor, value), () => reactors.occupied(reactor)] as const,
      [(value: number) => reactors.setUnderWay(reactor, value), () => reactors.underWay(reactor)] as const,
      at(region.int32, reactors.sleepIndex(reactor)),
    ]),
    ...[0, 1].flatMap((worker) => [
      ...[0, 1].flatMap((lane) =>
        Object.values(WorkerCounter).map((counter) => at(region.float64, workers.counterIndex(worker, lane) + counter)),
      ),
      [(value: number) => workers.setStartedAt(worker, value), () => workers.startedAt(worker)] as const,
      ...Object.values(WorkerField).map(
        (field) =>
          [(value: number) => workers.setField(worker, field, value), () => workers.field(worker, field)] as const,
      ),
    ]),
    [(value: number) => table.setWorker(0, value), () => table.worker(0)] as const,
    [(value: number) => table.setTaker(0, value), () => table.taker(0)] as const,
  ]);
});
