import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { endServers, type ServerProcess, startServer } from '../helpers/server-process.js';

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'unix-'));
  path = join(folder, 'server.sock');
});
afterEach(async () => {
  await endServers();
  rmSync(folder, { recursive: true });
});

const start = (options: object = {}): Promise<ServerProcess> =>
  startServer('commands.js', { options: { workerNum: 2, path, ...options } });

function ask(line: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect(path);
    socket.on('error', reject);
    socket.write(`${line}\n`);
    socket.once('data', (data) => {
      resolve(data.toString().trim());
      socket.destroy();
    });
  });
}

describe.each(['epoll', 'poll'])('a unix socket, backend %s', (reactorBackend) => {
  it('serves clients, tells what is known of them, and its file goes with the server', async () => {
    const server = await start({ reactorBackend });
    expect(await Promise.all(Array.from({ length: 50 }, (_, i) => ask(`echo hello ${i}`)))).toEqual(
      Array.from({ length: 50 }, (_, i) => `hello ${i}`),
    );
    const fd = await ask('fd');
    expect(Number(fd)).toBeGreaterThan(0);
    server.signal('SIGTERM');
    expect(await server.exited).toEqual({ code: 0, signal: null });
    expect(existsSync(path)).toBe(false);
  });
});

describe('the path of a unix socket', () => {
  it('that a killed server has left is taken over', async () => {
    const first = await start();
    first.signal('SIGKILL');
    await first.exited;
    expect(existsSync(path)).toBe(true);
    await start();
    expect(await ask('echo again')).toBe('again');
  });

  it('that a server listens on is refused, and left to it', async () => {
    await start();
    const error = await start().catch((e) => e);
    expect(String(error)).toContain('ERR_PATH_IN_USE');
    expect(await ask('echo still')).toBe('still');
  });

  it('that is another file is refused, and the file stays', async () => {
    writeFileSync(path, 'precious');
    expect(String(await start().catch((e) => e))).toContain('ERR_PATH_IN_USE');
    expect(existsSync(path)).toBe(true);
  });

  it('in a folder that is not there is refused with the reason', async () => {
    path = join(folder, 'nowhere', 'server.sock');
    const error = String(await start().catch((e) => e));
    expect(error).toContain('ERR_LISTEN_PATH');
    expect(error).toContain('ENOENT');
  });

  it('does not fit a socket of type tcp', async () => {
    expect(String(await start({ type: 'tcp' }).catch((e) => e))).toContain('ERR_OPTION_CONFLICT');
    expect(String(await start({ type: 'unix', path: '' }).catch((e) => e))).toContain('ERR_OPTION_CONFLICT');
  });
});
