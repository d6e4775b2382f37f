import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { describeRooms } from '../../src/cli/commands/rooms.js';
import { describeStatus } from '../../src/cli/commands/status.js';
import { workerTable } from '../../src/cli/commands/workers.js';
import type { NamedWorkerInfo, ServerStatus } from '../../src/control/controlled.js';
import type { ServerStats } from '../../src/control/stats.js';
import { STATS } from '../helpers/cli-world.js';

const status = {
  ...{ name: 'web', state: 'running', masterPid: 1234, uptimeMs: 65_000, crashLoops: [], admin: '' },
  ...{ listening: ['127.0.0.1:80', '/tmp/it'], script: '/srv/app.js', version: '1.0', node: 'v20', mode: 'process' },
  ...{ workerNum: 4, generation: 2, logLevel: 'info', logFile: '', isDaemon: false, pidFile: '' },
  traffic: { unit: 'packets', perSecond: 12.4, latencyP50: 0.0001, latencyP99: 0.002, latencyMax: 0.131 },
} as unknown as ServerStatus;
const text = (s: Partial<ServerStatus> = {}, t: Partial<ServerStats> = {}): string =>
  stripVTControlCharacters(describeStatus({ ...status, ...s }, { ...STATS, ...t }));

describe('what "tswoole rooms" shows', () => {
  const rooms = [
    { name: 'lobby', members: 12 },
    { name: 'a\u001b[2J\u202eb\n', members: 3 },
  ];

  it('is their names and members, and nothing that a terminal acts on', () => {
    expect(describeRooms({ rooms, total: { rooms: 2, members: 15 } })).toBe(
      'ROOM                      MEMBERS\nlobby                          12\na\\u{1b}[2J\\u{202e}b\\u{a}        3',
    );
  });

  it('is how many more there are, or that there is none', () => {
    expect(describeRooms({ rooms, total: { rooms: 5, members: 20 } })).toMatch(/\n3 more, 20 members in all: --count$/);
    expect(describeRooms({ rooms: [], total: { rooms: 0, members: 0 } })).toBe('Nobody is in a room.');
  });
});

describe('what "tswoole status" shows', () => {
  it('has the reactors that read no client', () => {
    expect(text()).not.toMatch(/^paused /m);
    const paused = { pausedReactorNum: 1, pausedMs: 12_400, reactorNum: 2, bufferedBytes: 11 * 2 ** 20 };
    expect(text({}, paused)).toMatch(
      /^paused +1 of 2 reactors read no client, for 12s now: 11\.0 MiB wait, and maxBufferedBytes is reached; see the log$/m,
    );
  });

  it('has WebSockets and rooms where a port speaks WebSocket', () => {
    const figures = {
      ...{ webSockets: 3, messagesReceived: 12_345, closeCodes: {}, rooms: 2, roomMembers: 4 },
      ...{ messagesPublished: 7, roomDeliveries: 28, roomDrops: 1 },
    };
    expect(text({}, figures)).not.toMatch(/sockets|rooms/);
    const shown = text({ speaksWebSocket: true }, figures);
    expect(shown).toMatch(/^sockets +3 open, 12\.3k messages received$/m);
    expect(shown).toMatch(/^rooms +2 with 4 members; 7 published, 28 delivered, 1 dropped$/m);
    const ended = text({ speaksWebSocket: true }, { ...figures, closeCodes: { 1000: 5, other: 2 } });
    expect(ended).toMatch(/messages received; ended: 1000 5×, other 2×$/m);
  });

  it('has the nodes of a cluster, and how the engine is', () => {
    const cluster = {
      ...{ nodeId: 'a', driver: 'redis', engine: 'host:1', state: 'up', why: '' },
      nodes: [
        { id: 'b', self: false },
        { id: 'a', self: true },
      ],
    } as unknown as ServerStatus['cluster'];
    const figures = { published: 12_345, delivered: 2, lost: 3, reconnects: 4 } as ServerStats['cluster'];
    expect(text({ cluster: null })).not.toMatch(/^(nodes|cluster) /m);
    const shown = text({ cluster }, { cluster: figures });
    expect(shown).toMatch(/^nodes +b, a \(this one\)$/m);
    expect(shown).not.toMatch(/^jobs /m);
    const jobs = { running: 1, done: 12_345, failed: 3 };
    const withJobs = text({ cluster }, { cluster: { ...figures, jobs } as ServerStats['cluster'] });
    expect(withJobs).toMatch(/^jobs +1 running, 12\.3k done, 3 failed on this node$/m);
    const queue = { name: 'mail\u001b', isWorked: true, waiting: 10_000, delayed: 2, running: 3, done: 4, dead: 5 };
    const withQueues = { ...cluster, queues: Array.from({ length: 12 }, () => queue) } as ServerStatus['cluster'];
    const counted = text({ cluster: withQueues }, { cluster: { ...figures, jobs } as ServerStats['cluster'] });
    expect(counted.match(/^ +mail\\u\{1b\}: 10\.0k waiting, 2 delayed, 3 running, 5 dead$/gm)).toHaveLength(10);
    expect(counted).toMatch(/^ +and 2 more: "tswoole jobs"$/m);
    const refused = { ...cluster, jobsWhy: 'NOPERM' } as ServerStatus['cluster'];
    expect(text({ cluster: refused }, { cluster: { ...figures, jobs } as ServerStats['cluster'] })).toMatch(
      /^ +no jobs run: NOPERM$/m,
    );
    expect(shown).toMatch(/^cluster +redis host:1 up; 12\.3k published, 2 delivered, 3 lost, 4 reconnects$/m);
  });

  it('is how the server is, where it listens, its workers and what it has done', () => {
    const shown = text();
    expect(shown.split('\n')[0]).toBe('web  running, pid 1234, up 1m 5s');
    expect(shown).toMatch(/^listening +127\.0\.0\.1:80, \/tmp\/it$/m);
    expect(shown).toMatch(/^workers +4 \(3 idle\), generation 2, 1 restarts$/m);
    expect(shown).toMatch(/^connections +5 open, 12\.3k accepted$/m);
    expect(shown).toMatch(
      /^packets +100 received, 99 sent \(12\/s, p50 100µs, p99 2\.0ms, max 131ms\), 2 callback errors$/m,
    );
    expect(shown).toMatch(/^traffic +2\.0 KiB in, 10 B out, 0 B waiting$/m);
    expect(shown).toMatch(/^log +level info, standard error$/m);
  });

  it('is about what there is only', () => {
    expect(text()).not.toMatch(/^(admin|tasks|reloads|pid file) /m);
    const all = text({ admin: 'http://x/', pidFile: '/run/it.pid' }, { taskWorkerNum: 2, failedReloadCount: 3 });
    expect(all).toMatch(/^tasks +2 task workers \(1 idle\), 1 waiting, 2 running, 3 done, 4 failed, 5 timed out$/m);
    expect(all).toMatch(/^reloads +3 failed, see the log$/m);
    expect(all).toMatch(/^admin +http:\/\/x\/$/m);
    expect(all).toMatch(/^pid file +\/run\/it\.pid$/m);
  });

  it('counts requests where the server speaks HTTP', () => {
    expect(text({ traffic: { ...status.traffic, unit: 'requests' } })).toMatch(
      /^requests +100 to workers \(.*\), 7 files, 8 refused, 9 timed out, 6 answered 5xx, 2 callback errors$/m,
    );
  });

  it('says which process does not stay up, why, and when it is started next', () => {
    const loop = { id: 0, name: 'worker 0', failures: 3, reason: 'SyntaxError\nat x', endedAt: 1 };
    const later = text({ crashLoops: [{ ...loop, nextAttemptAt: Date.now() + 60_500 }] });
    expect(later).toMatch(
      /^worker 0 +crash-looping: ended 3 times in a row; next attempt in 60\.[45]s\n +last reason: SyntaxError\n +at x$/m,
    );
    expect(text({ crashLoops: [{ ...loop, nextAttemptAt: 1 }] })).toContain('it has been started again');
  });

  it.each([
    ['/var/log/it', false, '/var/log/it'],
    ['', true, 'nowhere: a daemon needs a log file (--log-file)'],
  ])('says where the log goes: %j, daemon %s', (logFile, isDaemon, where) => {
    expect(text({ logFile, isDaemon })).toContain(`level info, ${where}`);
  });
});

describe('what "tswoole workers" shows', () => {
  it('is that a worker hangs, in the words of "tswoole top", whatever it was doing', () => {
    const worker = {
      ...{ role: 'worker', state: 'busy', loopStandsMs: 8000, latencyP99: 0, latencyMax: 0, residentBytes: 0 },
      uptimeMs: 0,
      requestCount: 0,
    } as NamedWorkerInfo;
    expect(stripVTControlCharacters(workerTable([worker]))).toContain('  hangs 8s  ');
    expect(workerTable([{ ...worker, loopStandsMs: 1000 }])).toContain('  busy  ');
  });

  it('is a line per process, of which the numbers stand to the right', () => {
    const worker = {
      ...{ id: 0, role: 'worker', pid: 77, state: 'idle', uptimeMs: 5000, connections: 3, requestCount: 20_000 },
      ...{ latencyP99: 0.002, latencyMax: 0.131, loopUtilisation: 0.256, residentBytes: 50 * 1024 ** 2, restarts: 0 },
    } as NamedWorkerInfo;
    const user: NamedWorkerInfo = { ...worker, id: 11, role: 'user', name: 'process mailer' };
    const shown = stripVTControlCharacters(
      workerTable([worker, { ...worker, id: 10, role: 'task' }, user], 'requests'),
    );
    expect(shown.split('\n')).toEqual([
      'ID  ROLE            PID  STATE  UP  CONN  REQUESTS    P99    MAX  LOOP    MEMORY  RESTARTS',
      ' 0  worker           77  idle   5s     3     20.0k  2.0ms  131ms  26 %  50.0 MiB         0',
      '10  task             77  idle   5s     3     20.0k  2.0ms  131ms  26 %  50.0 MiB         0',
      '11  process mailer   77  idle   5s     3     20.0k  2.0ms  131ms  26 %  50.0 MiB         0',
    ]);
  });
});
