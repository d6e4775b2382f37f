import { defineConfig } from 'vitest/config';

const soak = process.env['SOAK'] === '1';

export default defineConfig({
  test: {
    pool: 'forks',
    // One file at a time: a promise such as 'back within a second' cannot be held while two suites compete for two
    // cores.
    maxWorkers: 1,
    include: ['test/**/*.test.ts'],
    exclude: soak ? ['node_modules/**'] : ['node_modules/**', 'test/soak/**'],
    globalSetup: ['test/helpers/global-setup.ts'],
    testTimeout: soak ? 15 * 60_000 : 30_000,
    hookTimeout: 30_000,
  },
});
