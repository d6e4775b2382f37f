/**
 * Every template in both languages: each project's own test passes. With the packages of this checkout; where
 * TSWOOLE_TEST_INSTALL is 1, with the tarball and what the registry gives for it and for each project (`npm run test:nodes`).
 */
import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dockerfileCommand, PROJECTS, Projects } from '../helpers/create.js';
import { hasRedis, startRedis } from '../helpers/redis.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PACKAGES = ['hono', 'express', 'fastify', 'ioredis', 'typescript', '@types/node', '@types/express'];

const projects = new Projects();

beforeAll(() => (process.env['TSWOOLE_TEST_INSTALL'] === '1' ? install() : link()));

function link(): void {
  const links = PACKAGES.map((name): [string, string] => [name, join(ROOT, 'node_modules', name)]);
  links.push(
    ['tswoole', ROOT],
    ['.bin/tsc', '../typescript/bin/tsc'],
    ['.bin/tswoole', '../tswoole/dist/cli/main.cjs'],
  );
  for (const [name, target] of links) {
    const path = join(projects.folder, 'node_modules', name);
    mkdirSync(dirname(path), { recursive: true });
    symlinkSync(target, path);
  }
}

/** Once for all projects, which lie below: what they need, in the versions that they name. */
function install(): void {
  const needs = PROJECTS.map(({ template, language }) => {
    projects.generate(template, language);
    const { dependencies, devDependencies } = JSON.parse(projects.read(`${template}-${language}/package.json`)) as {
      readonly [kind: string]: Readonly<Record<string, string>> | undefined;
    };
    return { ...dependencies, ...devDependencies };
  });
  const tarball = run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', projects.folder], ROOT);
  const dependencies = Object.assign({}, ...needs, { tswoole: `file:${tarball.trim()}` }) as Record<string, string>;
  writeFileSync(join(projects.folder, 'package.json'), JSON.stringify({ private: true, dependencies }));
  run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline'], projects.folder);
}

function run(command: string, args: readonly string[], cwd: string): string {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8' });
  expect(status, `${command} ${args.join(' ')}: ${stdout}${stderr}`).toBe(0);
  return stdout;
}

afterAll(() => projects.remove());

async function test(folder: string, env: Record<string, string> = {}): Promise<void> {
  const child = spawn('npm', ['test'], {
    cwd: folder,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [out, errors, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  expect(code, `${out}${errors}`).toBe(0);
}

describe('a generated project', () => {
  it.each(PROJECTS)('of $template in $language passes its test', async ({ template, language }) => {
    await test(projects.generate(template, language, '--force'));
  });

  it.each(['tcp', 'http'])('of %s is started and found healthy by the commands of its Dockerfile', async (template) => {
    const folder = projects.generate(template, 'js', '--force');
    symlinkSync(join(projects.folder, 'node_modules'), join(folder, 'node_modules'));
    const [dockerfile, env] = [
      projects.read(`${template}-js/Dockerfile`),
      { ...process.env, PORT: '0', TSWOOLE_OPTION_HOST: '127.0.0.1', TSWOOLE_OPTION_RUN_DIR: join(folder, 'run') },
    ];
    const spawnAs = (instruction: 'CMD' | 'HEALTHCHECK'): ChildProcessByStdio<null, Readable, null> => {
      const [program = '', ...args] = dockerfileCommand(dockerfile, instruction);
      return spawn(program, args, { cwd: folder, env, stdio: ['ignore', 'pipe', 'ignore'] });
    };
    const health = async (): Promise<unknown> => {
      const child = spawnAs('HEALTHCHECK');
      const [said, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
      return [code, said];
    };
    expect(await health()).toEqual([3, '']);
    const server = spawnAs('CMD');
    const ended = once(server, 'exit');
    for await (const line of createInterface({ input: server.stdout })) if (line.startsWith('listening on')) break;
    expect(await health()).toEqual([0, expect.stringMatching(/running, pid \d+/)]);
    server.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
    expect(await health()).toEqual([3, '']);
  });

  it.skipIf(!hasRedis)('of cluster is heard from node to node where a Redis is', async () => {
    const redis = await startRedis();
    try {
      await test(projects.generate('cluster', 'js', '--force'), { REDIS_URL: redis.url });
    } finally {
      await redis.stop();
    }
  });
});
