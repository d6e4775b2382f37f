import { spawn, spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect as connectTcp, type Socket } from 'node:net';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { certificateFor, clientCertificate, copyOf, overwrite, pipeNamed } from '../helpers/certificates.js';
import { descriptorCount } from '../helpers/proc.js';
import { endServers, IS_BASE, itOnce, poll, spawnServer, startServer } from '../helpers/server-process.js';
import { Since, sharedServers } from '../helpers/shared-servers.js';

afterEach(endServers);

const CLI = fileURLToPath(new URL('../../dist/cli/main.cjs', import.meta.url));
const main = certificateFor('main.test');
const issuer = certificateFor('issuer.test');

/** What ports of one server have beside the usual certificate. */
const others = {
  sni: { tls: { sni: { 'one.test': certificateFor('one.test'), '*.many.test': certificateFor('many.test') } } },
  alpn: { tls: { alpn: ['first/1', 'second/1'] } },
  strict: { tls: { requestCert: true, ca: issuer.cert } },
  lenient: { tls: { requestCert: true, rejectUnauthorized: false, ca: issuer.cert } },
  proxied: { tls: {}, proxyProtocol: ['127.0.0.1'] },
};
const LISTEN = JSON.stringify(Object.values(others).map(({ tls, ...rest }) => ({ ...rest, tls: { ...main, ...tls } })));

const shared = sharedServers();
/** Each test waits for the last close of its clients. */
const startShared = async (): Promise<Since> =>
  new Since(await shared('commands.js', { options: { workerNum: 1, reactorNum: 1, tls: main }, env: { LISTEN } }));

function portOf({ server }: Since, name: keyof typeof others): number {
  const ports = server.events('up')[0]?.['ports'] as number[];
  return ports[1 + Object.keys(others).indexOf(name)] ?? 0;
}

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

type Files = ReturnType<typeof copyOf>;

/** What a server has written to its log since this call. */
function logOf({ server }: Since): () => string {
  const from = server.stderr.length;
  return () => server.stderr.slice(from);
}

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
    const words = ['s_client', '-quiet', '-no_ign_eof', '-connect', `127.0.0.1:${server.port}`];
    const client = spawn('openssl', words, { stdio: ['pipe', 'pipe', 'ignore'] });
    let text = '';
    client.stdout.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
    });
    client.stdin.write('echo from openssl\n');
    await poll('an answer', () => text.includes('\n'));
    client.stdin.end();
    await once(client, 'close');
    expect(text).toBe('from openssl\n');
    await server.waitForEvent('close');
  });

  it('shows the certificate of the name the client asks for', async () => {
    const server = await startShared();
    const nameFor = async (servername: string): Promise<string> => {
      const client = await TlsClient.open(portOf(server, 'sni'), { servername });
      const { name } = client;
      expect(await infoOf(client)).toMatchObject({ serverName: servername });
      await client.close();
      return name;
    };
    expect(await nameFor('one.test')).toBe('one.test');
    expect(await nameFor('any.many.test')).toBe('many.test');
    expect(await nameFor('other.test')).toBe('main.test');
    await server.waitForEvents('close', 3);
  });

  it('agrees upon a protocol by ALPN', async () => {
    const server = await startShared();
    const client = await TlsClient.open(portOf(server, 'alpn'), { ALPNProtocols: ['second/1', 'third/1'] });
    expect(client.socket.alpnProtocol).toBe('second/1');
    expect(await infoOf(client)).toMatchObject({ alpn: 'second/1' });
    await client.close();
    await server.waitForEvent('close');
  });

  it('asks clients for certificates, turns away those without a good one, and tells who the others are', async () => {
    const server = await startShared();
    const port = portOf(server, 'strict');
    const told = logOf(server);
    const read = ({ cert, key }: { cert: string; key: string }) => ({
      cert: readFileSync(cert),
      key: readFileSync(key),
    });
    const alice = read(clientCertificate('alice', issuer));
    const good = await TlsClient.open(port, alice);
    expect(await infoOf(good)).toMatchObject({ authorized: true, subject: 'alice' });
    expect((await infoOf(good))['fingerprint256']).toMatch(/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/);
    const shown = new X509Certificate(alice.cert);
    const certificate = String((await infoOf(good))['certificate']);
    expect(new X509Certificate(certificate).fingerprint256).toBe(shown.fingerprint256);
    expect(certificate).toBe(shown.toString());
    for (const options of [{}, read(certificateFor('stranger.test'))]) {
      await ended(connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options }));
    }
    await server.server.waitFor('the log says so', () => told().includes('TLS_HANDSHAKE'));
    expect(await good.ask('echo still')).toBe('still');
    expect(server.events('close')).toEqual([]);
    await good.close();
    await server.waitForEvent('close');
  });

  it('lets clients in without a good certificate when it is told to, and tells which', async () => {
    const server = await startShared();
    const { cert, key } = certificateFor('stranger.test');
    const client = await TlsClient.open(portOf(server, 'lenient'), {
      cert: readFileSync(cert),
      key: readFileSync(key),
    });
    expect(await infoOf(client)).toMatchObject({ authorized: false, subject: 'stranger.test' });
    await client.close();
    await server.waitForEvent('close');
  });

  it('stands beside plain ones, and its clients may come by a load balancer', async () => {
    const server = await startShared();
    const socket = connectTcp(portOf(server, 'proxied'), '127.0.0.1');
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
    await server.waitForEvent('close');
  });
});

describe('a client that does not shake hands', () => {
  it.each([
    ['sends garbage', (socket: Socket) => void socket.write('GET / HTTP/1.1\r\n\r\n')],
    ['goes away at once', (socket: Socket) => void socket.end()],
    ['takes too long', () => {}],
    ['stops in the middle', (socket: Socket) => void socket.write(Buffer.from('160301020001', 'hex'))],
  ])('but %s is turned away with the reason in the log, and others are served', async (_, speak) => {
    // Its own: a server says the same once in a while.
    const options = { workerNum: 1, reactorNum: 1, tls: { ...main, handshakeTimeoutMs: 500 } };
    const server = await startServer('commands.js', { options });
    const good = await TlsClient.open(server.port);
    const bad = Array.from({ length: 20 }, () => connectTcp(server.port, '127.0.0.1'));
    for (const socket of bad) socket.once('connect', () => speak(socket));
    await Promise.all(bad.map(ended));
    await server.waitFor('the log says so', () => server.stderr.includes('TLS_HANDSHAKE'));
    expect(server.stderr).toMatch(/\bclient\W+127\.0\.0\.1:\d+\b/);
    expect(server.stderr).not.toMatch(/\bfd\W+0\b/);
    expect(await good.ask('echo a')).toBe('a');
    await poll('only one is counted', async () => JSON.parse(await good.ask('stats')).connectionNum === 1);
    expect(server.events('close')).toEqual([]);
    expect(server.stderr.split('\n').length).toBeLessThan(6);
    await good.close();
  });
});

describe.each(['openssl', 'node'])('a client that is refused while it is sending, by the engine %s', (engine) => {
  /** More than a reactor has read when it refuses. */
  const early = Buffer.alloc(4_000_000, 'x');

  it('learns why by the alert each time, and no descriptor of it stays', async () => {
    const tls = { ...main, requestCert: true, ca: issuer.cert };
    const options = { workerNum: 1, reactorNum: 1, tls };
    const server = await startServer('commands.js', { options, env: { TSWOOLE_TLS_ENGINE: engine } });
    /** It reads nothing until all of it has gone, as a client does that first sends its request. */
    const refuse = async (): Promise<readonly unknown[]> => {
      const client = connect({ port: server.port, host: '127.0.0.1', rejectUnauthorized: false });
      const errors: (string | undefined)[] = [];
      client.on('error', ({ code }: NodeJS.ErrnoException) => errors.push(code));
      await once(client, 'secureConnect');
      client.pause();
      await new Promise((sent) => client.write(early, sent));
      client.resume();
      await ended(client);
      return errors;
    };
    const first = await refuse();
    const before = descriptorCount(server.masterPid); // with those that Node opens for the first one
    const reasons = [first, ...(await Promise.all(Array.from({ length: 20 }, refuse)))].flat();
    expect(reasons).toEqual(Array.from({ length: 21 }, () => 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED'));
    await poll('all are closed', () => descriptorCount(server.masterPid) <= before);
  });
});

it('an engine that is unknown is told of at the start, with the known ones', async () => {
  const options = { workerNum: 1, reactorNum: 1, tls: main };
  const server = await startServer('commands.js', { options, env: { TSWOOLE_TLS_ENGINE: 'boring' } });
  expect(server.stderr.match(/TSWOOLE_TLS_ENGINE names no engine .*openssl, node.*boring/g)).toHaveLength(1);
});

describe('certificates', () => {
  const pipe = pipeNamed('pipe.crt');
  /** Of a port for each test of reloads, which finds it as the last one has left it. */
  const files = ['current', 'spoiled', 'refused'].map((name) => copyOf(certificateFor('before.test'), name));
  const [current, spoiled, refused] = files as [Files, Files, Files];
  const own = sharedServers();
  const startOwn = async (files_: Files): Promise<{ server: Since; port: number }> => {
    const listen = JSON.stringify(files.map((tls) => ({ tls })));
    const options = { workerNum: 1, reactorNum: 1 };
    const server = new Since(await own('commands.js', { options, env: { LISTEN: listen } }));
    const ports = server.server.events('up')[0]?.['ports'] as number[];
    return { server, port: ports[1 + files.indexOf(files_)] ?? 0 };
  };
  // A file that a failed test has left as it is would spoil the reloads of the others.
  beforeEach(() => {
    for (const each of files) overwrite(each, certificateFor('before.test'));
  });

  it('are read again at a reload, without a restart', async () => {
    const { server, port } = await startOwn(current);
    const old = await TlsClient.open(port);
    expect(old.name).toBe('before.test');
    overwrite(current, certificateFor('after.test'));
    server.server.signal('SIGUSR1');
    await server.waitForEvent('afterReload');
    await poll('new clients see the new one', async () => {
      const client = await TlsClient.open(port);
      const { name } = client;
      await client.close();
      return name === 'after.test';
    });
    if (!IS_BASE) expect(await old.ask('echo still here')).toBe('still here');
    await old.close();
  });

  it('that cannot be read at a reload leave the old ones in force, and the log says so', async () => {
    const { server, port } = await startOwn(spoiled);
    const told = logOf(server);
    overwrite(spoiled, { cert: certificateFor('after.test').cert, key: certificateFor('before.test').key });
    server.server.signal('SIGUSR1');
    await server.server.waitFor('the log says so', () =>
      /certificates could not be read again|reload failed/.test(told()),
    );
    const client = await TlsClient.open(port);
    expect(client.name).toBe('before.test');
    await client.close();
    if (!IS_BASE) await server.waitForEvent('afterReload'); // of workers, which do not need them there
  });

  it.each([
    ['that do not belong to their key', certificateFor('refused.test').cert, 'X509_check_private_key|mismatch'],
    ['that are of another type than their key', certificateFor('refused.test', 'rsa').cert, String.raw`the key \(ec\)`],
    ['that are empty', '/dev/null', 'the certificate is empty'],
  ])('%s are told to who asks for the reload, and nothing is replaced', async (_, cert, why) => {
    const { server, port } = await startOwn(refused);
    const nameInForce = async (): Promise<string> => {
      const client = await TlsClient.open(port);
      const { name } = client;
      await client.close();
      return name;
    };
    const nameBefore = await nameInForce();
    overwrite(refused, { cert, key: certificateFor('before.test').key });
    const env = { ...process.env, TSWOOLE_OPTION_RUN_DIR: server.server.runDir };
    const reload = (): unknown => spawnSync(process.execPath, [CLI, 'reload'], { env, encoding: 'utf8' });
    const workers = (): number[] => server.server.workers.map(({ pid }) => pid);
    const before = await poll('one worker', () => workers().length === 1 && workers());
    const says = new RegExp(`the certificates cannot be used, the old ones stay .*(${why}).*${refused.cert}`);
    expect(reload()).toMatchObject({ status: 1, stdout: '', stderr: expect.stringMatching(says) });
    expect(workers()).toEqual(before);
    expect(await nameInForce()).toBe(nameBefore);
    overwrite(refused, certificateFor('after.test'));
    expect(reload()).toMatchObject({ status: 0, stderr: '' });
    expect(await nameInForce()).toBe('after.test');
  });

  it.each([
    ['are not there', { cert: '/nonexistent.crt' }, 'ERR_TLS_FILE'],
    ['do not belong to their key', { cert: certificateFor('other.test').cert }, 'ERR_TLS_KEYS'],
    ['are of another type than their key', { cert: certificateFor('main.test', 'rsa').cert }, 'ERR_TLS_KEYS'],
    ['are those of no issuer', { requestCert: true, ca: main.key }, 'ERR_TLS_KEYS'],
    ['are a pipe', { cert: pipe }, 'ERR_TLS_FILE'],
    ['are no certificates', { cert: '-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----' }, 'ERR_TLS_KEYS'],
  ])('that %s keep the server from starting, with a clear error', async (_, tls, code) => {
    const server = spawnServer('commands.js', { options: { workerNum: 1, reactorNum: 1, tls: { ...main, ...tls } } });
    expect(await server.exited).toMatchObject({ code: 1 });
    expect(server.stderr).toContain(code);
    server.assertNothingLeft();
  });
});

describe('data', () => {
  it('of many megabytes comes whole, in both directions, also when the client pauses', async () => {
    const server = await startShared();
    const client = await TlsClient.open(server.port);
    client.socket.pause();
    client.socket.write('bytes 30000000\necho end\n');
    const other = await TlsClient.open(server.port);
    await poll('much waits for the client', async () => JSON.parse(await other.ask('stats')).bufferedBytes > 2 ** 20);
    client.socket.resume();
    await poll('all of it', () => client.text.endsWith('end\n'));
    expect(client.text.length).toBe(30_000_004);
    await Promise.all([client.close(), other.close()]);
    await server.waitForEvents('close', 2);
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

  itOnce('that is owed at a reload in BASE mode arrives; then the connection is closed with the reason', async () => {
    const options = { mode: 'base', workerNum: 2, maxRequest: 1_000_000, tls: main };
    const server = await startServer('commands.js', { options });
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
