/** The manager process as the master holds it. A manager that dies is replaced; connections do not notice. */
import { constants } from 'node:os';
import { ControlChannel } from '../ipc/control-channel.js';
import { decodeManagerToMaster, type ManagerToMaster, type MasterToManager } from '../ipc/message.js';
import { spawnRole } from '../ipc/spawn-role.js';
import type { DoorbellDescriptors } from '../os/doorbell.js';

export interface ManagerEvents {
  message(message: ManagerToMaster): void;
  exit(exitCode: number, signal: number): void;
}

export class ManagerHandle {
  readonly pid: number;
  readonly #channel: ControlChannel<ManagerToMaster, MasterToManager>;
  readonly #kill: (signal: NodeJS.Signals) => void;

  constructor(title: string, region: number, bells: readonly DoorbellDescriptors[], events: ManagerEvents) {
    const child = spawnRole({ role: 'manager' }, title, region, bells);
    this.pid = child.process.pid ?? 0;
    this.#channel = new ControlChannel(child.control, decodeManagerToMaster);
    this.#channel.listen({ message: (message) => events.message(message), end: () => {} });
    this.#kill = (signal) => void child.process.kill(signal);
    child.process.once('exit', (code, signal) => {
      // What it said last is read first.
      setImmediate(() => {
        this.#channel.close();
        events.exit(code ?? 0, signal === null ? 0 : constants.signals[signal]);
      });
    });
    child.process.once('error', () => events.exit(1, 0));
  }

  send(message: MasterToManager): void {
    this.#channel.send(message);
  }

  kill(signal: NodeJS.Signals): void {
    this.#kill(signal);
  }
}
