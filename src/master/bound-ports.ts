/** The sockets of all listen ports, from binding to closing. Runs in the master. */
import { Activation } from '../listen/activation.js';
import { type BoundPort, bindPort, isDatagram, listenOn, unbindPort } from '../listen/bind-port.js';
import type { ResolvedListen } from '../options/index.js';
import { type DatagramDrops, droppedDatagrams, type Shortfall } from '../os/socket-buffers.js';
import type { Log } from '../util/log.js';

export class BoundPorts {
  readonly #listens: readonly ResolvedListen[];
  readonly #reusePort: boolean;
  readonly #log: Log;
  #bound: BoundPort[] = [];

  constructor(listens: readonly ResolvedListen[], reusePort: boolean, log: Log) {
    this.#listens = listens;
    this.#reusePort = reusePort;
    this.#log = log;
  }

  /** By listen port. */
  get all(): readonly BoundPort[] {
    return this.#bound;
  }

  /** What the kernel has dropped of each port of UDP. @param further sockets of a port, beside its own */
  drops(further: (index: number) => readonly number[]): DatagramDrops[] {
    return this.#bound.flatMap(({ type, port, descriptor }, index) => {
      if (type !== 'udp') return [];
      const sockets = [descriptor, ...further(index)];
      return [{ port, count: sockets.reduce((sum, socket) => sum + droppedDatagrams(socket), 0) }];
    });
  }

  /** By listen port; −1 for a stream. */
  get datagramDescriptors(): number[] {
    return this.#bound.map((bound) => (isDatagram(bound) ? bound.descriptor : -1));
  }

  /** @throws ServerError ERR_PORT_IN_USE, ERR_PORT_PRIVILEGED, ERR_LISTEN; ports bound before it stay bound */
  async bind(): Promise<void> {
    const activation = Activation.take();
    for (const listen of this.#listens) {
      const bound = await bindPort(listen, this.#reusePort, activation);
      this.#bound.push(bound);
      for (const short of bound.short ?? []) this.#tellShort(bound, short);
    }
    activation.refuseRest(this.#listens);
  }

  #tellShort({ port }: BoundPort, { option, wanted, granted }: Shortfall): void {
    const limit = option === 'kernelReceiveBufferSize' ? 'net.core.rmem_max' : 'net.core.wmem_max';
    this.#log.warn(`the kernel gives less than ${option} asks for: raise ${limit} by sysctl`, {
      port,
      wanted,
      granted,
    });
  }

  /** Clients can connect. */
  listen(): void {
    for (const bound of this.#bound) if (!isDatagram(bound)) listenOn(bound);
  }

  /** No client can connect any more. */
  closeStreams(): void {
    for (const bound of this.#bound) if (!isDatagram(bound)) unbindPort(bound);
  }

  /** Comes last: until now workers have answered by them. */
  closeDatagrams(): void {
    for (const bound of this.#bound) if (isDatagram(bound)) unbindPort(bound);
  }
}
