import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Activation } from '../../src/listen/activation.js';
import { type BoundPort, bindPort, isDatagram, listenOn, unbindPort } from '../../src/listen/bind-port.js';
import { findPortHolder } from '../../src/listen/port-holder.js';
import { isLinux } from '../../src/os/libc.js';
import { adoptSocket, bindTcp, bindUnix, closeDescriptor, listen } from '../../src/os/socket.js';
import { openDescriptors } from '../helpers/leaks.js';

type Wanted = Parameters<typeof bindPort>[0];

let before: string[];
let folder: string;
let bound: BoundPort[];
let others: Server[];

beforeEach(() => {
  before = openDescriptors();
  folder = mkdtempSync(join(tmpdir(), 'bind-'));
  [bound, others] = [[], []];
});
afterEach(async () => {
  for (const port of bound) unbindPort(port);
  for (const other of others) await new Promise((resolve) => other.close(resolve));
  rmSync(folder, { recursive: true });
  expect(openDescriptors()).toEqual(before);
});

const wanted = (more: Partial<Wanted> = {}): Wanted =>
  ({ type: 'tcp', host: '127.0.0.1', port: 0, path: '', backlog: 16, proxyProtocol: [], ...more }) as Wanted;
const bind = async (more: Partial<Wanted> = {}, reusePort = false): Promise<BoundPort> => {
  const port = await bindPort(wanted(more), reusePort);
  bound.push(port);
  return port;
};
const other = async (...at: unknown[]): Promise<Server> => {
  const server = createServer();
  others.push(server);
  (server.listen as (...args: unknown[]) => void)(...at);
  await once(server, 'listening'); // it rejects with the error
  return server;
};
const portOf = (server: Server): number => (server.address() as { port: number }).port;

describe('a listen port', () => {
  it('that asks for port 0 is told which one it has got', async () => {
    const { port, host, path, isInherited, proxied, backlog } = await bind();
    expect(port).toBeGreaterThan(0);
    expect({ host, path, isInherited, proxied, backlog }).toEqual({
      ...{ host: '127.0.0.1', path: '', isInherited: false, proxied: false, backlog: 16 },
    });
  });

  it('is held by nobody until it listens, and then by this process', async () => {
    const port = await bind();
    expect(findPortHolder(port.port)).toBeUndefined();
    listenOn(port);
    if (isLinux) expect(findPortHolder(port.port)).toMatch(new RegExp(`\\(pid ${process.pid}\\)$`));
    await expect(bindPort(wanted({ port: port.port }))).rejects.toMatchObject({ code: 'ERR_PORT_IN_USE' });
  });

  it('says at the latest when it shall listen that another one does so already', async () => {
    const late = await bind();
    await other(late.port, '127.0.0.1').then(
      () => expect(() => listenOn(late)).toThrow(expect.objectContaining({ code: 'ERR_PORT_IN_USE' })),
      (error: NodeJS.ErrnoException) => expect(error.code).toBe('EADDRINUSE'), // where the kernel says it at once
    );
  });

  it('may be bound, and listen, a second time where both say reusePort, and not where one does not', async () => {
    const first = await bind({}, true);
    const second = await bind({ port: first.port }, true);
    expect(second.port).toBe(first.port);
    for (const port of [first, second]) listenOn(port);
    await expect(bindPort(wanted({ port: first.port }))).rejects.toMatchObject({ code: 'ERR_PORT_IN_USE' });
  });

  it('may be named by a host name, which it keeps', async () => {
    expect(await bind({ host: 'localhost' })).toMatchObject({ host: 'localhost', type: 'tcp' });
  });

  it('has proxied clients where it says proxyProtocol', async () => {
    expect((await bind({ proxyProtocol: ['10.0.0.0/8'] })).proxied).toBe(true);
  });

  it.each([
    ['tcp', false],
    ['unix', false],
    ['udp', true],
    ['unix-dgram', true],
  ] as const)('of type %s takes datagrams: %s', (type, expected) => {
    expect(isDatagram({ type })).toBe(expected);
  });
});

describe('a port that cannot be bound', () => {
  it('says who holds it', async () => {
    const port = portOf(await other(0, '127.0.0.1'));
    const error = await bindPort(wanted({ port })).catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      code: 'ERR_PORT_IN_USE',
      detail: {
        host: '127.0.0.1',
        port,
        ...(isLinux ? { holder: expect.stringContaining(`(pid ${process.pid})`) } : {}),
      },
      cause: { code: 'EADDRINUSE' },
    });
  });

  it('is free for UDP where it is taken for TCP', async () => {
    const port = portOf(await other(0, '127.0.0.1'));
    expect(await bind({ type: 'udp', port })).toMatchObject({ type: 'udp', port });
  });

  it('of UDP says that it is in use', async () => {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const { port } = socket.address();
    await expect(bindPort(wanted({ type: 'udp', port }))).rejects.toMatchObject({ code: 'ERR_PORT_IN_USE' });
    socket.close();
    await once(socket, 'close');
  });

  it.each([
    ['192.0.2.1', 'EADDRNOTAVAIL'],
    ['x'.repeat(64), expect.stringMatching(/^E/)],
  ])('of the host %s says why', async (host, code) => {
    await expect(bindPort(wanted({ host }))).rejects.toMatchObject({
      code: 'ERR_LISTEN',
      detail: { host, port: 0, code },
    });
  });
});

describe('a unix socket', () => {
  const path = (): string => join(folder, 'it.sock');

  it('is a file while it is bound, and is none afterwards', async () => {
    const port = await bindPort(wanted({ type: 'unix', path: path() }));
    expect(port).toMatchObject({ path: path(), port: 0, host: '' });
    expect(statSync(path()).isSocket()).toBe(true);
    unbindPort(port);
    expect(existsSync(path())).toBe(false);
  });

  it.each(['unix', 'unix-dgram'] as const)(
    'of type %s takes the place of what a killed server has left',
    async (type) => {
      closeDescriptor(bindUnix(path(), type === 'unix' ? 'stream' : 'datagram'));
      expect(await bind({ type, path: path() })).toMatchObject({ type, path: path() });
    },
  );

  it('of a running server stays with that server', async () => {
    await other(path());
    await expect(bindPort(wanted({ type: 'unix', path: path() }))).rejects.toMatchObject({
      code: 'ERR_PATH_IN_USE',
      detail: { path: path(), holder: 'a running server' },
    });
    expect(existsSync(path())).toBe(true);
  });

  it('never takes the place of a file', async () => {
    writeFileSync(path(), 'precious');
    await expect(bindPort(wanted({ type: 'unix', path: path() }))).rejects.toMatchObject({
      code: 'ERR_PATH_IN_USE',
      detail: { holder: 'a file that is no socket' },
    });
    expect(existsSync(path())).toBe(true);
  });

  it.each([
    ['in a folder that is not there', 'none/it.sock', 'ENOENT'],
    ['with a name that is too long', 'x'.repeat(120), 'ENAMETOOLONG'],
  ])('%s is refused with its code', async (_title, name, code) => {
    const at = join(folder, name);
    await expect(bindPort(wanted({ type: 'unix', path: at }))).rejects.toMatchObject({
      code: 'ERR_LISTEN_PATH',
      detail: { path: at, code, syscall: 'bind' },
    });
  });
});

describe('socket activation', () => {
  /** As if systemd had given these. */
  const activation = (...descriptors: number[]): Activation =>
    Reflect.construct(Activation, [descriptors.map((descriptor) => adoptSocket(descriptor))]) as Activation;

  it.each([
    ['LISTEN_PID is that of another process', { LISTEN_PID: String(process.pid + 1), LISTEN_FDS: '1' }],
    ['LISTEN_FDS is 0', { LISTEN_PID: String(process.pid), LISTEN_FDS: '0' }],
    ['LISTEN_FDS is no number', { LISTEN_PID: String(process.pid), LISTEN_FDS: 'two' }],
    ['LISTEN_FDS is missing', { LISTEN_PID: String(process.pid) }],
    ['both are missing', {}],
  ])('gives nothing where %s, and leaves nothing for children', (_title, variables) => {
    const env: NodeJS.ProcessEnv = { ...variables, LISTEN_FDNAMES: 'web', PATH: '/bin' };
    const taken = Activation.take(env);
    expect(env).toEqual({ PATH: '/bin' });
    expect(taken.claim(wanted())).toBeUndefined();
    taken.refuseRest([]);
  });

  it('lends a socket to the port that declares its address, which nobody then binds', async () => {
    const descriptor = bindTcp('127.0.0.1', 0);
    listen(descriptor, 4);
    const { port } = adoptSocket(descriptor);
    const given = activation(descriptor);
    const taken = await bindPort(wanted({ port }), false, given);
    bound.push(taken);
    expect(taken).toMatchObject({ descriptor, port, isInherited: true });
    expect(given.claim(wanted({ port }))).toBeUndefined();
    given.refuseRest([]);
  });

  it('lends any port of the address to port 0, and none of another address', () => {
    const descriptor = bindTcp('127.0.0.1', 0);
    listen(descriptor, 4);
    const given = activation(descriptor);
    const { port } = adoptSocket(descriptor);
    expect(given.claim(wanted({ host: '0.0.0.0' }))).toBeUndefined();
    expect(given.claim(wanted({ port: port === 65_535 ? 1 : port + 1 }))).toBeUndefined();
    expect(given.claim(wanted({ type: 'udp' }))).toBeUndefined();
    expect(given.claim(wanted())).toMatchObject({ descriptor });
    closeDescriptor(descriptor);
  });

  it('keeps the file of a socket that somebody else has made', async () => {
    const path = join(folder, 'theirs.sock');
    const descriptor = bindUnix(path, 'stream');
    listen(descriptor, 4);
    const taken = await bindPort(wanted({ type: 'unix', path }), false, activation(descriptor));
    unbindPort(taken);
    expect(existsSync(path)).toBe(true);
  });

  it('refuses to leave a socket unserved, and names what it was given and what was declared', () => {
    const descriptor = bindTcp('127.0.0.1', 0);
    listen(descriptor, 4);
    const { port } = adoptSocket(descriptor);
    expect(() =>
      activation(descriptor).refuseRest([wanted({ port: 80 }), wanted({ type: 'unix', path: '/x' })]),
    ).toThrow(
      expect.objectContaining({
        code: 'ERR_ACTIVATION',
        detail: { inherited: `tcp 127.0.0.1:${port}`, declared: 'tcp 127.0.0.1:80, unix /x' },
      }),
    );
    closeDescriptor(descriptor);
  });
});

describe('who holds a port', () => {
  it('is nobody where nobody listens', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const port = portOf(server);
    await new Promise((resolve) => server.close(resolve));
    expect(findPortHolder(port)).toBeUndefined();
  });

  it.runIf(isLinux)('is not somebody who listens elsewhere', async () => {
    const [here, there] = [portOf(await other(0, '127.0.0.1')), createServer().listen(0, '127.0.0.1')];
    await once(there, 'listening');
    const gone = portOf(there);
    await new Promise((resolve) => there.close(resolve));
    expect(findPortHolder(here)).toContain(`(pid ${process.pid})`);
    expect(findPortHolder(gone)).toBeUndefined();
  });

  it.runIf(isLinux)('is found by IPv6 too', async () => {
    expect(findPortHolder(portOf(await other(0, '::1')))).toContain(`(pid ${process.pid})`);
  });
});

it.each([false, true])(
  'a name that does not resolve is told, also where a parent has opened sockets: %s',
  async (hasParent) => {
    const activation = hasParent ? Activation.take({}) : undefined;
    await expect(bindPort(wanted({ host: 'no-such-host.invalid' }), false, activation)).rejects.toMatchObject({
      code: 'ERR_LISTEN',
      detail: {
        host: 'no-such-host.invalid',
        syscall: 'getaddrinfo',
        code: expect.stringMatching(/^(ENOTFOUND|EAI_AGAIN)$/),
      },
    });
  },
);
