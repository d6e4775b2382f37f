/** The protocols of a worker. A new one is a file beside this one and a line in `builtIn`. Runs in a worker. */
import { Event, typeOf } from '../../ipc/frame.js';
import type { RingReader } from '../../ipc/ring.js';
import type { Log } from '../../util/log.js';
import type { UserConnection } from '../callbacks.js';
import type { FrameService, ServiceFactory } from '../service.js';
import { DatagramService } from './datagram.js';
import type { WorkerHost } from './host.js';
import { StreamService } from './stream.js';

function builtIn<C extends UserConnection>(host: WorkerHost<C>): FrameService[] {
  return [new StreamService(host), new DatagramService(host)];
}

/** @param others passed in by the code that starts the process */
export function createServices<C extends UserConnection>(
  host: WorkerHost<C>,
  others: readonly ServiceFactory[],
): FrameService[] {
  return [...builtIn(host), ...others.map((create) => create(host))];
}

/** A frame's type is one byte. */
const TYPES = 256;

/** @returns by type of frame, for every possible type @throws Error where two services claim one type */
export function byType(services: readonly FrameService[], log: Log): FrameService[] {
  const unknown = new UnknownFrames(log);
  const table = Array.from({ length: TYPES }, (): FrameService => unknown);
  for (const service of services) {
    for (const type of service.types) {
      if (type === Event.close || table[type] !== unknown) throw new Error(`frames of type ${type} have a service`);
      table[type] = service;
    }
  }
  return table;
}

/** Takes frames that no protocol here knows: passes over them. */
class UnknownFrames implements FrameService<number> {
  readonly types = [];
  readonly isIncomplete = false;
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  take(ring: RingReader): number {
    return typeOf(ring.word);
  }

  deliver(type: number): boolean {
    this.#log.error('a reactor sent an event this worker does not know', { type });
    return false;
  }

  connectionEnded(): void {}

  dismiss(_deadlineMs: number, done: () => void): void {
    done();
  }

  drain(): void {}

  poll(): void {}
}
