/** BASE mode: the workers accept and own the connections. Runs in the process that starts the server. */
import type { OwnDescriptors } from '../ipc/inheritance.js';
import { type BoundPort, bindPort, isDatagram, type ListeningPort, listenOn } from '../listen/bind-port.js';
import type { ConnectionOwners } from '../master/connection-owners.js';
import type { OwnerParts } from '../master/mode.js';
import { createMessagePair } from '../os/descriptor-passing.js';
import { closeDescriptor } from '../os/socket.js';

export class WorkersAsOwners implements ConnectionOwners {
  readonly #parts: OwnerParts;
  #ports: readonly ListeningPort[] = [];
  /**
   * With `reusePort`: by worker, then by port, the sockets that only this worker has; the first worker has the
   * ports themselves.
   */
  #further: (BoundPort | undefined)[][] = [];
  #pairs: [number, number][] = [];

  constructor(parts: OwnerParts) {
    this.#parts = parts;
  }

  async start(ports: readonly ListeningPort[]): Promise<void> {
    const { options } = this.#parts;
    this.#ports = ports;
    this.#pairs = Array.from({ length: options.workerNum }, createMessagePair);
    if (!options.reusePort) return;
    for (let worker = 1; worker < options.workerNum; worker++) this.#further[worker] = await this.#bindAll();
  }

  /** The manager waits for the workers. */
  async ready(): Promise<void> {}

  /** The descriptors that a process of this worker id is started with. */
  ownOf(worker: number): OwnDescriptors {
    const { reusePort } = this.#parts.options;
    const [give, take] = this.#pairs[worker] ?? [-1, -1];
    const listeners = this.#ports.map((port, index) => {
      const own = this.#further[worker]?.[index]?.descriptor;
      if (own !== undefined) return own;
      // The datagrams of a socket that all workers hold go to one of them: that keeps their order.
      return isDatagram(port) && worker > 0 && !reusePort ? -1 : port.descriptor;
    });
    return { listeners, give, take };
  }

  furtherSockets(port: number): readonly number[] {
    return this.#further.flatMap((sockets) => sockets[port]?.descriptor ?? []);
  }

  accept(): void {
    const { region, notifyManager } = this.#parts;
    for (const bound of this.#allFurther()) if (!isDatagram(bound)) listenOn(bound);
    region.accepting = true;
    notifyManager({ type: 'accept' });
  }

  stopAccepting(): void {
    this.#parts.region.accepting = false;
    for (const bound of this.#allFurther()) closeDescriptor(bound.descriptor);
    this.#further = [];
  }

  /** Each worker does it when the manager asks it to settle. */
  async quiesce(): Promise<void> {}

  closeAll(deadlineMs: number): Promise<void> {
    return this.#parts.closeByManager(deadlineMs);
  }

  /** The new workers read the certificates. */
  async renew(): Promise<undefined> {}

  // The number of workers of BASE mode does not change.
  useWorkers(): void {}

  async withhold(): Promise<void> {}

  async rebind(): Promise<void> {}

  async stop(): Promise<void> {
    for (const end of this.#pairs.flat()) closeDescriptor(end);
    this.#pairs = [];
  }

  stopAtOnce(): void {}

  async #bindAll(): Promise<(BoundPort | undefined)[]> {
    const { listens, region } = this.#parts;
    const bound: (BoundPort | undefined)[] = [];
    for (const [index, listen] of listens.entries()) {
      const port = region.ports[index] ?? listen.port;
      bound.push(listen.path === '' ? await bindPort({ ...listen, port }, true) : undefined);
    }
    return bound;
  }

  #allFurther(): BoundPort[] {
    return this.#further.flat().filter((bound) => bound !== undefined);
  }
}
