import { existsSync, readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import {
  endServers,
  type Line,
  poll,
  type ServerProcess,
  spawnServer,
  startServer,
} from '../helpers/server-process.js';
import { TcpClient } from '../helpers/tcp-client.js';

afterEach(endServers);

const ROLE_OF: Record<string, string> = {
  start: 'master',
  up: 'master',
  beforeShutdown: 'master',
  shutdown: 'master',
  managerStart: 'manager',
  managerStop: 'manager',
  beforeReload: 'manager',
  afterReload: 'manager',
  workerStart: 'worker',
  workerExit: 'worker',
  workerStop: 'worker',
  connect: 'worker',
  receive: 'worker',
  close: 'worker',
};

describe('in every event of a whole life', () => {
  let server: ServerProcess;
  let lines: readonly Line[];
  let managerPid: number;
  let lived: Promise<void> | undefined;

  /** The same life for all that look at it. */
  function live(): Promise<void> {
    lived ??= liveOnce();
    return lived;
  }

  async function liveOnce(): Promise<void> {
    server = await startServer('identity.js', { options: { workerNum: 2, reactorNum: 1 } });
    managerPid = server.manager?.pid ?? 0;
    const client = await TcpClient.connect(server.port);
    await server.waitForEvent('connect');
    client.send('a');
    await server.waitForEvent('receive');
    await client.close();
    await server.waitForEvent('close');
    server.signal('SIGUSR1');
    await server.waitForEvent('afterReload');
    server.signal('SIGTERM');
    expect(await server.exited).toEqual({ code: 0, signal: null });
    await server.waitForEvent('shutdown');
    server.assertNothingLeft();
    ({ lines } = server);
  }

  it('the server knows its role, the pids, the worker id and the port', async () => {
    await live();
    const { port, masterPid } = server;
    expect(port).toBeGreaterThan(0);
    for (const line of lines) {
      expect(line).toMatchObject({ role: ROLE_OF[line.event], masterPid, managerPid, port });
      if (line['role'] === 'master') expect(line).toMatchObject({ pid: masterPid, workerId: -1, workerPid: 0 });
      if (line['role'] === 'manager') expect(line).toMatchObject({ pid: managerPid, workerId: -1, workerPid: 0 });
      if (line['role'] === 'worker') expect(line['workerPid']).toBe(line.pid);
    }
    const starts = server.events('workerStart');
    expect(starts.map((line) => line['workerId']).sort()).toEqual([0, 0, 1, 1]);
    expect(new Set(starts.map(({ pid }) => pid)).size).toBe(4);
    const first = starts.slice(0, 2).map(({ pid, workerId }) => ({ id: workerId, pid }));
    const known = server.events('start')[0]?.['workers'] as { id: number; pid: number }[];
    expect(known.map(({ id }) => id)).toEqual([0, 1]);
    expect(first).toEqual(expect.arrayContaining(known));
  });

  it('what comes before what is as documented', async () => {
    await live();
    const first = (event: string): number => lines.findIndex((line) => line.event === event);
    const last = (event: string): number => lines.findLastIndex((line) => line.event === event);
    const orders = [
      // Start: the workers are ready before anyone is told that the server is up.
      [lines.indexOf(server.events('workerStart')[1] as Line), first('start')],
      [first('managerStart'), first('start')],
      [first('start'), first('up')],
      [first('connect'), first('receive')],
      [first('receive'), first('close')],
      // Reload: the old ones leave between the two.
      [first('close'), first('beforeReload')],
      [first('beforeReload'), last('workerStart')],
      [last('workerStart'), first('workerExit')],
      [first('workerExit'), first('workerStop')],
      [first('afterReload'), first('beforeShutdown')],
      // Shutdown.
      [first('beforeShutdown'), last('workerExit')],
      [last('workerStop'), first('managerStop')],
      [first('managerStop'), first('shutdown')],
      [first('shutdown'), lines.length],
    ];
    for (const [before = 0, after = 0] of orders) expect(before).toBeLessThan(after);
    const stopsBeforeAfterReload = lines.slice(0, first('afterReload')).filter(({ event }) => event === 'workerStop');
    expect(stopsBeforeAfterReload).toHaveLength(2);
    for (const event of ['start', 'up', 'beforeShutdown', 'shutdown', 'managerStart', 'managerStop']) {
      expect(server.events(event)).toHaveLength(1);
    }
  });

  it('start() resolves only when the slowest worker is ready, and nobody can connect before', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    await poll('a free port', () => holder.listening);
    const { port } = holder.address() as { port: number };
    await new Promise((resolve) => holder.close(resolve));
    const options = { workerNum: 2, reactorNum: 1, port };
    const server = spawnServer('identity.js', { options, env: { SLOW_WORKER: '1' } });
    await server.waitForEvent('workerStart', ({ workerId }) => workerId === 0);
    expect(await canConnect(port)).toBe(false);
    const ready = await server.waitForEvent('workerStart', ({ workerId }) => workerId === 1);
    const up = await server.waitForEvent('up');
    expect(server.lines.indexOf(up)).toBeGreaterThan(server.lines.indexOf(ready));
    expect(await canConnect(port)).toBe(true);
  });
});

it('a reload that is asked for during the start is done after it', async () => {
  const server = spawnServer('identity.js', { options: { workerNum: 2, reactorNum: 1 }, env: { SLOW_WORKER: '1' } });
  await server.waitForEvent('workerStart');
  server.signal('SIGUSR1');
  await server.waitForEvent('afterReload');
  const pids = server.events('workerStart').map(({ pid }) => pid);
  expect(new Set(pids).size).toBe(4);
});

describe('a start that fails rejects with the reason, exits non-zero by itself and leaves nothing:', () => {
  async function failure(how: string, options: Record<string, unknown> = {}): Promise<Line> {
    const server = spawnServer('catches.js', { env: { HOW: how }, options });
    const line = await server.waitForEvent('failed');
    expect(await server.exited).toEqual({ code: 1, signal: null });
    server.assertNothingLeft();
    expect(server.events('up')).toEqual([]);
    return line;
  }

  it('a worker that throws, with its own error as the cause', async () => {
    expect(await failure('worker throws')).toMatchObject({
      code: 'ERR_WORKER_BOOT',
      message: expect.stringContaining('Worker 1'),
      detail: { workerId: 1, exitCode: 1, signal: null },
      cause: { name: 'TypeError', code: 'E_DATABASE', message: 'no database' },
    });
  });

  it('a worker in which an error is not caught', async () => {
    expect(await failure('worker throws later')).toMatchObject({
      code: 'ERR_WORKER_BOOT',
      cause: { message: 'nobody caught this' },
    });
  });

  it('a worker that exits', async () => {
    const line = await failure('worker exits');
    expect(line).toMatchObject({ code: 'ERR_WORKER_BOOT', detail: { workerId: 1, exitCode: 7, signal: null } });
  });

  it('a worker that is killed', async () => {
    const line = await failure('worker is killed');
    expect(line).toMatchObject({ code: 'ERR_WORKER_BOOT', detail: { workerId: 1, signal: 'SIGKILL' } });
  });

  it('a worker that waits for ever', async () => {
    const line = await failure('worker waits', { bootTimeoutMs: 2000 });
    expect(line).toMatchObject({
      code: 'ERR_WORKER_BOOT',
      cause: { code: 'ERR_BOOT_TIMEOUT', message: expect.stringContaining('2000 ms') },
    });
  });

  it('a worker whose event loop stands still', async () => {
    const line = await failure('worker blocks', { bootTimeoutMs: 1000 });
    expect(line).toMatchObject({ code: 'ERR_WORKER_BOOT', cause: { code: 'ERR_BOOT_TIMEOUT' } });
  });

  it('a manager that exits', async () => {
    expect(await failure('manager exits')).toMatchObject({ code: 'ERR_MANAGER_BOOT', detail: { exitCode: 9 } });
  });

  it('a manager that throws, with its own error as the cause', async () => {
    expect(await failure('manager throws')).toMatchObject({
      code: 'ERR_MANAGER_BOOT',
      cause: { name: 'RangeError', message: 'the manager had enough' },
    });
  });

  it('a manager that is never ready', async () => {
    const line = await failure('manager hangs', { bootTimeoutMs: 500 });
    expect(line).toMatchObject({ code: 'ERR_BOOT_TIMEOUT', detail: { role: 'manager', timeoutMs: 500 } });
  });

  it('a port that another server holds, with its name and pid', async () => {
    const holder = await startServer('echo.js', { options: { workerNum: 1, reactorNum: 1 } });
    const { code, message } = await failure('', { port: holder.port });
    expect(code).toBe('ERR_PORT_IN_USE');
    expect(message).toContain(`127.0.0.1:${holder.port}`);
    expect(message).toContain(`tswoole: master (pid ${holder.masterPid})`);
    const client = await TcpClient.connect(holder.port);
    await client.echo('the holder does not notice');
    await client.close();
  });

  it('a port only root may bind', async (context) => {
    const why = whyNotUnprivileged();
    if (why !== undefined) return context.skip(why);
    const under = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--inh-caps=-all', '--'];
    const server = spawnServer('catches.js', { options: { port: 81 }, under });
    expect(await server.waitForEvent('failed')).toMatchObject({
      code: 'ERR_PORT_PRIVILEGED',
      message: expect.stringContaining('127.0.0.1:81'),
    });
    expect((await server.exited).code).toBe(1);
    server.assertNothingLeft();
  });

  it('SIGTERM while it boots', async () => {
    const server = spawnServer('catches.js', { env: { HOW: 'worker waits' } });
    await server.waitForEvent('workerStart', ({ id }) => id === 1);
    server.signal('SIGTERM');
    await server.exited;
    server.assertNothingLeft();
    expect(server.events('up')).toEqual([]);
  });
});

describe('options that are wrong are refused before anything is started:', () => {
  async function refused(options: Record<string, unknown>): Promise<string> {
    const server = spawnServer('echo.js', { options });
    expect((await server.exited).code).toBe(1);
    server.assertNothingLeft();
    expect(server.lines).toEqual([]);
    return server.stderr;
  }

  it('an unknown name, with the nearest one', async () => {
    const said = await refused({ workerNumber: 2 });
    expect(said).toContain('ERR_OPTION_UNKNOWN');
    expect(said).toContain('"workerNum"');
  });

  it('a wrong type, with what was expected and what came', async () => {
    const said = await refused({ workerNum: 'two' });
    expect(said).toContain('ERR_OPTION_TYPE');
    expect(said).toMatch(/workerNum.*must be.*received.*two/);
  });

  it('an HTTP port with nothing that answers its requests', async () => {
    expect(await refused({ protocol: 'http' })).toContain('ERR_CALLBACK_MISSING');
  });
});

describe('where there is no file to run again, start() says so:', () => {
  const code = "const { Server } = await import('tswoole'); await new Server({ workerNum: 1 }).start()";

  async function refused(given: Parameters<typeof spawnServer>[1]): Promise<string> {
    const server = spawnServer('', { ...given, copy: true });
    expect((await server.exited).code).toBe(1);
    server.assertNothingLeft();
    expect(server.stderr).toContain('ERR_NOT_COMMAND_LINE');
    return server.stderr;
  }

  it('node --eval', async () => {
    expect(await refused({ node: ['--input-type=module', '-e', code] })).toContain('--eval');
  });

  it('node --print', async () => {
    const then = "import('tswoole').then(({ Server }) => new Server({ workerNum: 1 }).start())";
    expect(await refused({ node: ['-p', then] })).toContain('--print');
  });

  it('code from standard input', async () => {
    expect(await refused({ node: ['--input-type=module'], input: code })).toContain('standard input');
    expect(await refused({ node: ['--input-type=module', '-'], input: code })).toContain('standard input');
  });
});

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

function whyNotUnprivileged(): string | undefined {
  if (process.getuid?.() !== 0) return 'only root can become another user';
  if (!existsSync('/usr/bin/setpriv')) return 'there is no setpriv';
  const first = Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8'));
  return first <= 81 ? `every user may bind ports from ${first} up here` : undefined;
}
