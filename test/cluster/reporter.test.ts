import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Broker } from '../../src/cluster/broker/broker.js';
import { LostNodes } from '../../src/cluster/broker/lost-nodes.js';
import { Reporter } from '../../src/cluster/broker/reporter.js';
import type { DriverState, DriverStats, NodeInfo } from '../../src/cluster/driver.js';
import type { NamedCounts, ToMaster } from '../../src/cluster/messages.js';
import { WorkerBoard, WorkerField } from '../../src/memory/boards.js';
import { type ClusterFigures, ClusterRecord } from '../../src/memory/cluster-record.js';
import { Region } from '../../src/memory/region.js';
import { testShape } from '../helpers/test-shape.js';

const NOTHING: DriverStats = { published: 0, delivered: 0, lost: 0, reconnects: 0, bufferedBytes: 0 };
const node = (id: string): NodeInfo => ({ id, incarnation: 'i', address: 'x:1', version: '1' });

/** A driver as far as it is reported. */
class FakeDriver {
  state: DriverState = 'up';
  counted = NOTHING;
  known: NodeInfo[] = [node('a')];
  readonly capabilities = { maxPayload: 1000 };
  stats = (): DriverStats => this.counted;
  nodes = (): readonly NodeInfo[] => this.known;
}

let driver: FakeDriver;
interface FakeBroker {
  driver: FakeDriver;
  lost: number;
  followedRooms: number;
  lostNodes: LostNodes;
  failure: Error | undefined;
  jobs?: {
    stats(): { running: number; done: number; failed: number };
    readonly counted: readonly NamedCounts[];
    readonly uncounted: string;
  };
}

let broker: FakeBroker;
let told: ToMaster[];
let reporter: Reporter;
let record: ClusterRecord;
const figures = (): ClusterFigures | undefined => record.read();

beforeEach(() => {
  const region = Region.create(testShape({ userProcessNum: 1 })); // it measures the clock
  vi.useFakeTimers();
  record = new ClusterRecord(region);
  record.begin(1);
  new WorkerBoard(region).setField(1, WorkerField.pid, process.pid);
  driver = new FakeDriver();
  broker = { driver, lost: 0, followedRooms: 2, lostNodes: new LostNodes(), failure: undefined };
  told = [];
  reporter = new Reporter(broker as unknown as Broker, { self: 'a', record, tell: (message) => told.push(message) });
});
afterEach(() => {
  reporter.close();
  vi.useRealTimers();
});

describe('the report of a broker process', () => {
  it('is there at once, then every second', () => {
    expect(figures()).toMatchObject({ state: 'up', nodeNum: 1, followedRooms: 2, published: 0 });
    driver.counted = { published: 3, delivered: 4, lost: 5, reconnects: 6, bufferedBytes: 7 };
    broker.lost = 10;
    vi.advanceTimersByTime(1000);
    expect(figures()).toMatchObject({ published: 3, delivered: 4, lost: 15, reconnects: 6, bufferedBytes: 7 });
    vi.advanceTimersByTime(3000);
    expect(figures()).toMatchObject({ published: 3, delivered: 4, lost: 15, reconnects: 6 });
    reporter.close();
    driver.counted = { ...NOTHING, published: 9 };
    vi.advanceTimersByTime(3000);
    expect(figures()?.published).toBe(3);
  });

  it('goes on counting when the driver is a new one', () => {
    driver.counted = { ...NOTHING, published: 3 };
    reporter.report();
    broker.driver = new FakeDriver();
    broker.driver.counted = { ...NOTHING, published: 2 };
    reporter.report();
    expect(figures()?.published).toBe(5);
  });

  it('has the jobs that this node runs, and goes on counting them with another driver', () => {
    expect(figures()?.jobs).toBeNull();
    const counts = { running: 1, done: 5, failed: 2 };
    broker.jobs = { stats: () => counts, counted: [], uncounted: '' };
    reporter.report();
    expect(figures()?.jobs).toEqual({ running: 1, done: 5, failed: 2 });
    broker.driver = new FakeDriver();
    Object.assign(counts, { running: 0, done: 6 });
    reporter.report();
    expect(figures()?.jobs).toEqual({ running: 0, done: 6, failed: 2 });
    expect(record.maxPayload).toBe(952); // what a user may send of it
  });

  it('tells the master how many jobs stand where when that changes', () => {
    const mail = { name: 'mail', isWorked: true, waiting: 1, delayed: 0, running: 0, done: 0, dead: 0 };
    let counted = [mail];
    broker.jobs = {
      stats: () => ({ running: 0, done: 0, failed: 0 }),
      uncounted: '',
      get counted() {
        return counted;
      },
    };
    vi.advanceTimersByTime(3000);
    expect(told.slice(1)).toMatchObject([{ say: 'nodes', queues: [mail] }]);
    counted = [{ ...mail, dead: 1 }];
    vi.advanceTimersByTime(3000);
    expect(told.slice(2)).toMatchObject([{ say: 'nodes', queues: [{ name: 'mail', dead: 1 }] }]);
  });

  it('tells the master of the nodes when they change, and not again', () => {
    expect(told).toEqual([{ say: 'nodes', self: 'a', nodes: [node('a')], why: '', lost: [], queues: [], jobsWhy: '' }]);
    vi.advanceTimersByTime(5000);
    expect(told).toHaveLength(1);
    driver.known = [node('a'), node('b')];
    reporter.report();
    expect(told.at(-1)).toEqual({
      say: 'nodes',
      self: 'a',
      nodes: [node('a'), node('b')],
      why: '',
      lost: [],
      queues: [],
      jobsWhy: '',
    });
    broker.lostNodes.isDown('c', 'left');
    broker.lostNodes.isDown('d', 'lost');
    reporter.report();
    expect(told.at(-1)).toMatchObject({ say: 'nodes', lost: ['d'] });
    broker.lostNodes.isUp('d');
    reporter.report();
    expect(told.at(-1)).toMatchObject({ say: 'nodes', lost: [] });
  });

  it('has no more nodes than a message takes, and how many there are', () => {
    driver.known = Array.from({ length: 2000 }, (_, index) => node(`n${index}`));
    reporter.report();
    const [, last] = told;
    expect(last?.say === 'nodes' && last.nodes).toHaveLength(1500);
    expect(figures()?.nodeNum).toBe(2000);
  });

  it('has the reason while the engine is not up', () => {
    broker.failure = new Error('no route');
    reporter.report();
    expect(told).toHaveLength(1);
    driver.state = 'down';
    reporter.report();
    expect(told.at(-1)).toMatchObject({ why: 'no route' });
    expect(figures()?.state).toBe('down');
  });
});
