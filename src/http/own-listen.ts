/**
 * An app that calls `listen()` itself. Here the server listens for it: the app gets no port of its own, and the
 * `http.Server` it wanted one for is what answers the requests. Runs in a worker, before the app is loaded.
 */
import { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { deferred } from '../util/deferred.js';
import { within } from '../util/within.js';

export class OwnListen {
  readonly #called = deferred<Server>();

  /** @param addressOfServer where clients come in; the app is told it as its own address */
  constructor(addressOfServer: () => AddressInfo) {
    const called = (server: Server): void => this.#called.resolve(server);
    Server.prototype.listen = function listen(this: Server, ...args: unknown[]): Server {
      const callback = args.at(-1);
      if (typeof callback === 'function') this.once('listening', callback as () => void);
      this.address = addressOfServer;
      called(this);
      process.nextTick(() => this.emit('listening'));
      return this;
    };
  }

  /**
   * Which one wanted to listen, the first of several. Many apps listen only when their database has answered.
   * @returns undefined: none until then
   */
  within(ms: number): Promise<Server | undefined> {
    return within(this.#called.promise, ms);
  }
}
