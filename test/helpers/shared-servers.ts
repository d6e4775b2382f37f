import { afterAll } from 'vitest';
import { keepRunning, type Line, type ServerProcess, type StartOptions, startServer } from './server-process.js';

/**
 * For a block of tests that leave a server as they have found it: one for each fixture and options, started by the first
 * test that wants it, ended after the last test of the block. `endServers` leaves it alone.
 */
export function sharedServers(): (fixture: string, given?: StartOptions) => Promise<ServerProcess> {
  const servers = new Map<string, Promise<ServerProcess>>();
  afterAll(async () => {
    const started = await Promise.allSettled(servers.values()); // one that has failed is left to `endServers`
    await Promise.all(started.map((each) => (each.status === 'fulfilled' ? each.value.stop() : undefined)));
  });
  return (fixture, given = {}) => {
    const key = JSON.stringify([fixture, given]);
    const server = servers.get(key) ?? startServer(fixture, given).then(keepRunning);
    servers.set(key, server);
    return server;
  };
}

/** What a shared server says from now on: lines of the tests before are not seen. */
export class Since {
  readonly server: ServerProcess;
  readonly #from: number;

  constructor(server: ServerProcess) {
    this.server = server;
    this.#from = server.lines.length;
  }

  get port(): number {
    return this.server.port;
  }

  events(event: string): Line[] {
    return this.server.lines.slice(this.#from).filter((line) => line.event === event);
  }

  /** As `ServerProcess.waitForEvent`. */
  waitForEvent(event: string, fits: (line: Line) => boolean = () => true): Promise<Line> {
    return this.server.waitFor(`'${event}'`, () => this.events(event).find(fits));
  }

  /** The first `count` lines of an event, once they are there. */
  waitForEvents(event: string, count: number): Promise<Line[]> {
    return this.server.waitFor(`${count} of '${event}'`, () => {
      const those = this.events(event);
      return those.length >= count && those.slice(0, count);
    });
  }
}
