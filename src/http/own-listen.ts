/**
 * An app that calls `listen()` itself. Here the server listens for it: the app gets no port of its own, and its
 * `http.Server` answers the requests. Runs in a worker, before the app is loaded.
 */
import { Server } from 'node:http';
import { type AddressInfo, Server as NetServer } from 'node:net';
import { deferred } from '../util/deferred.js';
import { within } from '../util/within.js';
import type { AppAddress } from './app-address.js';

export class OwnListen {
  readonly #called = deferred<Server | undefined>();
  readonly #refused = deferred<void>();
  #encrypts = false;

  /** @param addressOfServer where clients connect; the app sees it as its own address */
  constructor(addressOfServer: () => AddressInfo) {
    replaceListen((server, args) => {
      const callback = args.at(-1);
      if (typeof callback === 'function') server.once('listening', callback as () => void);
      server.address = addressOfServer;
      this.#called.resolve(server);
      process.nextTick(() => server.emit('listening'));
    });
    refuseTls(() => {
      this.#encrypts = true;
      this.#refused.resolve();
      this.#called.resolve(undefined);
    });
  }

  /** The app has let a server with TLS listen (https, http2, tls), which each worker would have to do for itself. It does not. */
  get encrypts(): boolean {
    return this.#encrypts;
  }

  /** Settles when it has. An app that waits at its top until that server listens is not loaded before, so never. */
  get refused(): Promise<void> {
    return this.#refused.promise;
  }

  /**
   * Waits for the first server that wants to listen. Many apps listen only when their database has answered.
   * @returns undefined: none until then, or one with TLS
   */
  within(ms: number): Promise<Server | undefined> {
    return within(this.#called.promise, ms);
  }
}

/**
 * Records where the app wants to listen, the first time it does. It does not listen: this process only reports. The wait for
 * it does not keep the process alive.
 */
export function listenArguments(): {
  readonly called: Promise<AppAddress>;
  within(ms: number): Promise<AppAddress | undefined>;
} {
  const called = deferred<AppAddress>();
  replaceListen((_, args) => called.resolve(addressOf(args)));
  refuseTls(() => called.resolve({})); // a worker will report that
  return { called: called.promise, within: (ms) => within(called.promise, ms, true) };
}

/** A server of node:http has a `listen` of its own here; those that encrypt have that of node:net. */
function refuseTls(refused: () => void): void {
  const { listen } = NetServer.prototype;
  NetServer.prototype.listen = function listenUnlessTls(this: NetServer, ...args: never[]): NetServer {
    if (typeof Reflect.get(this, 'setSecureContext') !== 'function') return Reflect.apply(listen, this, args);
    refused();
    return this;
  };
}

function replaceListen(listen: (server: Server, args: readonly unknown[]) => void): void {
  Server.prototype.listen = function listenElsewhere(this: Server, ...args: unknown[]): Server {
    listen(this, args);
    return this;
  };
}

/** Node listens at every address where none is named. */
const EVERY_ADDRESS = '::';

/** The shapes of `net.Server.listen()`. A path or a handle is not an address that clients of the server know. */
function addressOf([first, second]: readonly unknown[]): AppAddress {
  if (typeof first === 'object' && first !== null) {
    const { port, host } = first as { port?: unknown; host?: unknown };
    return port === undefined ? {} : { ...portOf(port), host: hostOf(host) };
  }
  const { port } = portOf(first);
  return port === undefined ? {} : { port, host: hostOf(second) };
}

function portOf(value: unknown): { port?: number } {
  const port = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  const isPort = typeof port === 'number' && Number.isInteger(port) && port >= 0 && port <= 65_535;
  return isPort ? { port } : {};
}

function hostOf(value: unknown): string {
  return typeof value === 'string' && value !== '' ? value : EVERY_ADDRESS;
}
