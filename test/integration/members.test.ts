// What Swoole's users look for: confirm() after delayReceive, and what getClientInfo() tells of dispatch and errors.
import { once } from 'node:events';
import { connect as connectPlain } from 'node:net';
import { connect } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { certificateFor } from '../helpers/certificates.js';
import { endServers, overPlainTcp, type ServerProcess, spawnServer } from '../helpers/server-process.js';
import { Since, sharedServers } from '../helpers/shared-servers.js';
import { TcpClient } from '../helpers/tcp-client.js';

const shared = sharedServers();
const clients: TcpClient[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
  await endServers();
});

const open = { delayReceive: false };
/** Beside the first port, whose clients wait, and that for commands. */
const PORTS = {
  'at once': {},
  encrypted: { tls: certificateFor('server.test') },
  proxied: { proxyProtocol: ['127.0.0.1'] },
  open: { ...open, heartbeatIdleMs: 600_000 },
  beating: { ...open, heartbeatIdleMs: 300 },
  fed: { ...open, maxIdleMs: 400 },
  idle: { ...open, maxIdleMs: 400 },
};

/** The port for commands is the second one, and speaks plain. */
async function use(started: ServerProcess) {
  const [first = 0, second = 0, ...others] = (await started.waitForEvent('up'))['ports'] as number[];
  const ports = new Map(Object.keys(PORTS).map((name, i) => [name, others[i] ?? 0]));
  const control = await TcpClient.connect(second);
  clients.push(control);
  const ask = async (line: string): Promise<string> => {
    control.send(`${line}\n`);
    return control.readLine();
  };
  const portOf = (name: keyof typeof PORTS | '' = ''): number => (name === '' ? first : (ports.get(name) ?? 0));
  return { server: new Since(started), ask, portOf };
}

/** The server that all tests leave as it is. */
async function share() {
  return use(
    await shared('delayed.js', { options: { halfCloseTimeoutMs: 300 }, env: { PORTS: JSON.stringify(PORTS) } }),
  );
}

/** One without heartbeats, which waits for clients that have ended their side. */
const sharePlain = async () => use(await shared('delayed.js', { options: { halfCloseTimeoutMs: 60_000 } }));

async function dial(server: Since, port = server.port): Promise<{ client: TcpClient; fd: number }> {
  const seen = server.events('connect').length;
  const client = await TcpClient.connect(port);
  const line = await server.server.waitFor('connect', () => server.events('connect')[seen]);
  return { client, fd: Number(line['fd']) };
}

describe('with delayReceive', () => {
  it.each(['confirm', 'resume'])('nothing is read from a client before %s', async (how) => {
    const { server, ask } = await share();
    const { client, fd } = await dial(server);
    expect(server.events('connect')[0]).toMatchObject({ paused: true });
    client.send('early');
    const before = JSON.parse(await ask(`info ${fd}`));
    expect(before).toMatchObject({ paused: true, receivedBytes: 0, lastDispatchTime: 0 });
    expect(await ask(`${how} ${fd}`)).toBe('true');
    expect((await client.read(5)).toString()).toBe('early');
    const after = JSON.parse(await ask(`info ${fd}`));
    expect(after).toMatchObject({ paused: false, receivedBytes: 5, closeErrno: 0 });
    expect(after.lastDispatchTime).toBeGreaterThanOrEqual(after.connectedAt);
    await client.close();
  });

  it('a client is read at once where connect confirms it', async () => {
    const { server, portOf } = await share();
    const { client } = await dial(server, portOf('at once'));
    expect((await client.send('hello').read(5)).toString()).toBe('hello');
    await client.close();
  });

  it('an encrypted client shakes hands, and is not read', async () => {
    const { server, ask, portOf } = await share();
    const socket = connect({ port: portOf('encrypted'), host: '127.0.0.1', rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    socket.write('early');
    const { fd } = await server.waitForEvent('connect');
    expect(JSON.parse(await ask(`info ${fd}`))).toMatchObject({ paused: true, receivedBytes: 0 });
    expect(await ask(`confirm ${fd}`)).toBe('true');
    const [data] = await once(socket, 'data');
    expect(String(data)).toBe('early');
    socket.destroy();
  });

  overPlainTcp('what came behind a PROXY header waits too', async () => {
    const { server, ask, portOf } = await share();
    const client = await TcpClient.connect(portOf('proxied'));
    client.send('PROXY TCP4 192.0.2.1 192.0.2.2 1000 2000\r\nearly');
    const { fd } = await server.waitForEvent('connect');
    expect(JSON.parse(await ask(`info ${fd}`))).toMatchObject({ remoteAddress: '192.0.2.1', paused: true });
    expect(await ask(`confirm ${fd}`)).toBe('true');
    expect((await client.read(5)).toString()).toBe('early');
    await client.close();
  });

  it.each([false, true])(
    'a client that leaves, never confirmed, is let go in time (encrypted: %s)',
    async (encrypted) => {
      const { server, ask, portOf } = await share();
      const port = portOf(encrypted ? 'encrypted' : '');
      const open = async () => {
        const seen = server.events('connect').length;
        const plain = connectPlain({ port, host: '127.0.0.1' });
        const socket = encrypted ? connect({ socket: plain, rejectUnauthorized: false }) : plain;
        socket.on('error', () => {});
        const { fd } = await server.server.waitFor('connect', () => server.events('connect')[seen]);
        return { plain, socket, fd: Number(fd) };
      };
      const [ends, resets, stays] = [await open(), await open(), await open()];
      ends.socket.end('a last word');
      resets.socket.write('a last word');
      if (encrypted) resets.plain.destroy();
      else resets.plain.resetAndDestroy();
      for (const { fd } of [ends, resets]) await server.waitForEvent('close', (line) => line['fd'] === fd);
      expect(JSON.parse(await ask(`info ${stays.fd}`))).toMatchObject({ paused: true });
      expect(await ask(`confirm ${stays.fd}`)).toBe('true');
      stays.socket.write('still there');
      const [data] = await once(stays.socket, 'data');
      expect(String(data)).toBe('still there');
      stays.socket.destroy();
    },
  );

  it('what a client has sent before it ended its side is read when it is confirmed', async () => {
    const { server, ask } = await sharePlain();
    const { client, fd } = await dial(server);
    client.send('early').socket.end();
    expect(await ask(`confirm ${fd}`)).toBe('true');
    expect((await client.read(5)).toString()).toBe('early');
    expect(await server.waitForEvent('close')).toMatchObject({ fd, code: 'CLIENT_CLOSED' });
  });

  it('a client that was never confirmed can be closed', async () => {
    const { server, ask } = await share();
    const { client, fd } = await dial(server);
    expect(await ask(`close ${fd}`)).toBe('true');
    await client.closed;
    expect(await server.waitForEvent('close', (line) => line['fd'] === fd)).toMatchObject({ code: 'SERVER_CLOSED' });
    expect(server.events('receive')).toEqual([]);
    expect(await ask(`confirm ${fd}`)).toBe('false');
  });
});

overPlainTcp('closeErrno tells by which error a connection has ended', async () => {
  const { server, portOf } = await share();
  const reset = await dial(server, portOf('open'));
  reset.client.socket.resetAndDestroy();
  const line = await server.waitForEvent('close', ({ fd }) => fd === reset.fd);
  expect(line).toMatchObject({ code: 'CLIENT_RESET', info: { closeErrno: 104 } });
  const ended = await dial(server, portOf('open'));
  await ended.client.close();
  const other = await server.waitForEvent('close', ({ fd }) => fd === ended.fd);
  expect(other).toMatchObject({ code: 'CLIENT_CLOSED', info: { closeErrno: 0 } });
});

it('delayReceive must be true or false', async () => {
  const server = spawnServer('delayed.js', { options: { delayReceive: 'yes' } });
  expect(await server.exited).toMatchObject({ code: 1 });
  expect(server.stderr).toContain('Option "delayReceive" must be true or false, received string "yes".');
});

describe('heartbeats', () => {
  it('of each port are its own', async () => {
    const { server, portOf } = await share();
    const { client } = await dial(server, portOf('open'));
    const silent = await TcpClient.connect(portOf('beating'));
    await silent.closed;
    expect(client.end).toBeUndefined();
    expect((await client.send('still there').read(11)).toString()).toBe('still there');
    await client.close();
  });

  it('heartbeat() tells which clients are silent, and closes them only when it is asked to', async () => {
    const { server, ask, portOf } = await share();
    const port = portOf('open');
    const [protectedOne, other] = [await dial(server, port), await dial(server, port)];
    expect(JSON.parse(await ask('heartbeat {}'))).toEqual([]);
    expect(await ask(`protect ${protectedOne.fd}`)).toBe('true');
    expect(JSON.parse(await ask('heartbeat {"idleMs":0.001}'))).toContain(other.fd);
    expect(await ask(`exists ${other.fd}`)).toBe('true');
    await ask('closeSilent').catch(() => undefined); // whoever asks may be silent too
    await other.client.closed;
    expect(await server.waitForEvent('close', ({ fd }) => fd === other.fd)).toMatchObject({ code: 'SERVER_CLOSED' });
    expect((await protectedOne.client.send('still there').read(11)).toString()).toBe('still there');
    await protectedOne.client.close();
  });

  it.each([['{}'], ['{"idleMs":0}'], ['{"idleMs":"soon"}'], ['null'], ['{"idleMs":1,"close":"no"}']])(
    'heartbeat(%s) is refused: no time, or what it does not take',
    async (order) => {
      const { ask } = await sharePlain();
      expect(await ask(`heartbeat ${order}`)).toBe('ERR_HEARTBEAT');
    },
  );
});

describe('maxIdleMs', () => {
  it('ends clients with which nothing is exchanged, but not those that are sent something', async () => {
    const { server, portOf } = await share();
    const fed = await dial(server, portOf('fed'));
    const idle = await dial(server, portOf('idle'));
    await idle.client.closed;
    const line = await server.waitForEvent('close', ({ fd }) => fd === idle.fd);
    expect(line['code']).toBe('IDLE_TIMEOUT');
    expect(fed.client.end).toBeUndefined();
    expect(server.events('close').map(({ fd }) => fd)).not.toContain(fed.fd);
    await fed.client.close();
  });
});
