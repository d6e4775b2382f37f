import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { ServerStatus } from '../../src/control/controlled.js';
import { readMetrics, toPrometheus } from '../../src/control/metrics.js';
import { readEveryWorker } from '../../src/control/stats.js';
import { ReactorBoard, ReactorCounter } from '../../src/memory/boards.js';
import { ClusterRecord } from '../../src/memory/cluster-record.js';
import { BUCKETS } from '../../src/memory/process-board.js';
import { Region } from '../../src/memory/region.js';
import { SharedCache } from '../../src/shared/cache/shared-cache.js';
import { Lock } from '../../src/shared/lock.js';
import { RateLimiter } from '../../src/shared/rate-limiter.js';
import { Table } from '../../src/shared/table/table.js';
import { Topic } from '../../src/shared/topic.js';
import { testShape } from '../helpers/test-shape.js';

describe('the text format of Prometheus', () => {
  it('has a help and a type for each family, and labels with escapes', () => {
    const text = toPrometheus([
      { name: 'a_total', help: 'All of it.', type: 'counter', samples: [{ labels: { name: 'a "b"\\\nc' }, value: 3 }] },
      { name: 'b', help: 'Nothing.', type: 'gauge', samples: [] },
      { name: 'c', help: 'Now.', type: 'gauge', samples: [{ labels: {}, value: 0.5 }] },
    ]);
    expect(text).toBe(
      '# HELP a_total All of it.\n# TYPE a_total counter\na_total{name="a \\"b\\"\\\\\\nc"} 3\n# HELP c Now.\n# TYPE c gauge\nc 0.5\n',
    );
  });

  it('has cumulative buckets that end with all', () => {
    const counts = Array.from({ length: BUCKETS }, (_, index) => (index < 2 || index === BUCKETS - 1 ? 1 : 0));
    const text = toPrometheus([
      {
        name: 'h',
        help: 'It.',
        type: 'histogram',
        samples: [{ labels: { worker: '0' }, value: { counts, seconds: 1.5 } }],
      },
    ]);
    expect(text).toContain('h_bucket{worker="0",le="0.000016"} 1\nh_bucket{worker="0",le="0.000032"} 2\n');
    expect(text).toContain('h_bucket{worker="0",le="+Inf"} 3\nh_sum{worker="0"} 1.5\nh_count{worker="0"} 3\n');
  });
});

/** Together they have all figures of shared objects. */
function declareSharedObjects(): void {
  new Table(1, { n: 'int' });
  new Lock();
  new Topic();
  new SharedCache({ maxBytes: '256k' });
  new RateLimiter({ perSecond: 1, burst: 1 });
}

describe('the figures of a server', () => {
  const region = Region.create(testShape({ reactorNum: 2, workerNum: 2, taskWorkerNum: 1, rooms: 16 }));
  const cluster = new ClusterRecord(region);
  cluster.begin(2);
  cluster.write(
    { state: 'up', nodeNum: 1, followedRooms: 0, bufferedBytes: 0, maxPayload: 1_048_576, jobsRunning: 0 },
    { published: 0, delivered: 0, lost: 0, reconnects: 0, jobsDone: 0, jobsFailed: 0 },
  );
  const tasks = {
    ...{ submitted: 21, queued: 22, running: 23, done: 24, failed: 25, timedOut: 26, dropped: 27 },
    ...{ retried: 28, refused: 29 },
  };
  const status = {
    ...{ name: 'web', version: '1', node: 'v20', mode: 'process', ready: true, speaksWebSocket: true },
    cluster: { queues: [{ name: 'mail', isWorked: true, waiting: 41, delayed: 42, running: 43, done: 44, dead: 45 }] },
  };
  const workers = readEveryWorker(region);
  const sources = {
    region,
    workers,
    tasks,
    messageCount: 31,
    drops: [{ port: 9501, count: 32 }],
    status: status as unknown as ServerStatus,
  };
  const reactors = new ReactorBoard(region);
  for (const index of Object.values(ReactorCounter)) reactors.add(1, index, 100 + index);
  declareSharedObjects();
  const families = readMetrics(sources);
  const of = (name: string): unknown[] =>
    families.find((family) => family.name === `tswoole_${name}`)?.samples.map(({ value }) => value) ?? [];

  it('are those that docs/metrics.md names, and no other', () => {
    const docs = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
    const tokens = [...docs.matchAll(/`(tswoole_\w+|_\w+)/g)].map(([, token]) => token as string);
    const isNamed = (name: string): boolean =>
      tokens.some((token) => token === name || (token.startsWith('_') && name.endsWith(token)));
    expect(families.map(({ name }) => name).filter((name) => !isNamed(name))).toEqual([]);
    const names = new Set(families.map(({ name }) => name));
    expect(tokens.filter((token) => token.startsWith('tswoole_') && !names.has(token))).toEqual([]);
  });

  it('are what was counted, by reactor and by result', () => {
    expect([of('info'), of('ready'), of('messages_total')]).toEqual([[1], [1], [31]]);
    expect([of('tasks_submitted_total'), of('tasks_ended_total')]).toEqual([[21], [24, 25, 26]]);
    expect([of('tasks_retried_total'), of('tasks_refused_total')]).toEqual([[28], [29]]);
    expect([of('tasks_queued'), of('tasks_running')]).toEqual([[22], [23]]);
    expect(of('cluster_jobs_queued')).toEqual([41, 42, 43, 45]);
    expect(of('connections_accepted_total')).toEqual([0, 100 + ReactorCounter.accepted]);
    expect(of('connections_closed_total')).toEqual([0, 100 + ReactorCounter.closed]);
    expect(of('http_files_served_total')).toEqual([0, 100 + ReactorCounter.filesServed]);
    expect(of('received_bytes_total')).toEqual([0, 100 + ReactorCounter.receivedBytes]);
    expect(of('sent_bytes_total')).toEqual([0, 100 + ReactorCounter.sentBytes]);
    expect(of('dispatched_total')).toEqual([0, 100 + ReactorCounter.dispatched]);
    expect(of('http_refused_total')).toEqual([0, 100 + ReactorCounter.httpRefused]);
  });
});
