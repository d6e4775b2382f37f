/** A project as a person gets it: generated, installed from the tarball with what the registry gives, and tested. */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { Projects } from '../helpers/create.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Of everything that `npm install tswoole` brings, as their files say; on the disk it is more, by what blocks hold. */
const MOST_BYTES = 13_000_000;

const projects = new Projects();
afterAll(() => projects.remove());

function run(command: string, args: readonly string[], cwd: string): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, encoding: 'utf8' });
  if (error !== undefined) throw error;
  expect(status, `${command} ${args.join(' ')}: ${stdout}${stderr}`).toBe(0);
  return stdout;
}

describe('a generated project', () => {
  it('installs in at most 13 MB without a script of a package, and passes its test', () => {
    const folder = projects.generate('http', 'js');
    const file = join(folder, 'package.json');
    const project = JSON.parse(readFileSync(file, 'utf8')) as { dependencies: Record<string, string> };
    const tarball = run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', folder], ROOT).trim();
    project.dependencies['tswoole'] = `file:${tarball}`;
    writeFileSync(file, JSON.stringify(project));
    run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline'], folder);
    expect(Number(run('du', ['-sb', 'node_modules'], folder).split('\t')[0])).toBeLessThanOrEqual(MOST_BYTES);
    expect(run('npm', ['test'], folder)).toMatch(/pass 1\b/);
  });
});
