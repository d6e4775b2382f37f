// Checks the package as others get it: packs it, then asks publint whether its fields fit its files, and
// @arethetypeswrong/cli whether every way of resolving it (classic, node16 from CommonJS and from ES modules, bundler)
// finds types that fit the code. Needs no network.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'tswoole-package-'));
try {
  run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', folder]);
  const tarball = join(folder, readdirSync(folder)[0] ?? '');
  check('publint', 'node_modules/publint/src/cli.js', ['run', '--strict', tarball]);
  check('attw', 'node_modules/@arethetypeswrong/cli/dist/index.js', ['--no-emoji', '--no-color', tarball]);
} finally {
  rmSync(folder, { recursive: true });
}

function check(name, program, args) {
  const { status, output } = run(process.execPath, [program, ...args]);
  if (status === 0) return;
  console.error(`package: ${name}:\n${output}`);
  process.exitCode = 1;
}

function run(command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd: root, encoding: 'utf8' });
  if (error !== undefined) throw error;
  return { status, output: `${stdout}${stderr}`.trim() };
}
