import { execFile, spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect as connectTcp, type Socket } from 'node:net';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { certificateFor, clientCertificate, copyOf, overwrite } from '../helpers/certificates.js';
import { endServers, IS_BASE, poll, type ServerProcess, spawnServer, startServer } from '../helpers/server-process.js';
import { Since, sharedServers } from '../helpers/shared-servers.js';

afterEach(endServers);

const CLI = fileURLToPath(new URL('../../dist/cli/main.cjs', import.meta.url));
const main = certificateFor('main.test');
const start = (tls: object, options: Record<string, unknown> = {}): Promise<ServerProcess> =>
  startServer('commands.js', { options: { workerNum: 2, tls: { ...main, ...tls }, ...options } });

const shared = sharedServers();
/** Each test waits for the last close of its clients. */
const startShared = async (): Promise<Since> =>
  new Since(await shared('commands.js', { options: { workerNum: 2, tls: main } }));

class TlsClient {
  readonly socket: TLSSocket;
  text = '';
  ended = false;

  private constructor(socket: TLSSocket) {
    this.socket = socket;
    socket.on('data', (data) => {
      this.text += data.toString('latin1');
    });
    socket.on('end', () => {
      this.ended = true;
    });
    socket.on('error', () => {});
  }

  static async open(port: number, options: ConnectionOptions = {}): Promise<TlsClient> {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options });
    const client = new TlsClient(socket);
    await once(socket, 'secureConnect');
    return client;
  }

  async ask(line: string): Promise<string> {
    const from = this.text.length;
    this.socket.write(`${line}\n`);
    await poll(`an answer to ${line}`, () => this.text.indexOf('\n', from) >= 0 || this.ended);
    return this.text.slice(from).trimEnd();
  }

  get name(): string {
    return String(this.socket.getPeerCertificate().subject.CN);
  }

  async close(): Promise<void> {
    this.socket.end();
    if (!this.socket.closed) await once(this.socket, 'close');
  }
}

const infoOf = async (client: TlsClient): Promise<Record<string, unknown>> => {
  const info = JSON.parse(await client.ask(`info ${await client.ask('fd')}`)) as { tls: Record<string, unknown> };
  return info.tls;
};

async function ended(socket: Socket): Promise<void> {
  socket.on('error', () => {});
  socket.resume();
  await new Promise((resolve) => (socket.closed ? resolve(undefined) : socket.once('close', resolve)));
}

describe('a TLS port', () => {
  it('serves a client that checks its certificate, by TLS 1.2 and 1.3', async () => {
    const server = await startShared();
    const ca = readFileSync(main.cert);
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const client = await TlsClient.open(server.port, { ca, rejectUnauthorized: true, maxVersion: version });
      expect(await client.ask('echo hello')).toBe('hello');
      expect(await infoOf(client)).toMatchObject({ version, serverName: '', authorized: false });
      await client.close();
    }
    await server.waitForEvents('close', 2);
    for (const { reason } of server.events('close')) expect(reason).toMatchObject({ code: 'CLIENT_CLOSED' });
  });

  it('serves openssl s_client', async () => {
    const server = await startShared();
    const run = promisify(execFile);
    const command = `(echo "echo from openssl"; sleep 0.5) | timeout 5 openssl s_client -quiet -no_ign_eof -connect 127.0.0.1:${server.port}`;
    const { stdout } = await run('sh', ['-c', command]);
    expect(stdout).toBe('from openssl\n');
    await server.waitForEvent('close');
  });

  it('shows the certificate of the name the client asks for', async () => {
    const sni = { 'one.test': certificateFor('one.test'), '*.many.test': certificateFor('many.test') };
    const server = await start({ sni });
    const nameFor = async (servername: string): Promise<string> => {
      const client = await TlsClient.open(server.port, { servername });
      const { name } = client;
      expect(await infoOf(client)).toMatchObject({ serverName: servername });
      await client.close();
      return name;
    };
    expect(await nameFor('one.test')).toBe('one.test');
    expect(await nameFor('any.many.test')).toBe('many.test');
    expect(await nameFor('other.test')).toBe('main.test');
  });

  it('agrees upon a protocol by ALPN', async () => {
    const server = await start({ alpn: ['first/1', 'second/1'] });
    const client = await TlsClient.open(server.port, { ALPNProtocols: ['second/1', 'third/1'] });
    expect(client.socket.alpnProtocol).toBe('second/1');
    expect(await infoOf(client)).toMatchObject({ alpn: 'second/1' });
    await client.close();
  });

  it('asks clients for certificates, turns away those without a good one, and tells who the others are', async () => {
    const issuer = certificateFor('issuer.test');
    const server = await start({ requestCert: true, ca: issuer.cert });
    const read = ({ cert, key }: { cert: string; key: string }) => ({
      cert: readFileSync(cert),
      key: readFileSync(key),
    });
    const alice = read(clientCertificate('alice', issuer));
    const good = await TlsClient.open(server.port, alice);
    expect(await infoOf(good)).toMatchObject({ authorized: true, subject: 'alice' });
    expect((await infoOf(good))['fingerprint256']).toMatch(/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/);
    const shown = new X509Certificate(alice.cert);
    const told = String((await infoOf(good))['certificate']);
    expect(new X509Certificate(told).fingerprint256).toBe(shown.fingerprint256);
    expect(told).toBe(shown.toString());
    for (const options of [{}, read(certificateFor('stranger.test'))]) {
      await ended(connect({ port: server.port, host: '127.0.0.1', rejectUnauthorized: false, ...options }));
    }
    await server.waitFor('the log says so', () => server.stderr.includes('TLS_HANDSHAKE'));
    expect(await good.ask('echo still')).toBe('still');
    expect(server.events('close')).toEqual([]);
    await good.close();
  });

  it('lets clients in without a good certificate when it is told to, and tells which', async () => {
    const issuer = certificateFor('issuer.test');
    const server = await start({ requestCert: true, rejectUnauthorized: false, ca: issuer.cert });
    const { cert, key } = certificateFor('stranger.test');
    const client = await TlsClient.open(server.port, { cert: readFileSync(cert), key: readFileSync(key) });
    expect(await infoOf(client)).toMatchObject({ authorized: false, subject: 'stranger.test' });
    await client.close();
  });

  it('stands beside plain ones, and its clients may come by a load balancer', async () => {
    const server = await start({}, { proxyProtocol: ['127.0.0.1'] });
    const socket = connectTcp(server.port, '127.0.0.1');
    await once(socket, 'connect');
    socket.write('PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n');
    const client = connect({ socket, rejectUnauthorized: false });
    await once(client, 'secureConnect');
    client.write('fd\n');
    const fd = String((await once(client, 'data'))[0]).trim();
    client.write(`info ${fd}\n`);
    expect(JSON.parse(String((await once(client, 'data'))[0]))).toMatchObject({ remoteAddress: '192.0.2.7' });
    client.end();
    await once(client, 'close');
  });
});

describe('a client that does not shake hands', () => {
  it.each([
    ['sends garbage', (socket: Socket) => void socket.write('GET / HTTP/1.1\r\n\r\n')],
    ['goes away at once', (socket: Socket) => void socket.end()],
    ['takes too long', () => {}],
    ['stops in the middle', (socket: Socket) => void socket.write(Buffer.from('160301020001', 'hex'))],
  ])('but %s is turned away with the reason in the log, and others are served', async (_, speak) => {
    const server = await start({ handshakeTimeoutMs: 500 }, { logLevel: 'warn' });
    const good = await TlsClient.open(server.port);
    const bad = Array.from({ length: 20 }, () => connectTcp(server.port, '127.0.0.1'));
    for (const socket of bad) socket.once('connect', () => speak(socket));
    await Promise.all(bad.map(ended));
    await server.waitFor('the log says so', () => server.stderr.includes('TLS_HANDSHAKE'));
    expect(await good.ask('echo a')).toBe('a');
    await poll('only one is counted', async () => JSON.parse(await good.ask('stats')).connectionNum === 1);
    expect(server.events('close')).toEqual([]);
    expect(server.stderr.split('\n').length).toBeLessThan(6);
    await good.close();
  });
});

describe('certificates', () => {
  it('are read again at a reload, without a restart', async () => {
    const current = copyOf(certificateFor('before.test'), 'current');
    const server = await start(current);
    const old = await TlsClient.open(server.port);
    expect(old.name).toBe('before.test');
    overwrite(current, certificateFor('after.test'));
    server.signal('SIGUSR1');
    await server.waitForEvent('afterReload');
    await poll('new clients see the new one', async () => {
      const client = await TlsClient.open(server.port);
      const { name } = client;
      await client.close();
      return name === 'after.test';
    });
    if (!IS_BASE) expect(await old.ask('echo still here')).toBe('still here');
    await old.close();
  });

  it('that cannot be read at a reload leave the old ones in force, and the log says so', async () => {
    const current = copyOf(certificateFor('before.test'), 'spoiled');
    const server = await start(current, { logLevel: 'warn' });
    overwrite(current, { cert: certificateFor('after.test').cert, key: certificateFor('before.test').key });
    server.signal('SIGUSR1');
    await server.waitFor('the log says so', () =>
      /certificates could not be read again|reload failed/.test(server.stderr),
    );
    const client = await TlsClient.open(server.port);
    expect(client.name).toBe('before.test');
    await client.close();
  });

  it('that cannot be read are told to who asks for the reload, and nothing is replaced', async () => {
    const current = copyOf(certificateFor('before.test'), 'refused');
    const server = await start(current, { logLevel: 'error' });
    overwrite(current, { cert: certificateFor('after.test').cert, key: certificateFor('before.test').key });
    const env = { ...process.env, TSWOOLE_OPTION_RUN_DIR: server.runDir };
    const reload = (): unknown => spawnSync(process.execPath, [CLI, 'reload'], { env, encoding: 'utf8' });
    const workers = (): (number | undefined)[] => [server.worker(0)?.pid, server.worker(1)?.pid];
    const before = workers();
    expect(reload()).toMatchObject({ status: 1, stderr: expect.stringMatching(/key|certificates/) });
    if (!IS_BASE) expect(workers()).toEqual(before);
    overwrite(current, certificateFor('after.test'));
    expect(reload()).toMatchObject({ status: 0, stderr: '' });
    const client = await TlsClient.open(server.port);
    expect(client.name).toBe('after.test');
    await client.close();
  });

  it.each([
    ['are not there', { cert: '/nonexistent.crt' }, 'ERR_TLS_FILE'],
    ['do not belong to their key', { cert: certificateFor('other.test').cert }, 'ERR_TLS_KEYS'],
    ['are no certificates', { cert: '-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----' }, 'ERR_TLS_KEYS'],
  ])('that %s keep the server from starting, with a clear error', async (_, tls, code) => {
    const server = spawnServer('commands.js', { options: { tls: { ...main, ...tls } } });
    expect(await server.exited).toMatchObject({ code: 1 });
    expect(server.stderr).toContain(code);
    server.assertNothingLeft();
  });
});

describe('data', () => {
  it('of many megabytes comes whole, in both directions, also when the client pauses', async () => {
    const server = await start({}, { workerNum: 1 });
    const client = await TlsClient.open(server.port);
    client.socket.pause();
    client.socket.write('bytes 30000000\necho end\n');
    const other = await TlsClient.open(server.port);
    await poll('much waits for the client', async () => JSON.parse(await other.ask('stats')).bufferedBytes > 2 ** 20);
    client.socket.resume();
    await poll('all of it', () => client.text.endsWith('end\n'), 20_000);
    expect(client.text.length).toBe(30_000_004);
    await Promise.all([client.close(), other.close()]);
  });

  it('that is sent before close() arrives, and close() with reset drops it', async () => {
    const server = await startShared();
    const client = await TlsClient.open(server.port);
    client.socket.write('bytes 1000000\nclose\n');
    await poll('the end', () => client.ended);
    expect(client.text.length).toBe(1_000_000);
    const other = await TlsClient.open(server.port);
    other.socket.write('reset\n');
    await ended(other.socket);
    await server.waitForEvents('close', 2);
    const codes = server.events('close').map(({ reason }) => (reason as { code: string }).code);
    expect(codes.sort()).toEqual(['SERVER_CLOSED', 'SERVER_RESET']);
  });

  it('that is owed at a reload in BASE mode arrives; then the connection is closed with the reason', async () => {
    const options = { mode: 'base', workerNum: 2, maxRequest: 1_000_000 };
    const server = await start({}, options);
    const client = await TlsClient.open(server.port);
    const idle = await TlsClient.open(server.port);
    client.socket.write('later 600\n');
    expect(await client.ask('echo a')).toBe('a');
    server.signal('SIGUSR1');
    await poll('what is owed', () => client.text.includes('later'));
    await poll('both ends', () => client.ended && idle.ended);
    await server.waitForEvent('afterReload');
    await server.waitFor('both are told', () => server.events('close').length === 2);
    for (const { reason } of server.events('close')) {
      expect(reason).toMatchObject({ code: 'WORKER_REPLACED', initiator: 'server' });
    }
    const next = await TlsClient.open(server.port);
    expect(await next.ask('echo b')).toBe('b');
    await next.close();
  });
});
