import { describe, expect, it } from 'vitest';
import type { ServerStatus } from '../../src/control/controlled.js';
import { type MetricFamily, readMetrics } from '../../src/control/metrics.js';
import { readStats } from '../../src/control/stats.js';
import { ReactorBoard, ReactorCounter, WorkerBoard, WorkerField } from '../../src/memory/boards.js';
import { ClusterRecord } from '../../src/memory/cluster-record.js';
import { Region } from '../../src/memory/region.js';
import { RoomBoard } from '../../src/memory/room-board.js';
import type { TaskCounts } from '../../src/messaging/task-queue.js';
import { testShape } from '../helpers/test-shape.js';

const read = (region: Region): MetricFamily[] =>
  readMetrics({ region, workers: [], status: {} as ServerStatus, tasks: {} as TaskCounts, messageCount: 0, drops: [] });

describe('the metrics of a cluster', () => {
  const isOfCluster = ({ name }: MetricFamily): boolean => name.startsWith('tswoole_cluster_');

  it('are there only where the server is a node of several', () => {
    expect(read(Region.create(testShape())).filter(isOfCluster)).toEqual([]);
  });

  it('are what the broker process has written', () => {
    const region = Region.create(testShape({ userProcessNum: 1 }));
    const record = new ClusterRecord(region);
    record.begin(1);
    const values = (): unknown[] =>
      read(region)
        .filter(isOfCluster)
        .flatMap(({ samples }) => samples.map(({ value }) => value));
    expect(values()).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
    new WorkerBoard(region).setField(1, WorkerField.pid, process.pid);
    record.write(
      { state: 'up', nodeNum: 2, followedRooms: 3, bufferedBytes: 4, maxPayload: 1000, jobsRunning: undefined },
      { published: 5, delivered: 6, lost: 7, reconnects: 8, jobsDone: 0, jobsFailed: 0 },
    );
    expect(values()).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    const figures = {
      ...{ state: 'up', nodeNum: 2, followedRooms: 3, bufferedBytes: 4 },
      ...{ published: 5, delivered: 6, lost: 7, reconnects: 8 },
    };
    expect(readStats(region, {} as TaskCounts, 0).cluster).toEqual({ ...figures, jobs: null });
    record.write(
      { state: 'up', nodeNum: 2, followedRooms: 3, bufferedBytes: 4, maxPayload: 1000, jobsRunning: 0 },
      { published: 0, delivered: 0, lost: 0, reconnects: 0, jobsDone: 9, jobsFailed: 10 },
    );
    expect(values()).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 0, 9, 10]);
    const jobs = { running: 0, done: 9, failed: 10 };
    expect(readStats(region, {} as TaskCounts, 0).cluster).toEqual({ ...figures, jobs });
    expect(readStats(Region.create(testShape()), {} as TaskCounts, 0).cluster).toBeNull();
  });
});

describe('the metrics of WebSocket', () => {
  const isOfWebSocket = ({ name }: MetricFamily): boolean => /_(websockets?|rooms?)(_|$)/.test(name);

  it('are there only where a port speaks it', () => {
    expect(read(Region.create(testShape())).filter(isOfWebSocket)).toEqual([]);
  });

  it('are by reactor, by code of the close, and of the whole server', () => {
    const region = Region.create(testShape({ reactorNum: 2, rooms: 8 }));
    const board = new ReactorBoard(region);
    const counters = ['webSockets', 'messages', 'published', 'deliveries', 'drops'] as const;
    for (const [i, name] of counters.entries()) board.add(1, ReactorCounter[name], i + 1);
    board.countClose(0, 1000);
    board.countClose(1, 1000);
    board.countClose(1, 4999);
    new RoomBoard(region).join('a', 1, 7);
    const samples = read(region)
      .filter(isOfWebSocket)
      .flatMap(({ name, type, samples }) =>
        samples.map(({ labels, value }) => [name.slice('tswoole_'.length), type, Object.values(labels)[0], value]),
      )
      .filter(([, , , value]) => value !== 0);
    expect(samples).toEqual([
      ['websockets', 'gauge', '1', 1],
      ['websocket_messages_total', 'counter', '1', 2],
      ['websocket_closes_total', 'counter', '1000', 2],
      ['websocket_closes_total', 'counter', 'other', 1],
      ['rooms', 'gauge', undefined, 1],
      ['room_members', 'gauge', undefined, 7],
      ['room_publications_total', 'counter', undefined, 3],
      ['room_deliveries_total', 'counter', '1', 4],
      ['room_drops_total', 'counter', '1', 5],
    ]);
  });
});
