import { once } from 'node:events';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { certificateFor } from '../helpers/certificates.js';
import { endServers, IS_BASE, poll, startServer } from '../helpers/server-process.js';

const sockets: TLSSocket[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await endServers();
});

const COLLECTS = fileURLToPath(new URL('../fixtures/collects.cjs', import.meta.url));
const HIDES = fileURLToPath(new URL('../fixtures/hides-addresses.cjs', import.meta.url));
const main = certificateFor('main.test');
const issuer = certificateFor('issuer.test');
const options = { workerNum: 2, reactorNum: 2, tls: main };

/** Connects, and stays: the next client goes to another reactor. */
async function open(port: number, more: ConnectionOptions = {}): Promise<TLSSocket> {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...more });
  sockets.push(socket);
  socket.on('error', () => {});
  await once(socket, 'secureConnect');
  return socket;
}

/** A session that the server has given a ticket for. */
async function ticketOf(port: number, more: ConnectionOptions = {}): Promise<Buffer> {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...more });
  sockets.push(socket);
  const [session] = await once(socket, 'session');
  return session as Buffer;
}

async function reactorOf(socket: TLSSocket): Promise<number> {
  socket.write('fd\n');
  const [data] = await once(socket, 'data');
  return Number(String(data)) % 2;
}

/** @returns how many were resumed of those whom each reactor (in BASE mode: worker) has served */
async function resumed(port: number, session: Buffer, more: ConnectionOptions): Promise<string[]> {
  const told = new Set<string>();
  for (let count = 0; count < 200 && (count < 6 || told.size < 2); count++) {
    const socket = await open(port, { ...more, session });
    told.add(`${await reactorOf(socket)} ${socket.isSessionReused()}`);
  }
  return [...told].sort();
}

describe.each(['openssl', 'node'])('sessions, engine %s', (engine) => {
  const env = { TSWOOLE_TLS_ENGINE: engine };

  it.each(['TLSv1.2', 'TLSv1.3'] as const)('of %s are resumed by whoever serves the client', async (version) => {
    const { port } = await startServer('commands.js', { options, env });
    const more = { maxVersion: version };
    expect(await resumed(port, await ticketOf(port, more), more)).toEqual(['0 true', '1 true']);
  });

  it('are not resumed any more when the certificates have been read again; then new ones are', async () => {
    const server = await startServer('senders.js', { options, env });
    const before = await ticketOf(server.port);
    server.signal('SIGUSR1');
    await server.waitForEvent('afterReload');
    expect((await open(server.port, { session: before })).isSessionReused()).toBe(false);
    const after = await ticketOf(server.port);
    for (let i = 0; i < 6; i++) expect((await open(server.port, { session: after })).isSessionReused()).toBe(true);
  });

  it('do not pass a client that another port would have asked for a certificate', async () => {
    const strict = { tls: { ...main, requestCert: true, ca: issuer.cert } };
    const server = await startServer('commands.js', { options, env: { ...env, LISTEN: JSON.stringify([strict]) } });
    const { ports } = server.events('up')[0] as unknown as { ports: number[] };
    const port = ports[1] as number;
    const session = await ticketOf(server.port, { maxVersion: 'TLSv1.2' });
    const refused = connect({
      port,
      host: '127.0.0.1',
      session,
      maxVersion: 'TLSv1.2',
    });
    sockets.push(refused);
    refused.on('error', () => {});
    const outcome = await new Promise((resolve) => {
      refused.once('secureConnect', () => resolve('let in'));
      refused.once('close', () => resolve('refused'));
    });
    expect(outcome).toBe('refused');
  });
});

it.runIf(IS_BASE)('sessions outlive the worker that has given their tickets', async () => {
  const server = await startServer('commands.js', { options });
  const session = await ticketOf(server.port);
  const killed = server.workers.map(({ pid }) => pid);
  for (const pid of killed) server.signal('SIGKILL', pid);
  await poll('both have successors', () => {
    const pids = server.workers.map(({ pid }) => pid);
    return pids.length === 2 && !pids.some((pid) => killed.includes(pid));
  });
  expect(await resumed(server.port, session, {})).toEqual(['0 true', '1 true']);
});

describe('the OpenSSL inside Node', () => {
  it('is called also where V8 collects its garbage while that is tried out', async () => {
    const env = { NODE_OPTIONS: `--require ${COLLECTS}`, TSWOOLE_TLS_ENGINE: '' };
    const server = await startServer('commands.js', { options: { ...options, workerNum: 1, mode: 'base' }, env });
    await open(server.port);
    expect(server.stderr).not.toContain("TLS by Node's tls module");
  });

  it('is missed in the log, with the reason', async () => {
    const env = { NODE_OPTIONS: `--require ${HIDES}`, TSWOOLE_TLS_ENGINE: '' };
    const server = await startServer('commands.js', { options, env });
    await open(server.port);
    expect(server.stderr).toMatch(/TLS by Node's tls module, which takes more CPU.*why=.*does not show the address/);
  });
});
