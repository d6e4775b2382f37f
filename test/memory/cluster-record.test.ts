import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { WorkerBoard, WorkerField } from '../../src/memory/boards.js';
import { ClusterRecord } from '../../src/memory/cluster-record.js';
import { Region } from '../../src/memory/region.js';
import { testShape } from '../helpers/test-shape.js';

const BROKER = 1;
const shown = { state: 'up', nodeNum: 3, followedRooms: 2, bufferedBytes: 100 } as const;
const gauges = { ...shown, maxPayload: 1000, jobsRunning: 1 } as const;
const totals = { published: 1, delivered: 2, lost: 3, reconnects: 4 };
const counted = { ...totals, jobsDone: 5, jobsFailed: 6 };
const jobs = { running: 1, done: 5, failed: 6 };

let region: Region;
let record: ClusterRecord;
const runs = (pid: number): void => new WorkerBoard(region).setField(BROKER, WorkerField.pid, pid);

beforeEach(() => {
  region = Region.create(testShape({ userProcessNum: 1 })); // it measures the clock
  record = new ClusterRecord(region);
  vi.useFakeTimers({ toFake: ['performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('the record of a cluster', () => {
  it('is none where the server is alone', () => {
    expect(record.read()).toBeUndefined();
  });

  it('is that of a node that is down until the broker process has written', () => {
    record.begin(BROKER);
    runs(process.pid);
    const nothing = { published: 0, delivered: 0, lost: 0, reconnects: 0 };
    expect(record.read()).toEqual({
      state: 'down',
      nodeNum: 0,
      followedRooms: 0,
      bufferedBytes: 0,
      jobs: null,
      ...nothing,
    });
    expect(record.maxPayload).toBe(Number.POSITIVE_INFINITY);
    record.write(gauges, counted);
    expect(new ClusterRecord(region).read()).toEqual({ ...shown, ...totals, jobs });
    expect(new ClusterRecord(region).maxPayload).toBe(1000);
    record.write({ ...gauges, jobsRunning: undefined }, counted);
    expect(record.read()?.jobs).toBeNull();
    expect(record.brokerPid).toBe(process.pid);
  });

  it.each(['up', 'reconnecting', 'down'] as const)('has the state %s', (state) => {
    record.begin(BROKER);
    runs(process.pid);
    record.write({ ...gauges, state }, counted);
    expect(record.read()?.state).toBe(state);
  });

  it('adds to what a preceding broker process has counted', () => {
    record.begin(BROKER);
    record.write(gauges, counted);
    record.write(gauges, counted);
    expect(record.read()).toMatchObject({ published: 2, delivered: 4, lost: 6, reconnects: 8 });
  });

  it.each([
    ['is dead', 0],
    ['is another one, which has not written', process.pid + 1],
  ])('says down when the broker process %s, and the nodes last known', (_title, pid) => {
    record.begin(BROKER);
    record.write(gauges, counted);
    runs(pid);
    expect(record.read()).toEqual({
      ...{ ...shown, ...totals, state: 'down', bufferedBytes: 0 },
      jobs: { ...jobs, running: 0 },
    });
  });

  it('says down when the broker process has not written for five seconds', () => {
    record.begin(BROKER);
    runs(process.pid);
    record.write(gauges, counted);
    vi.advanceTimersByTime(4900);
    expect(record.read()?.state).toBe('up');
    vi.advanceTimersByTime(200);
    expect(record.read()?.state).toBe('down');
    record.write(gauges, counted);
    expect(record.read()?.state).toBe('up');
  });
});
