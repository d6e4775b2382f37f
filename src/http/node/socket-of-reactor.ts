import { Duplex } from 'node:stream';

/**
 * Looks like a socket of Node: the real one is the reactor's, with its options, and keeps the process alive by
 * other means. Runs in a worker.
 */
export abstract class SocketOfReactor extends Duplex {
  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }
}
