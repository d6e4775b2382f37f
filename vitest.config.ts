import { spawnSync } from 'node:child_process';
import { basename } from 'node:path';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

const soak = process.env['SOAK'] === '1';

/** They hang on milliseconds, and a promise such as 'back within a second' cannot be held beside another suite. */
const timed = ['accept-turn', 'lifecycle-kill', 'lifecycle-reload', 'lifecycle-shutdown', 'limits', 'tasks', 'times'];
/** What takes long, in PROCESS mode: `npm run test:modes`. */
const long = [
  ...['activation', 'admin-guard', 'apps', 'bodies', 'budget', 'causes', 'command-line', 'detach', 'http-corpus'],
  ...['cluster-jobs', 'cluster-load', 'cluster-network', 'create-templates', 'dashboard-page'],
  ...[
    'game-tick',
    'http-examples',
    'http2',
    'http2-ends',
    'init',
    'log-noise',
    'log-safety',
    'members',
    'package',
    'printed',
    'scale',
    'secrets',
    'site',
    'telemetry',
  ],
  ...['send-anywhere', 'stalled', 'start-ended', 'start-script', 'stop-worker', 'surroundings', 'tasks-crash'],
  ...['uploads', 'wall-clock', 'websocket-examples', 'websocket-hostile', 'websocket-mix', 'websocket-operated'],
];
/** What holds in both modes, run in BASE mode: `npm run test:modes`. (`base.test.ts` runs with every `npm test`.) */
const inBase = [
  ...['access-log', 'answers', 'api', 'bodies', 'broadcast', 'budget', 'closes', 'cluster', 'contexts'],
  ...['data', 'datagrams', 'detach', 'dispatch', 'framing', 'http'],
  ...[
    'http-corpus',
    'http-operated',
    'http2',
    'http2-ends',
    'jobs',
    'leaves',
    'lifecycle-recycle',
    'lifecycle-reload',
    'lifecycle-shutdown',
  ],
  ...['limits', 'log-noise', 'log-safety', 'lost-sends', 'members', 'messages', 'pressure'],
  ...['printed', 'proxy', 'refused', 'room-streams', 'secrets', 'send-anywhere', 'send-file'],
  ...[
    'shared-memory',
    'start-ended',
    'telemetry',
    'ticks',
    'times',
    'tls',
    'tls-tickets',
    'unix',
    'uploads',
    'user-threads',
    'wall-clock',
    'websocket',
    'websocket-lasting',
    'websocket-mix',
  ],
];
/** The same over TLS, in both modes: `npm run test:modes`. */
const encrypted = ['api', 'bodies', 'closes', 'data', 'framing', 'http', 'send-file', 'stalled', 'websocket'];

/** What takes longest begins first, so that no file runs alone at the end: in this order, before all others. */
const longest = [
  ...[
    'http-examples',
    'cluster-network',
    'send-anywhere',
    'http2',
    'cluster',
    'jobs',
    'data',
    'causes',
    'apps',
    'telemetry',
  ],
  ...['framing', 'trust-proxy', 'command-line', 'sticky', 'websocket-hostile', 'dashboard-page', 'websocket-lasting'],
  ...['tasks-crash', 'websocket-operated', 'site', 'admin-guard', 'start-script', 'stalled', 'send-file', 'rate-limit'],
  ...[
    'config',
    'cluster-operation',
    'lifecycle-start',
    'tls',
    'members',
    'shared-memory',
    'log-safety',
    'base',
    'closes',
  ],
  ...['bodies', 'http', 'uploads', 'dispatch', 'admin', 'dashboard', 'secrets', 'drivers', 'package', 'docstrings'],
];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const rankOf = ({ moduleId }: TestSpecification): number => {
      const rank = longest.indexOf(basename(moduleId, '.test.ts'));
      return rank < 0 ? longest.length : rank;
    };
    const groupOf = ({ project }: TestSpecification): number => project.config.sequence.groupOrder;
    return sorted.sort((a, b) => groupOf(a) - groupOf(b) || rankOf(a) - rankOf(b));
  }
}

/** All of a folder but these, which replace modules or change what is of the whole process. */
function besides(folder: string, names: readonly string[]): string[] {
  return [`test/${folder}/!(${names.join('|')}).test.ts`];
}

/**
 * Tests of functions that keep nothing in their process: they share one, with the modules that it has loaded. To load them
 * for each file takes longer than the tests. What replaces modules needs a process to itself.
 */
const pure = [
  ...['access-log', 'base', 'errors', 'files', 'memory', 'messaging', 'protocol', 'task', 'user', 'websocket'].map(
    (name) => `test/${name}/**/*.test.ts`,
  ),
  // `http1-edges` serves /proc/PID/smaps, which grows with its process; the last two measure what their process holds.
  ...besides('reactor', ['admission', 'ending', 'entry', 'http1-edges', 'openssl', 'websocket-life']),
  // Node's own cache of modules is one for all: who finds Engine.IO there, or lets a framework load it, is alone.
  ...besides('http', [
    ...['answer-head', 'apps', 'engine-io', 'fetch-frameworks', 'form', 'load-app', 'node-frameworks', 'send-file'],
    'tell-address',
  ]),
  ...besides('ipc', ['boot-output', 'inheritance', 'inspect', 'last-words', 'spawn-role']),
  ...besides('manager', ['first-processes', 'run']),
  ...besides('options', ['secrets']),
  ...besides('worker', ['run', 'stack-watch']),
];

const isTimed = (name: string): boolean => timed.includes(name);
const files = (names: readonly string[]): string[] => names.map((name) => `test/integration/${name}.test.ts`);

/** How long Node takes to start on two quiet cores. */
const USUAL_START_MS = 120;
const MOST = 4;

/** How much slower this machine is now: deadlines are so much longer. (The configuration is read several times.) */
function measurePace(): number {
  const known = Number(process.env['TSWOOLE_TEST_PACE']);
  if (known >= 1) return known;
  const times = Array.from({ length: 3 }, () => {
    const begin = performance.now();
    spawnSync(process.execPath, ['-e', '0']);
    return performance.now() - begin;
  });
  const [, median = 0] = times.sort((a, b) => a - b);
  return Math.min(MOST, Math.max(1, median / USUAL_START_MS));
}

const pace = measurePace();
process.env['TSWOOLE_TEST_PACE'] = String(pace);

const base = { TSWOOLE_TEST_MODE: 'base' };
const tls = { TSWOOLE_TEST_TLS: '1' };
const common = {
  globalSetup: ['test/helpers/global-setup.ts'],
  // Each wait in a test has a deadline of its own: this is for their sum.
  testTimeout: soak ? 15 * 60_000 : 120_000 * pace,
  hookTimeout: 120_000 * pace,
};
const oneByOne = { ...common, sequence: { groupOrder: 0 } };
const severalAtATime = { ...common, maxWorkers: 3, sequence: { groupOrder: 1 } };

export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 1,
    sequence: { sequencer: LongestFirst },
    projects: [
      { test: { name: 'timed', include: files(timed), ...oneByOne } },
      {
        test: {
          name: 'side-by-side',
          include: ['test/integration/*.test.ts'],
          exclude: files([...timed, ...long]),
          ...severalAtATime,
        },
      },
      { test: { name: 'pure', include: pure, isolate: false, ...severalAtATime } },
      {
        test: {
          name: 'units',
          include: ['test/**/*.test.ts'],
          exclude: ['test/integration/**', 'test/soak/**', ...pure],
          ...severalAtATime,
        },
      },
      { test: { name: 'long', include: files(long), ...severalAtATime } },
      { test: { name: 'base-timed', include: files(inBase.filter(isTimed)), env: base, ...oneByOne } },
      { test: { name: 'base', include: files(inBase.filter((name) => !isTimed(name))), env: base, ...severalAtATime } },
      { test: { name: 'tls', include: files(encrypted), env: tls, ...severalAtATime } },
      { test: { name: 'base-tls', include: files(encrypted), env: { ...base, ...tls }, ...severalAtATime } },
      {
        test: {
          name: 'soak',
          include: ['test/soak/**/*.test.ts', ...files(['pressure', 'limits', 'websocket-mix'])],
          ...oneByOne,
        },
      },
    ],
  },
});
