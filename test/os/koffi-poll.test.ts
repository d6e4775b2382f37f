// What we rely on and koffi does not document; each in a process of its own, for some of it ends one.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const fixture = fileURLToPath(new URL('../fixtures/os-koffi-poll.js', import.meta.url));

function run(what: string): { status: number | null; signal: NodeJS.Signals | null; stdout: string } {
  const { status, signal, stdout } = spawnSync(process.execPath, ['--expose-gc', fixture, what], { encoding: 'utf8' });
  return { status, signal, stdout };
}

describe("koffi's poll", () => {
  it('goes on after garbage collections', () => expect(run('gc')).toMatchObject({ status: 0, stdout: 'heard 50\n' }));

  it('lets promises and ticks of its callback continue before long', () =>
    expect(run('promises')).toMatchObject({ status: 0, stdout: 'continued\n' }));

  it('does not disturb process.exit() in the main thread', () =>
    expect(run('exit')).toMatchObject({ status: 5, signal: null }));

  it('does not abort the process when a busy thread has closed its handle first, 10 times of 10', () => {
    for (let i = 0; i < 10; i++) expect(run('thread-exit')).toMatchObject({ status: 6, signal: null });
  }, 60_000);

  it('leaves memory that was pinned where it was', () =>
    expect(run('pin')).toMatchObject({ status: 0, stdout: 'unchanged\n' }));
});
