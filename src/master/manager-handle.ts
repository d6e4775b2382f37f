/** The manager process as the master holds it. A manager that dies is replaced; connections do not notice. */
import type { ChildOutput } from '../ipc/child-output.js';
import { ControlChannel } from '../ipc/control-channel.js';
import type { SharedDescriptors } from '../ipc/inheritance.js';
import { decodeManagerToMaster, type ManagerToMaster, type MasterToManager } from '../ipc/message.js';
import { type FirstSet, spawnManager, whenEnded } from '../ipc/spawn-role.js';

export interface ManagerEvents {
  message(message: ManagerToMaster): void;
  /** @param wrote to standard error before it was ready: the end of it */
  exit(exitCode: number, signal: number, wrote?: string): void;
}

export interface ManagerStart {
  readonly output?: ChildOutput | undefined;
  /** What it starts before it runs the script. */
  readonly first?: FirstSet | undefined;
}

export class ManagerHandle {
  readonly pid: number;
  readonly #channel: ControlChannel<ManagerToMaster, MasterToManager>;
  readonly #kill: (signal: NodeJS.Signals) => void;

  constructor(title: string, shared: SharedDescriptors, events: ManagerEvents, { output, first }: ManagerStart = {}) {
    const child = spawnManager(title, shared, output, first);
    this.pid = child.process.pid ?? 0;
    this.#channel = new ControlChannel(child.control, decodeManagerToMaster);
    this.#channel.listen({ message: (message) => events.message(message), end: () => {} });
    this.#kill = (signal) => void child.process.kill(signal);
    whenEnded(child, (exitCode, signal, wrote) => {
      this.#channel.close();
      events.exit(exitCode, signal, wrote);
    });
  }

  send(message: MasterToManager): void {
    this.#channel.send(message);
  }

  kill(signal: NodeJS.Signals): void {
    this.#kill(signal);
  }
}
