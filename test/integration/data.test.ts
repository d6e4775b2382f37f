import { createHash, randomBytes } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { Client } from '../helpers/client.js';
import { PACE } from '../helpers/deadline.js';
import { OVER_TLS, reset } from '../helpers/dial.js';
import { endServers, poll, startServer } from '../helpers/server-process.js';
import { Since, sharedServers } from '../helpers/shared-servers.js';

afterEach(endServers);

const hash = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');

describe.each(['epoll', 'poll'] as const)('with the %s backend', (reactorBackend) => {
  const options = { reactorBackend, workerNum: 1, reactorNum: 1 };
  const env = { QUIET: '1' };
  const shared = sharedServers();
  /** Its tests await the close of each of their clients. */
  const startShared = async (): Promise<Since> => new Since(await shared('commands.js', { options, env }));

  it(
    'a message of 64 MiB arrives intact in both directions',
    async () => {
      const server = await startServer('echo.js', { options, env });
      const client = await Client.open(server.port, { keepText: false });
      const message = randomBytes(64 << 20);
      const got = createHash('sha256');
      client.socket.on('data', (data) => got.update(data));
      client.write(message);
      await client.until('all of it came back', () => client.receivedBytes === message.length, 30_000);
      expect(got.digest('hex')).toBe(hash(message));
      await client.close();
    },
    120_000 * PACE,
  );

  it(
    'one send of 64 MiB arrives whole',
    async () => {
      const server = await startShared();
      const client = await Client.open(server.port, { keepText: false });
      client.write(`bytes ${64 << 20}\n`);
      await client.until('all of it came', () => client.receivedBytes === 64 << 20, 20_000);
      await client.close();
      await server.waitForEvent('close');
    },
    120_000 * PACE,
  );

  it('clients that dribble, half-close or reset disturb nobody else', async () => {
    const server = await startShared();
    const steady = await Client.open(server.port);
    const dribbler = await Client.open(server.port);
    for (const byte of 'echo one byte at a time\n') {
      dribbler.write(byte);
      expect(await steady.ask('echo steady')).toBe('steady');
    }
    await dribbler.until('its answer', () => dribbler.text === 'one byte at a time\n');
    const half = await Client.open(server.port, { halfOpen: true });
    half.socket.end('echo at once\nlater 50\n');
    await half.until('the end', () => half.end === 'ended');
    expect(half.text).toBe('at once\nlater\n');
    const resetter = await Client.open(server.port);
    resetter.write('echo half a li');
    reset(resetter.socket);
    expect(await steady.ask('echo still here')).toBe('still here');
    await poll('both ends were told', () => server.events('close').length === 2);
    const codes = server.events('close').map(({ reason }) => (reason as { code: string }).code);
    if (!OVER_TLS) expect(codes.sort()).toEqual(['CLIENT_CLOSED', 'CLIENT_RESET']);
    for (const client of [steady, dribbler, half]) await client.close();
    await server.waitForEvents('close', 4);
  });

  it('every end has its reason', async () => {
    const server = await startShared();
    for (const [line, reason] of [
      ['close', { code: 'SERVER_CLOSED', initiator: 'server' }],
      ['reset', { code: 'SERVER_RESET', initiator: 'server' }],
      ['throw', { code: 'CALLBACK_FAILED', initiator: 'error' }],
      ['reject', { code: 'CALLBACK_FAILED', initiator: 'error' }],
    ] as const) {
      const client = await Client.open(server.port);
      client.socket.on('error', () => {});
      const fd = Number(await client.ask('fd'));
      client.write(`${line}\n`);
      const told = await server.waitForEvent('close', (close) => close['fd'] === fd);
      expect(told['reason']).toMatchObject(reason);
      expect(told['info']).toMatchObject({ fd, remoteAddress: '127.0.0.1' });
      await client.closed;
    }
  });
});
