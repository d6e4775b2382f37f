import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { endServers, spawnServer, startServer } from '../helpers/server-process.js';
import { TcpClient } from '../helpers/tcp-client.js';

afterEach(endServers);

describe('socket activation', () => {
  it('takes the sockets the process was started with, and leaves their files at the end', async () => {
    const path = join(tmpdir(), `tswoole-activation-${process.pid}.sock`);
    rmSync(path, { force: true });
    const env = { LISTEN: JSON.stringify([{ path }]) };
    const server = await startServer('activate.js', {
      args: ['commands.js', '0', path],
      options: { workerNum: 2 },
      env,
    });
    const { port } = server.events('up')[0] as unknown as { port: number };
    const client = await TcpClient.connect(port);
    expect(await client.ask('echo by tcp')).toBe('by tcp');
    const local = connect(path);
    await once(local, 'connect');
    local.write('echo by path\n');
    expect(String((await once(local, 'data'))[0])).toBe('by path\n');
    local.destroy();
    await client.close();
    await server.stop();
    expect(existsSync(path)).toBe(true); // it is not the server's to remove
    rmSync(path);
  });

  it('refuses sockets that no listen port declares', async () => {
    const server = spawnServer('activate.js', { args: ['commands.js', '0', '0'], options: { workerNum: 1 } });
    expect(await server.exited).toMatchObject({ code: 1 });
    expect(server.stderr).toContain('ERR_ACTIVATION');
  });

  it('is not meant when the variables name another process', async () => {
    const env = { LISTEN_PID: '1', LISTEN_FDS: '1' };
    const server = await startServer('commands.js', { options: { workerNum: 1 }, env });
    const client = await TcpClient.connect(server.port);
    expect(await client.ask('echo a')).toBe('a');
    await client.close();
  });
});

describe('socket options', () => {
  it('deferAccept: a client is accepted when it speaks', async () => {
    const server = await startServer('echo.js', { options: { workerNum: 1, deferAccept: true } });
    const silent = await TcpClient.connect(server.port);
    const second = await TcpClient.connect(server.port);
    await second.echo('hello');
    expect(server.events('connect')).toHaveLength(1); // who came first has not spoken
    await silent.echo('hello');
    expect(server.events('connect')).toHaveLength(2);
    await silent.close();
    await second.close();
  });

  it('all of them are taken', async () => {
    const keep = { keepAlive: true, keepAliveIdleMs: 5000, keepAliveIntervalMs: 1500, keepAliveCount: 3 };
    const server = await startServer('echo.js', {
      options: { workerNum: 1, ...keep, userTimeoutMs: 7000, fastOpen: 16 },
    });
    const client = await TcpClient.connect(server.port);
    await client.echo('hello');
    await client.close();
  });
});
