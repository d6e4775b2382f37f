/** The sockets of all listen ports, from binding to closing. Runs in the master. */
import { Activation } from '../listen/activation.js';
import { type BoundPort, bindPort, isDatagram, listenOn, unbindPort } from '../listen/bind-port.js';
import type { ResolvedListen } from '../options/index.js';

export class BoundPorts {
  readonly #listens: readonly ResolvedListen[];
  readonly #reusePort: boolean;
  #bound: BoundPort[] = [];

  constructor(listens: readonly ResolvedListen[], reusePort: boolean) {
    this.#listens = listens;
    this.#reusePort = reusePort;
  }

  /** By listen port. */
  get all(): readonly BoundPort[] {
    return this.#bound;
  }

  /** By listen port; −1 for a stream. */
  get datagramDescriptors(): number[] {
    return this.#bound.map((bound) => (isDatagram(bound) ? bound.descriptor : -1));
  }

  /** @throws ServerError ERR_PORT_IN_USE, ERR_PORT_PRIVILEGED, ERR_LISTEN; ports bound before it stay bound */
  async bind(): Promise<void> {
    const activation = Activation.take();
    for (const listen of this.#listens) {
      this.#bound.push(await bindPort(listen, this.#reusePort, activation));
    }
    activation.refuseRest(this.#listens);
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
