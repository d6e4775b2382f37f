import { defineConfig } from 'vitest/config';

const soak = process.env['SOAK'] === '1';
const exclude = soak ? ['node_modules/**'] : ['node_modules/**', 'test/soak/**'];

/** What holds in both modes, run in BASE mode: `npm run test:modes`. (`base.test.ts` runs with every `npm test`.) */
const inBase = [
  ...['api', 'broadcast', 'data'],
  ...['http', 'http-corpus', 'http-operated'],
  ...['budget', 'datagrams', 'dispatch', 'framing', 'lifecycle-recycle', 'lifecycle-reload', 'lifecycle-shutdown'],
  ...['limits', 'messages', 'pressure'],
  ...['proxy', 'refused', 'send-file', 'times', 'tls', 'unix'],
];
/** None of these hangs on milliseconds, so two files run at a time. */
const sideBySide = [
  ...['admin', 'command-line', 'control', 'logs', 'scale', 'surroundings', 'terminal'],
  ...['activation', 'api', 'base', 'data', 'datagrams', 'examples', 'framing', 'lifecycle-start', 'messages', 'proxy'],
  ...['send-file', 'tls', 'unix'],
  ...['http', 'http-clients'],
];
/** What takes long, in PROCESS mode: `npm run test:modes`. */
const more = ['http-corpus', 'http-examples'];
/** Pure code without processes: two files at a time. */
const units = ['cli', 'control', 'docs', 'errors', 'http', 'options', 'protocol', 'server'].map(
  (folder) => `test/${folder}/**/*.test.ts`,
);
/** The same over TLS, in both modes: `npm run test:modes`. */
const encrypted = ['api', 'data', 'framing', 'http', 'send-file'];
const files = (names: readonly string[]): string[] => names.map((name) => `test/integration/${name}.test.ts`);

const base = { TSWOOLE_TEST_MODE: 'base' };
const tls = { TSWOOLE_TEST_TLS: '1' };
const common = {
  globalSetup: ['test/helpers/global-setup.ts'],
  testTimeout: soak ? 15 * 60_000 : 30_000,
  hookTimeout: 30_000,
};

export default defineConfig({
  test: {
    pool: 'forks',
    // One file at a time: a promise such as 'back within a second' cannot be held while two suites compete for two
    // cores.
    maxWorkers: 1,
    projects: [
      {
        test: {
          name: 'process',
          include: ['test/**/*.test.ts'],
          exclude: [...exclude, ...files(sideBySide), ...files(more), ...(soak ? [] : units)],
          sequence: { groupOrder: 0 },
          ...common,
        },
      },
      { test: { name: 'units', include: units, maxWorkers: 2, sequence: { groupOrder: 3 }, ...common } },
      {
        test: {
          name: 'side-by-side',
          include: files(sideBySide),
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
          ...common,
        },
      },
      { test: { name: 'base', include: files(inBase), env: base, ...common } },
      {
        test: {
          name: 'process-more',
          include: files(more),
          maxWorkers: 2,
          sequence: { groupOrder: 2 },
          ...common,
        },
      },
      { test: { name: 'tls', include: files(encrypted), env: tls, ...common } },
      { test: { name: 'base-tls', include: files(encrypted), env: { ...base, ...tls }, ...common } },
    ],
  },
});
