/** The processes that were started before the script ran in this manager. Runs in the manager. */
import { differencesOf, type FirstProcess, type PlannedFirst, type StartCommand } from '../ipc/first-processes.js';
import type { WorkerSpec } from './worker-handle.js';

export interface RefusedFirst {
  readonly role: PlannedFirst;
  readonly pid: number;
  readonly exitCode: number;
  readonly signal: NodeJS.Signals | null;
}

export interface FirstProcessesParts {
  /** How the process would be started now; undefined: it would not be. */
  commandOf(role: PlannedFirst): StartCommand | undefined;
  /** A process that is not what would be started is ended; `why` says what differs. */
  refused(role: PlannedFirst, why: readonly string[]): void;
  /** It is gone and reaped. */
  gone(refused: RefusedFirst): void;
}

/** Each is taken over once, by the seat it was started for, or ended. */
export class FirstProcesses {
  readonly #left: Map<number, FirstProcess>;

  constructor(started: readonly FirstProcess[]) {
    this.#left = new Map(started.map((first) => [first.role.id, first]));
  }

  /** Ends those that are not what would be started now. Resolves when they are gone: another of their ids may be started. */
  async keepFitting(parts: FirstProcessesParts): Promise<void> {
    const ends = [...this.#left.values()].flatMap((first) => {
      const now = parts.commandOf(first.role);
      const why = now === undefined ? ['it is not wanted'] : differencesOf(first.command, now);
      if (why.length === 0) return [];
      this.#left.delete(first.role.id);
      parts.refused(first.role, why);
      return [endOf(first).then((gone) => parts.gone(gone))];
    });
    await Promise.all(ends);
  }

  take({ id, lane, generation }: Pick<WorkerSpec, 'id' | 'lane' | 'generation'>): FirstProcess | undefined {
    const first = this.#left.get(id);
    if (first?.role.lane !== lane || first.role.generation !== generation) return undefined;
    this.#left.delete(id);
    return first;
  }

  /** Ends those that are not taken over: where the master is gone too, nobody else ends one that cannot end by itself. */
  kill(): void {
    for (const { process } of this.#left.values()) process.kill('SIGKILL');
    this.#left.clear();
  }
}

async function endOf({ process: child, role }: FirstProcess): Promise<RefusedFirst> {
  if (child.exitCode === null && child.signalCode === null) {
    const exited = new Promise((resolve) => child.once('exit', resolve));
    child.ref();
    child.kill('SIGKILL');
    await exited;
  }
  for (const stream of child.stdio) stream?.destroy();
  return { role, pid: child.pid ?? 0, exitCode: child.exitCode ?? 0, signal: child.signalCode };
}
