/** Connections over the loopback address, of which our end is a descriptor as the accepting thread would hand it over. */
import { connect, type Socket } from 'node:net';
import type { Arrival } from '../../src/ipc/arrival.js';
import { AF_INET } from '../../src/os/constants.js';
import { accept, bindTcp, closeDescriptor, listen, localAddress } from '../../src/os/socket.js';
import { poll } from './server-process.js';

const SOCKADDR_BYTES = 28;
const LOOPBACK = Buffer.from([127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);

export class Loopback {
  readonly #listener = bindTcp('127.0.0.1', 0);
  readonly #sockaddr = Buffer.alloc(SOCKADDR_BYTES);

  constructor() {
    listen(this.#listener, 64);
  }

  get port(): number {
    return localAddress(this.#listener).port;
  }

  /** A client whose errors are its own. */
  connect(): Socket {
    return connect({ port: this.port, host: '127.0.0.1', allowHalfOpen: true }).on('error', () => {});
  }

  /** The descriptor of the client that has connected first. */
  async accept(): Promise<number> {
    return await poll('a client is accepted', () => {
      const descriptor = accept(this.#listener, this.#sockaddr);
      return descriptor < 0 ? undefined : descriptor;
    });
  }

  async arrival(): Promise<Arrival> {
    const descriptor = await this.accept();
    return { descriptor, portIndex: 0, family: AF_INET, address: Buffer.from(LOOPBACK), remotePort: 1 };
  }

  close(): void {
    closeDescriptor(this.#listener);
  }
}
