import { afterAll } from 'vitest';
import { keepRunning, type ServerProcess, type StartOptions, startServer } from './server-process.js';

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
