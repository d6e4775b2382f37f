// Everything about the source that can be checked without running it. Runs all checks, then says which failed.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const tsc = 'node_modules/typescript/bin/tsc';

const checks = {
  'lint and format': ['node_modules/@biomejs/biome/bin/biome', 'check', '--error-on-warnings', '.'],
  'types of src': [tsc, '-p', 'tsconfig.json', '--noEmit'],
  'types of tests': [tsc, '-p', 'tsconfig.test.json'],
  'types of the dashboard': [tsc, '-p', 'dashboard/tsconfig.json'],
  imports: ['scripts/imports.mjs'],
  sizes: ['scripts/sizes.mjs'],
  lockfile: ['scripts/lockfile.mjs'],
  package: ['scripts/package.mjs'],
  'generated docs': ['scripts/docs.mjs', '--check'],
  'figures of speed': ['bench/speed/report.js', '--check'],
};

const failed = Object.keys(checks).filter((name) => !passes(name));
if (failed.length > 0) {
  console.error(`check: failed: ${failed.join(', ')}`);
  process.exitCode = 1;
}

function passes(name) {
  const { status } = spawnSync(process.execPath, checks[name], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  console.log(`check: ${name}: ${status === 0 ? 'ok' : 'FAILED'}`);
  return status === 0;
}
