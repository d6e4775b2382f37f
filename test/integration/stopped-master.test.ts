import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { CommandLine, endCommandLines, type Result } from '../helpers/command-line.js';
import { PACE } from '../helpers/deadline.js';
import { poll } from '../helpers/server-process.js';

const stopped = new Set<number>();
afterEach(async () => {
  for (const pid of stopped) process.kill(pid, 'SIGCONT');
  stopped.clear();
  await endCommandLines();
});

function stop(pid: number): void {
  stopped.add(pid);
  process.kill(pid, 'SIGSTOP');
}

function goOn(pid: number): void {
  stopped.delete(pid);
  process.kill(pid, 'SIGCONT');
}

const ANSWER_MS = 10_000;
const WITHIN_MS = ANSWER_MS + 10_000 * PACE;

async function timed(what: Promise<Result>): Promise<Result & { readonly ms: number }> {
  const begin = performance.now();
  return { ...(await what), ms: performance.now() - begin };
}

describe.each(['process', 'base'])('a master that is stopped (%s)', (mode) => {
  it('keeps no command waiting, and is given none that it would carry out later', async () => {
    const line = new CommandLine();
    const { pid } = await line.daemon(
      '--mode',
      mode,
      '--log-file',
      'it.log',
      ...(mode === 'base' ? [] : ['--max-worker-num', '4']),
    );
    const before = await line.report();
    stop(pid);
    const commands = [
      ...[
        ['status'],
        ['workers'],
        ['scale', '4'],
        ['reload'],
        ['reload', '--all-nodes'],
        ['stop'],
        ['stop', '--force'],
      ],
      ...[['restart'], ['worker', 'stop', '0'], ['connections'], ['close', '1'], ['rooms'], ['publish', 'a', 'b']],
      ...[['nodes'], ['dashboard'], ['top', '--count', '1'], ['logs', '--reopen'], ['log-level', 'debug']],
      ...[['profile', '0', '--seconds', '1'], ['call', 'greet'], ['call', 'greet', '--timeout', '3600'], ['call']],
    ];
    for (let at = 0; at < commands.length; at += 11) {
      const some = commands.slice(at, at + 11);
      const results = await Promise.all(some.map((words) => timed(line.run(...words))));
      for (const [n, { code, stderr, stdout, ms }] of results.entries()) {
        expect([some[n], code, stdout]).toEqual([some[n], 5, '']);
        expect(stderr).toMatch(/it is stopped, by SIGSTOP.*kill -CONT.*\(ERR_MASTER_SILENT\)\n$/s);
        expect(ms).toBeLessThan(WITHIN_MS);
      }
    }
    expect(await timed(line.run('call', 'greet', '--timeout', '1'))).toMatchObject({ code: 5 });
    expect(await line.must('list')).toMatch(/does not answer/);
    goOn(pid);
    const after = await line.report();
    expect([after.status.generation, after.status.workerNum]).toEqual([0, 2]);
    expect(after.workers.map((worker) => worker.pid)).toEqual(before.workers.map((worker) => worker.pid));
  });

  it('while it carries out a command keeps nobody waiting for its end', async () => {
    const line = new CommandLine();
    const { pid } = await line.daemon('--mode', mode);
    writeFileSync(join(line.folder, 'hold'), '');
    const reload = timed(line.run('reload'));
    await poll('the reload is under way', () => existsSync(join(line.folder, 'held')));
    stop(pid);
    const { code, stderr, ms } = await reload;
    expect(code).toBe(5);
    expect(stderr).toMatch(/it is stopped.*\(ERR_MASTER_SILENT\)/s);
    expect(ms).toBeLessThan(2 * WITHIN_MS);
    rmSync(join(line.folder, 'hold'));
    goOn(pid);
    await poll('the reload is done', async () => (await line.report()).status.generation === 1);
  });
});
