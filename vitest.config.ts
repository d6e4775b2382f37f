import { defineConfig } from 'vitest/config';

const soak = process.env['SOAK'] === '1';

export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    include: ['test/**/*.test.ts'],
    exclude: soak ? ['node_modules/**'] : ['node_modules/**', 'test/soak/**'],
    globalSetup: ['test/helpers/global-setup.ts'],
    testTimeout: soak ? 15 * 60_000 : 30_000,
    hookTimeout: 30_000,
  },
});
