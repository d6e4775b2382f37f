/** The command line in this process, and a server that only says what it was asked. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { vi } from 'vitest';
import { CliError } from '../../src/cli/exit.js';
import { withExplicitValues } from '../../src/cli/option-flags.js';
import { createProgram } from '../../src/cli/program.js';
import { CommandTable } from '../../src/control/commands.js';
import type { Controlled, NamedWorkerInfo, ServerStatus } from '../../src/control/controlled.js';
import { makeRunDir, type RunEntry, socketIn, writeEntry } from '../../src/control/run-dir.js';
import { ControlServer } from '../../src/control/server.js';
import type { ServerStats } from '../../src/control/stats.js';
import { processStartTime } from '../../src/os/other-process.js';
import { monotonicMs } from '../../src/util/clock.js';
import { Log } from '../../src/util/log.js';

export const STATUS = {
  ...{ name: 'web', state: 'running', masterPid: 1234, managerPid: 1235, uptimeMs: 65_000, crashLoops: [], admin: '' },
  ...{ listening: ['127.0.0.1:80'], script: '/srv/app.js', version: '1.0', node: 'v20', mode: 'process', ready: true },
  ...{ workerNum: 4, generation: 2, logLevel: 'info', logFile: '', isDaemon: false, pidFile: '' },
  traffic: { unit: 'packets', perSecond: 12.4, latencyP50: 0.0001, latencyP99: 0.002, latencyMax: 0.131 },
} as unknown as ServerStatus;

export const STATS = {
  ...{ idleWorkerNum: 3, workerRestarts: 1, connectionNum: 5, acceptCount: 12_345, requestCount: 100 },
  ...{ responseCount: 99, callbackErrors: 2, receivedBytes: 2048, sentBytes: 10, bufferedBytes: 0 },
  ...{
    taskWorkerNum: 0,
    failedReloadCount: 0,
    filesServedCount: 7,
    refusedCount: 8,
    timedOutCount: 9,
    serverErrorCount: 6,
  },
  ...{ idleTaskWorkerNum: 1, tasks: { queued: 1, running: 2, done: 3, failed: 4, timedOut: 5 } },
} as unknown as ServerStats;

export const WORKER = {
  ...{ id: 0, role: 'worker', pid: 77, state: 'idle', uptimeMs: 5000, connections: 3, requestCount: 20_000 },
  ...{
    latencyP50: 0.001,
    latencyP99: 0.002,
    latencyMax: 0.004,
    loopUtilisation: 0.256,
    residentBytes: 50 * 1024 ** 2,
    restarts: 0,
  },
  loopStandsMs: 0,
} as unknown as NamedWorkerInfo;

export interface Ran {
  readonly out: string;
  readonly err: string;
  /** What the program set itself. */
  readonly exitCode: unknown;
  /** Code and message of what was thrown for the user; anything else as it is. */
  readonly failure: unknown;
}

/** Runs `tswoole` with these words, in this process. */
export async function run(...words: readonly string[]): Promise<Ran> {
  const [out, err] = [collect(process.stdout), collect(process.stderr)];
  let failure: unknown;
  let exitCode: unknown;
  process.exitCode = undefined;
  try {
    await createProgram().parseAsync(withExplicitValues(words), { from: 'user' });
  } catch (error) {
    failure = error instanceof CliError ? [error.exitCode, error.message] : error;
  } finally {
    exitCode = process.exitCode;
    process.exitCode = undefined;
    out.restore();
    err.restore();
  }
  return { out: out.text(), err: err.text(), exitCode, failure };
}

/** What is written to a standard stream, until `restore`. */
export function collect(stream: NodeJS.WriteStream): { text(): string; restore(): void } {
  const pieces: string[] = [];
  const spy = vi.spyOn(stream, 'write').mockImplementation((piece) => {
    pieces.push(String(piece));
    return true;
  });
  return { text: () => pieces.join(''), restore: () => spy.mockRestore() };
}

export type Call = readonly [name: string, ...given: readonly unknown[]];

/** A run directory with servers in it. */
export class CliWorld {
  readonly runDir = mkdtempSync(join(tmpdir(), 'cli-'));
  /** What servers were asked to do. */
  readonly calls: Call[] = [];
  readonly #controls: ControlServer[] = [];

  constructor() {
    makeRunDir(this.runDir);
  }

  /** Runs `tswoole` over this run directory. */
  run(...words: readonly string[]): Promise<Ran> {
    return run(...words, '--run-dir', this.runDir);
  }

  note(pid: number, more: Partial<RunEntry> = {}): void {
    writeEntry(this.runDir, {
      ...{ pid, processStart: processStartTime(pid) ?? '', name: 'web', version: '0', mode: 'process' },
      ...{ startedAt: 0, startedAtMonotonic: monotonicMs() - 5000, socket: socketIn(this.runDir, pid) },
      ...{ pidFile: '', logFile: '', isDaemon: false, cwd: '/', command: ['node', 'app.js'], flags: {} },
      ...more,
    });
  }

  /** A server that answers as `does` says. It notes every command that changes something. */
  async serve(does: Partial<Controlled> = {}, pid = process.pid, more: Partial<RunEntry> = {}): Promise<void> {
    const noted = <A extends unknown[], R>(name: string, result: R) => {
      return (...given: A): R => {
        this.calls.push([name, ...given]);
        return result;
      };
    };
    const server: Partial<Controlled> = {
      ...{ status: () => STATUS, stats: () => STATS, workers: () => [WORKER], metrics: () => [] },
      connections: noted('connections', { connections: [], next: 0 }),
      reload: noted('reload', Promise.resolve({ generation: 3 })),
      shutdown: noted('shutdown', undefined),
      stopWorker: noted('stopWorker', { pid: 77 }),
      closeConnection: noted('closeConnection', undefined),
      scale: noted('scale', Promise.resolve({ workerNum: 6 })),
      profile: noted('profile', Promise.resolve({ path: '' })),
      setLogLevel: noted('setLogLevel', undefined),
      reopenLogs: noted('reopenLogs', undefined),
      ...does,
    };
    const table = new CommandTable(server as Controlled, new Map([['echo', (given): unknown => given]]));
    const control = new ControlServer(table, new Log({ role: 'master', level: 'silent' }));
    await control.listen(socketIn(this.runDir, pid));
    this.#controls.push(control);
    this.note(pid, more);
  }

  /** Every server leaves. */
  async hangUp(): Promise<void> {
    await Promise.all(this.#controls.splice(0).map((control) => control.close()));
  }

  async end(): Promise<void> {
    await this.hangUp();
    rmSync(this.runDir, { recursive: true });
  }
}
