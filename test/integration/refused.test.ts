import { afterEach, describe, expect, it } from 'vitest';
import { endServers, spawnServer } from '../helpers/server-process.js';

afterEach(endServers);

describe('start() refuses', () => {
  it.each([
    ['a second server in one process', 'two-servers.js', 'ERR_ONE_SERVER'],
    ['a worker thread', 'in-a-thread.js', 'ERR_NOT_COMMAND_LINE'],
  ])('%s, and nothing is left running', async (_, fixture, code) => {
    const server = spawnServer(fixture);
    expect(await server.exited).toEqual({ code: 1, signal: null });
    expect(server.stderr).toContain(code);
    await server.stop();
    server.assertNothingLeft();
  });
});
