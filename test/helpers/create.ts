/** `create-tswoole`, run as npm runs it, in a folder of its own. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PROGRAM = join(ROOT, 'create/bin.mjs');

export const TEMPLATES = ['tcp', 'http', 'websocket-chat', 'hono', 'express', 'fastify', 'tasks', 'cluster'] as const;
export const PROJECTS = TEMPLATES.flatMap((template) => [
  { template, language: 'ts' },
  { template, language: 'js' },
]);

export class Projects {
  readonly folder = realpathSync(mkdtempSync(join(tmpdir(), 'create-')));

  /** Nothing is asked: its input is no terminal. */
  create(...args: readonly string[]): { status: number | null; stdout: string; stderr: string } {
    const { npm_config_user_agent: _, ...env } = process.env;
    const { status, stdout, stderr } = spawnSync(process.execPath, [PROGRAM, ...args], {
      cwd: this.folder,
      env,
      encoding: 'utf8',
      input: '',
    });
    return { status, stdout, stderr };
  }

  /** A project, its packages not installed. @returns its folder */
  generate(template: string, language: string, ...args: readonly string[]): string {
    const name = `${template}-${language}`;
    const { status, stderr } = this.create(
      name,
      '--template',
      template,
      `--${language}`,
      '--no-install',
      '--no-git',
      ...args,
    );
    if (status !== 0) throw new Error(`${name}: ${stderr}`);
    return join(this.folder, name);
  }

  read(path: string): string {
    return readFileSync(join(this.folder, path), 'utf8');
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }
}

/** The words that follow an instruction of a Dockerfile in its exec form. */
export function dockerfileCommand(dockerfile: string, instruction: 'CMD' | 'HEALTHCHECK'): string[] {
  const line = dockerfile.split('\n').find((text) => text.startsWith(`${instruction} `));
  const [words = '[]'] = /\[.*\]$/.exec(line ?? '') ?? [];
  return JSON.parse(words) as string[];
}
