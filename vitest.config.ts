import { defineConfig } from 'vitest/config';

const soak = process.env['SOAK'] === '1';
const exclude = soak ? ['node_modules/**'] : ['node_modules/**', 'test/soak/**'];

/** What holds in both modes; the other integration tests are about the processes of one of them. */
const conformance = [
  'api',
  'broadcast',
  'budget',
  'data',
  'datagrams',
  'dispatch',
  'framing',
  'lifecycle-recycle',
  'lifecycle-reload',
  'lifecycle-shutdown',
  'limits',
  'messages',
  'pressure',
  'proxy',
  'refused',
  'send-file',
  'times',
  'tls',
  'unix',
];

/** The same over TLS. */
const encrypted = ['api', 'data', 'framing', 'send-file'].map((name) => `test/integration/${name}.test.ts`);

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
      { test: { name: 'process', include: ['test/**/*.test.ts'], exclude, ...common } },
      {
        test: {
          name: 'tls',
          include: encrypted,
          env: { TSWOOLE_TEST_TLS: '1' },
          ...common,
        },
      },
      {
        test: {
          name: 'base-tls',
          include: encrypted,
          env: { TSWOOLE_TEST_TLS: '1', TSWOOLE_TEST_MODE: 'base' },
          ...common,
        },
      },
      {
        test: {
          name: 'base',
          include: conformance.map((name) => `test/integration/${name}.test.ts`),
          env: { TSWOOLE_TEST_MODE: 'base' },
          ...common,
        },
      },
    ],
  },
});
