// A copy of the tree, and the process in which its tests run.
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from './source.mjs';

const COPIED = ['src', 'test', 'scripts', 'examples', 'docs', 'dist', 'build', '.cache', 'package.json'];
const COPIED_TOO = ['package-lock.json', 'vitest.config.ts', 'tsconfig.json', 'tsconfig.base.json', 'README.md'];
/** A vitest that begins, or forgets a file, may take so long. */
export const GRACE_MS = 5000;

export function makeCopy() {
  const copy = mkdtempSync(join(tmpdir(), 'mutants-'));
  for (const name of [...COPIED, ...COPIED_TOO]) {
    if (existsSync(join(root, name))) cpSync(join(root, name), join(copy, name), { recursive: true });
  }
  mkdirSync(join(copy, 'tmp'));
  mkdirSync(join(copy, 'node_modules')); // a folder of links: vite writes beside the packages
  for (const name of readdirSync(join(root, 'node_modules'))) {
    if (!/^\.vite/.test(name)) symlinkSync(join(root, 'node_modules', name), join(copy, 'node_modules', name));
  }
  return copy;
}

/** A mutant may loop for ever, signal any process or remove any file: where the system can, vitest runs behind walls. */
const WALLS = [
  'unshare --mount --pid --fork --kill-child --mount-proc sh -c',
  'mount --bind "$0" "$0" && mount -o remount,bind,ro / && cd "$0" && exec "$@"',
];

/** Holds one vitest that stays warm; one that does not answer in time is killed with all it has started. */
export class Runner {
  #child;
  #walled;

  constructor(copy) {
    this.copy = copy;
    process.once('exit', () => {
      this.stop();
      rmSync(copy, { recursive: true, force: true, maxRetries: 5 });
    });
    this.#walled = spawnSync(...this.#command(['true'])).status === 0;
  }

  get boundary() {
    return this.#walled ? 'in namespaces of their own' : 'in a process group of their own';
  }

  /** Puts a text in the place of a file of `src`. */
  write({ file }, text) {
    writeFileSync(join(this.copy, file), text);
  }

  /** `changed` are files of the copy that were written since the last run. */
  async run(test, changed, deadlineMs) {
    this.#child ??= this.#spawn();
    const begin = performance.now();
    const { outcome, why } = await this.#ask({ test, changed }, deadlineMs);
    return { outcome, why, ms: performance.now() - begin };
  }

  async forget(file) {
    if (this.#child !== undefined) await this.#ask({ changed: [file] }, GRACE_MS);
  }

  stop() {
    const child = this.#child;
    this.#child = undefined;
    if (child?.pid === undefined) return;
    child.removeAllListeners();
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      // it has ended by itself
    }
  }

  #ask(question, deadlineMs) {
    const child = this.#child;
    return new Promise((resolve) => {
      const settle = (answer) => {
        clearTimeout(timer);
        child.removeAllListeners();
        if (answer.outcome === 'did not end') this.stop();
        resolve(answer);
      };
      const timer = setTimeout(settle, deadlineMs + (child.ready ? 0 : GRACE_MS), { outcome: 'did not end' });
      child.once('message', (answer) => {
        child.ready = true;
        settle(answer);
      });
      child.once('exit', () => {
        this.#child = undefined;
        settle({ outcome: 'failed', why: 'vitest itself ended' });
      });
      child.send(question);
    });
  }

  #spawn() {
    const [program, args] = this.#walled ? this.#command(SERVE) : [SERVE[0], SERVE.slice(1)];
    const env = { ...process.env, TMPDIR: join(this.copy, 'tmp') };
    const stdio = ['ignore', 'ignore', 'ignore', 'ipc'];
    return spawn(program, args, { cwd: this.copy, env, stdio, detached: true });
  }

  #command(inner) {
    const [program, ...args] = WALLS[0].split(' ');
    return [program, [...args, WALLS[1], this.copy, ...inner]];
  }
}

const SERVE = [process.execPath, join('scripts', 'mutants', 'serve.mjs')];
