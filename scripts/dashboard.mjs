// Builds the page of the dashboard into dist/dashboard. Called by scripts/build.mjs.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const root = fileURLToPath(new URL('..', import.meta.url));

/** @returns the paths of its files */
export async function buildDashboard() {
  const outDir = join(root, 'dist/dashboard');
  await build({
    configFile: false,
    root: join(root, 'dashboard'),
    base: '/dashboard/',
    logLevel: 'error',
    oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
    build: {
      outDir,
      emptyOutDir: true,
      target: 'es2022',
      modulePreload: false,
      assetsInlineLimit: 0, // the page's policy allows no data: for scripts and styles
      reportCompressedSize: false,
    },
  });
  const entries = readdirSync(outDir, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}
