/** Every template in both languages, with the packages of this checkout: each project's own test passes. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PROJECTS, Projects } from '../helpers/create.js';
import { hasRedis, startRedis } from '../helpers/redis.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PACKAGES = ['hono', 'express', 'fastify', 'ioredis', 'typescript', '@types/node', '@types/express'];

const projects = new Projects();

beforeAll(() => {
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
});

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
    await test(projects.generate(template, language));
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
