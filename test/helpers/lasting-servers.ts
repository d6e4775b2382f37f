import { afterAll, afterEach } from 'vitest';
import { keepRunning, type ServerProcess } from './server-process.js';

/**
 * Servers that the tests of a block share, by name, and what they stand on. They end after the last test of the block, and
 * after a test that has failed: the next one begins with others. `endServers` leaves them alone.
 */
export class LastingServers {
  readonly #servers = new Map<string, Promise<ServerProcess>>();
  readonly #after: () => unknown;

  /** @param after ends what the servers stand on, such as the engine of a cluster */
  constructor(after: () => unknown = () => {}) {
    this.#after = after;
    afterEach(async ({ task }) => {
      if (task.result?.state === 'fail') await this.#end().catch(() => {}); // the test has told what is wrong
    });
    afterAll(() => this.#end());
  }

  /** The one of this name: the first test that wants it starts it. */
  share(name: string, start: () => Promise<ServerProcess>): Promise<ServerProcess> {
    const server = this.#servers.get(name) ?? start().then(keepRunning);
    this.#servers.set(name, server);
    return server;
  }

  /** Ends one, or forgets one that has ended: who wants it next gets another one. */
  async stop(name: string): Promise<void> {
    const server = this.#servers.get(name);
    this.#servers.delete(name);
    await (await server)?.stop();
  }

  async #end(): Promise<void> {
    const names = [...this.#servers.keys()];
    const results = await Promise.allSettled(names.map((name) => this.stop(name)));
    await this.#after();
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }
}
