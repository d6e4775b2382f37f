import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect as connectTcp, createServer, type Socket } from 'node:net';
import { constants } from 'node:os';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import type { TlsOptions } from '../../src/options/tls.js';
import { loadOpenSsl, opensslReason } from '../../src/os/openssl.js';
import { TlsSession } from '../../src/reactor/transport/openssl/tls-session.js';
import { certificateFor, clientCertificate } from '../helpers/certificates.js';
import { KeyUpdater } from '../helpers/key-updates.js';
import { poll } from '../helpers/server-process.js';
import { spoilingProxy } from '../helpers/spoiling-proxy.js';
import { type EchoSettings, TlsEchoServer } from '../helpers/tls-echo-server.js';

const main = certificateFor('main.test');
const servers: TlsEchoServer[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

function serve(options: Partial<TlsOptions> = {}, settings: EchoSettings = {}): TlsEchoServer {
  const server = new TlsEchoServer({ ...main, ...options }, settings);
  servers.push(server);
  return server;
}

const to = ({ port }: TlsEchoServer, options: ConnectionOptions = {}): TLSSocket =>
  connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options });

async function secured(server: TlsEchoServer, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const socket = to(server, options);
  await once(socket, 'secureConnect');
  return socket;
}

/** What resumes the session of a client that was there. */
async function ticketFrom(server: TlsEchoServer, options: ConnectionOptions): Promise<Buffer> {
  const socket = to(server, options);
  const tickets: Buffer[] = [];
  socket.on('session', (ticket) => tickets.push(ticket));
  await once(socket, 'secureConnect');
  await echoed(socket, Buffer.from('x')); // tickets of TLS 1.3 come behind the handshake
  const ticket = await poll('a ticket', () => tickets[0]);
  socket.end();
  await closed(socket);
  return ticket;
}

/** Sends it, and takes as much back. */
async function echoed(socket: TLSSocket, bytes: Buffer): Promise<Buffer> {
  const parts: Buffer[] = [];
  let total = 0;
  const undo: (() => void)[] = [];
  const on = <T>(event: string, listener: (value: T) => void): void => {
    socket.on(event, listener);
    undo.push(() => socket.off(event, listener));
  };
  const whole = new Promise<void>((resolve, reject) => {
    on('error', reject);
    on('close', () => reject(new Error('closed too early')));
    on('data', (part: Buffer) => {
      parts.push(part);
      total += part.length;
      if (total >= bytes.length) resolve();
    });
  });
  socket.write(bytes);
  await whole;
  for (const off of undo) off();
  return Buffer.concat(parts);
}

async function closed(socket: Socket): Promise<void> {
  socket.on('error', () => {});
  socket.resume();
  await new Promise((resolve) => (socket.closed ? resolve(undefined) : socket.once('close', resolve)));
}

const pemsOf = ({ cert, key }: { cert: string; key: string }): ConnectionOptions => ({
  cert: readFileSync(cert),
  key: readFileSync(key),
});

it("Node's OpenSSL can be called directly", () => expect(opensslReason()).toBe(''));

describe('bytes', () => {
  it.each([1, 100, 16_384, 16_385, 65_536, 1_000_000, 5 * 1024 * 1024])('come back: %i of them', async (length) => {
    const server = serve();
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const socket = await secured(server, { maxVersion: version });
      const bytes = randomBytes(length);
      expect((await echoed(socket, bytes)).equals(bytes)).toBe(true);
      socket.end();
      await closed(socket);
    }
    expect(server.failures).toEqual([]);
  });

  it.each([1, 7, 1000, 16_383])('come back whole when %i are read at a time', async (limitBytes) => {
    const server = serve({}, { limitBytes });
    const socket = await secured(server);
    const bytes = randomBytes(40 * limitBytes + 50_000);
    expect((await echoed(socket, bytes)).equals(bytes)).toBe(true);
    socket.end();
    await closed(socket);
  });

  it('wait for a client that does not read, and none is lost', async () => {
    const server = serve();
    const socket = await secured(server);
    const bytes = randomBytes(20 * 1024 * 1024);
    socket.pause();
    socket.write(bytes);
    await poll('the kernel takes no more', () => server.waits > 0);
    const parts: Buffer[] = [];
    socket.on('data', (part: Buffer) => parts.push(part));
    socket.resume();
    await poll('all of it', () => parts.reduce((sum, { length }) => sum + length, 0) === bytes.length, 30_000);
    expect(Buffer.concat(parts).equals(bytes)).toBe(true);
    socket.end();
    await closed(socket);
    expect(server.waits).toBeGreaterThan(1);
  });

  it('of many clients at once do not mix', async () => {
    const server = serve();
    const sockets = await Promise.all(Array.from({ length: 40 }, () => secured(server)));
    await Promise.all(
      sockets.map(async (socket, index) => {
        for (let round = 0; round < 20; round++) {
          const bytes = randomBytes(1 + ((index * 7919 + round * 104_729) % 70_000));
          expect((await echoed(socket, bytes)).equals(bytes)).toBe(true);
        }
      }),
    );
    for (const socket of sockets) socket.end();
    await Promise.all(sockets.map(closed));
  });
});

describe('a handshake', () => {
  it('tells version, cipher, protocol and name', async () => {
    const server = serve({ alpn: ['first/1', 'second/1'] });
    const options = { ALPNProtocols: ['second/1', 'first/1'], servername: 'name.test' };
    const socket = await secured(server, options);
    expect(socket.alpnProtocol).toBe('first/1');
    await poll('it is secured', () => server.infos.length === 1);
    const nobody = { authorized: false, subject: '', fingerprint256: '', certificate: '' };
    const agreed = { version: 'TLSv1.3', cipher: socket.getCipher().standardName, alpn: 'first/1' };
    expect(server.infos[0]).toEqual({ ...agreed, serverName: 'name.test', ...nobody });
    socket.end();
    await closed(socket);
  });

  it('is refused to a client that offers other protocols only', async () => {
    const server = serve({ alpn: ['first/1'] });
    const socket = to(server, { ALPNProtocols: ['other/1'] });
    const [error] = (await once(socket, 'error')) as [Error];
    expect(error.message).toMatch(/no application protocol/i);
    expect(server.failures).toEqual(['no application protocol']);
  });

  it('needs no protocol', async () => {
    const server = serve({ alpn: ['first/1'] });
    const socket = await secured(server);
    expect(socket.alpnProtocol).toBe(false);
    socket.end();
    await closed(socket);
  });

  it('shows the certificate of the name that is asked for, and keeps to the versions of the port', async () => {
    const sni = { 'one.test': certificateFor('one.test'), '*.many.test': certificateFor('many.test') };
    const server = serve({ sni, maxVersion: 'TLSv1.2' });
    for (const [servername, shown] of [
      ['one.test', 'one.test'],
      ['ONE.test', 'one.test'],
      ['any.many.test', 'many.test'],
      ['many.test', 'main.test'],
      ['a.b.many.test', 'main.test'],
      ['other.test', 'main.test'],
    ] as const) {
      const socket = await secured(server, { servername });
      expect(socket.getPeerCertificate().subject.CN).toBe(shown);
      expect(socket.getProtocol()).toBe('TLSv1.2');
      socket.end();
      await closed(socket);
    }
    expect(server.infos.map(({ serverName }) => serverName)[2]).toBe('any.many.test');
  });

  it.each(['TLSv1.2', 'TLSv1.3'] as const)('resumes a session by its ticket: %s', async (version) => {
    const server = serve();
    const options = { maxVersion: version, servername: 'name.test' };
    const session = await ticketFrom(server, options);
    const again = await secured(server, { ...options, session });
    expect(again.isSessionReused()).toBe(true);
    expect((await echoed(again, Buffer.from('hello'))).toString()).toBe('hello');
    expect(server.resumed).toBe(1);
    expect(server.infos[1]).toMatchObject({ version, serverName: 'name.test' });
    again.end();
    await closed(again);
  });

  it('comes together from pieces of one byte', async () => {
    const server = serve({ sni: { 'one.test': certificateFor('one.test') } });
    const socket = connectTcp(server.port, '127.0.0.1');
    await once(socket, 'connect');
    socket.setNoDelay(true);
    const client = connect({ socket: inPieces(socket), servername: 'one.test', rejectUnauthorized: false });
    await once(client, 'secureConnect');
    expect(client.getPeerCertificate().subject.CN).toBe('one.test');
    expect((await echoed(client, Buffer.from('hello'))).toString()).toBe('hello');
    client.end();
    await closed(socket);
  });

  it.each([1, 5, 6, 43, 100, 200, 65_536])('begins with what was read already: %i bytes', async (begunBytes) => {
    const server = serve({ sni: { 'one.test': certificateFor('one.test') } }, { begunBytes });
    const socket = await secured(server, { servername: 'one.test' });
    expect(socket.getPeerCertificate().subject.CN).toBe('one.test');
    expect((await echoed(socket, Buffer.from('hello'))).toString()).toBe('hello');
    socket.end();
    await closed(socket);
  });

  it('fails with the reason', async () => {
    const server = serve({ minVersion: 'TLSv1.3' });
    await closed(to(server, { maxVersion: 'TLSv1.2' }));
    expect(server.failures.splice(0)).toEqual(['unsupported protocol']);
    for (const [bytes, reason] of [
      ['GET / HTTP/1.1\r\n\r\n', 'http request'],
      ['nonsense, and more of it', 'wrong version number'],
      ['\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00', /length|short|parse|decode/],
    ] as const) {
      const socket = connectTcp(server.port, '127.0.0.1');
      socket.write(bytes, 'latin1');
      await closed(socket);
      expect(server.failures.splice(0)).toEqual([expect.stringMatching(reason)]);
    }
  });

  it('ends with its client, at any moment', async () => {
    const server = serve();
    const hello = await firstBytes();
    for (const length of [0, 1, 5, 60, hello.length]) {
      const socket = connectTcp({ port: server.port, host: '127.0.0.1', allowHalfOpen: true });
      socket.on('error', () => {});
      await once(socket, 'connect');
      if (length > 0) socket.write(hello.subarray(0, length));
      socket.end();
      await closed(socket);
    }
    expect(server.failures.splice(0)).toEqual(new Array(5).fill('it ended in the handshake'));
    for (const length of [1, 60, hello.length]) {
      const socket = connectTcp(server.port, '127.0.0.1');
      await once(socket, 'connect');
      socket.write(hello.subarray(0, length));
      await poll('it is accepted', () => server.size === 1);
      await new Promise((resolve) => setTimeout(resolve, 20));
      socket.resetAndDestroy();
      await poll('it is gone', () => server.size === 0);
    }
    expect(server.failures).toEqual(new Array(3).fill('read ECONNRESET'));
  });
});

/** A ClientHello as Node's client sends it. */
async function firstBytes(): Promise<Buffer> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect({ port: (server.address() as { port: number }).port, host: '127.0.0.1' });
  client.on('error', () => {});
  const [socket] = (await once(server, 'connection')) as [Socket];
  const [hello] = (await once(socket, 'data')) as [Buffer];
  client.destroy();
  socket.destroy();
  server.close();
  return hello;
}

/** Writes each byte by itself. */
function inPieces(socket: Socket): Socket {
  const write = socket._write.bind(socket);
  socket._writev = undefined as never;
  socket._write = (chunk: Buffer, encoding, callback): void => {
    let at = 0;
    const next = (error?: Error | null): void => {
      if (error || at === chunk.length) return callback(error ?? null);
      const piece = chunk.subarray(at, ++at);
      setImmediate(() => write(piece, encoding, next));
    };
    next();
  };
  return socket;
}

describe('certificates of clients', () => {
  const issuer = certificateFor('issuer.test');
  const alice = pemsOf(clientCertificate('alice', issuer));
  const stranger = pemsOf(certificateFor('stranger.test'));

  it.each(['TLSv1.2', 'TLSv1.3'] as const)('are asked for: %s', async (version) => {
    const server = serve({ requestCert: true, ca: issuer.cert });
    const good = await secured(server, { ...alice, maxVersion: version });
    expect((await echoed(good, Buffer.from('x'))).toString()).toBe('x');
    expect(server.infos).toEqual([expect.objectContaining({ authorized: true, subject: 'alice' })]);
    expect(server.infos[0]?.fingerprint256).toMatch(/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/);
    expect(server.infos[0]?.certificate).toBe(String(alice.cert).slice(String(alice.cert).indexOf('-----BEGIN')));
    good.end();
    await closed(good);
    await closed(to(server, { maxVersion: version }));
    await closed(to(server, { ...stranger, maxVersion: version }));
    expect(server.failures).toEqual([
      'peer did not return a certificate',
      expect.stringMatching(/^certificate verify failed: self[- ]signed certificate$/),
    ]);
  });

  it('may be missing or bad where it is allowed', async () => {
    const server = serve({ requestCert: true, rejectUnauthorized: false, ca: issuer.cert });
    for (const pems of [stranger, {}, alice]) {
      const socket = await secured(server, pems);
      expect((await echoed(socket, Buffer.from('x'))).toString()).toBe('x');
      socket.end();
      await closed(socket);
    }
    const told = server.infos.map(({ authorized, subject }) => [authorized, subject]);
    expect(told).toEqual([
      [false, 'stranger.test'],
      [false, ''],
      [true, 'alice'],
    ]);
  });

  it('are remembered by tickets', async () => {
    const server = serve({ requestCert: true, ca: issuer.cert });
    const session = await ticketFrom(server, alice);
    const again = await secured(server, { session });
    expect(again.isSessionReused()).toBe(true);
    expect((await echoed(again, Buffer.from('x'))).toString()).toBe('x');
    expect(server.infos[1]).toMatchObject({ authorized: true, subject: 'alice' });
    again.end();
    await closed(again);
  });
});

describe('the end', () => {
  it('of a client is its close_notify, and ours follows', async () => {
    const server = serve();
    const socket = await secured(server);
    socket.write('last words');
    let text = '';
    socket.on('data', (data) => {
      text += data;
    });
    socket.end();
    await once(socket, 'end');
    expect(text).toBe('last words');
    await closed(socket);
    expect(server.ends).toEqual(['0']);
    await poll('nothing is left', () => server.size === 0);
  });

  it('of ours is close_notify behind all that was written', async () => {
    const server = serve({}, { farewell: randomBytes(3_000_000) });
    const socket = await secured(server);
    let total = 0;
    socket.on('data', ({ length }: Buffer) => {
      total += length;
    });
    await closed(socket);
    expect(total).toBe(3_000_000);
    await poll('nothing is left', () => server.size === 0);
    expect(server.ends).toEqual(['0']);
  });

  it('without close_notify is an end too', async () => {
    const server = serve();
    const socket = connectTcp(server.port, '127.0.0.1');
    const client = connect({ socket, rejectUnauthorized: false });
    await once(client, 'secureConnect');
    await poll('it is secured', () => server.infos.length === 1);
    socket.end();
    await closed(socket);
    await poll('nothing is left', () => server.size === 0);
    expect(server.ends).toEqual(['0']);
  });

  it('in the middle of a record is one', async () => {
    const server = serve();
    const socket = connectTcp(server.port, '127.0.0.1');
    const client = connect({ socket, rejectUnauthorized: false });
    await once(client, 'secureConnect');
    await poll('it is secured', () => server.infos.length === 1);
    socket.end(Buffer.from('170303002001', 'hex')); // comes in one segment with the end
    await closed(socket);
    await poll('nothing is left', () => server.size === 0);
    expect(server.ends).toEqual(['0']);
  });

  it('by a reset is told', async () => {
    const server = serve();
    const socket = connectTcp(server.port, '127.0.0.1');
    const client = connect({ socket, rejectUnauthorized: false });
    client.on('error', () => {});
    await once(client, 'secureConnect');
    await poll('it is secured', () => server.infos.length === 1);
    socket.resetAndDestroy();
    await poll('nothing is left', () => server.size === 0);
    expect(server.ends).toEqual(['-104']);
  });

  it('by a broken record is told, with its reason, behind the good ones', async () => {
    const server = serve();
    const socket = connectTcp(server.port, '127.0.0.1');
    const client = connect({ socket, rejectUnauthorized: false });
    client.on('error', () => {});
    await once(client, 'secureConnect');
    await poll('it is secured', () => server.infos.length === 1);
    socket.write(Buffer.concat([Buffer.from('1703030020', 'hex'), randomBytes(32)]));
    await closed(socket);
    expect(server.ends).toEqual(['-71 decryption failed or bad record mac']);
    expect(server.size).toBe(0);
  });
});

it('errors that other code leaves behind in the thread do not count', async () => {
  const server = serve();
  const { openssl } = loadOpenSsl();
  const leaveError = (): void => {
    openssl.SSL_CTX_set_session_id_context(server.contexts.contextFor(''), Buffer.alloc(100), 100); // too long
    expect(openssl.ERR_peek_error()).not.toBe(0);
  };
  const socket = to(server);
  leaveError();
  await once(socket, 'secureConnect');
  for (const length of [10, 50_000]) {
    leaveError();
    const bytes = randomBytes(length);
    expect((await echoed(socket, bytes)).equals(bytes)).toBe(true);
  }
  leaveError();
  socket.end();
  await closed(socket);
  expect([server.failures, server.ends]).toEqual([[], ['0']]);
});

it('a session without a handshake, and one that was freed, is harmless', async () => {
  const server = serve();
  const session = new TlsSession(server.contexts, -1);
  const calls = (): unknown[] => [session.write(0, 10), session.shutdown(), session.alpn, session.isResumed];
  expect(calls()).toEqual([-constants.errno.ENOTCONN, 0, '', false]);
  expect(session.read(0, 10)).toBe(-constants.errno.EAGAIN);
  expect(session.handshake()).toEqual({ failed: 'read EBADF' });
  session.free();
  session.free();
  expect(calls()).toEqual([-constants.errno.ENOTCONN, 0, '', false]);
  expect(session.read(0, 10)).toBe(-constants.errno.EPROTO);
  expect(() => session.info()).toThrow('no TLS session');
});

describe('openssl s_client', () => {
  /** @returns all that it prints */
  async function talk(server: TlsEchoServer, args: readonly string[], lines: readonly string[]): Promise<string> {
    const client = spawn('openssl', ['s_client', '-connect', `127.0.0.1:${server.port}`, ...args]);
    let text = '';
    for (const stream of [client.stdout, client.stderr]) {
      stream.on('data', (data) => {
        text += data;
      });
    }
    client.stdin.on('error', () => {});
    const isGone = once(client, 'close');
    await poll('it is secured', () => server.infos.length === 1);
    for (const line of lines) {
      client.stdin.write(`${line}\n`);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    client.stdin.end();
    await isGone;
    return text;
  }

  it('is served', async () => {
    expect(await talk(serve(), ['-quiet', '-no_ign_eof'], ['hello'])).toContain('hello');
  });

  it('may not renegotiate', async () => {
    const server = serve();
    const text = await talk(server, ['-tls1_2', '-legacy_renegotiation'], ['hello', 'R']);
    expect(text).toContain('hello');
    expect(text).toMatch(/no renegotiation/);
    expect(server.infos.length).toBe(1);
  });

  it('may change its keys, and have ours changed', async () => {
    const server = serve();
    const text = await talk(server, ['-tls1_3'], ['before', 'K', 'between', 'k', 'after']);
    expect(text).toMatch(/before[\s\S]*between[\s\S]*after/);
    expect(server.ends).toEqual(['0']);
  });

  it('may ask for small records', async () => {
    const text = await talk(serve(), ['-maxfraglen', '512'], ['a'.repeat(3000)]);
    expect(text).toContain('a'.repeat(3000));
  });
});

describe('a client that changes its keys', () => {
  const MANY = 3000;

  it('often, with data in between, is served', async () => {
    const server = serve();
    const client = await KeyUpdater.open(server.port);
    for (let i = 0; i < 3; i++) {
      client.update(MANY);
      client.say('data');
    }
    await poll('all is echoed', () => server.echoed === 12);
    expect(server.ends).toEqual([]);
    await client.free();
  });

  it('and sends nothing else is turned away: it would occupy the thread', async () => {
    const server = serve();
    const client = await KeyUpdater.open(server.port);
    client.update(3 * MANY);
    await poll('it is turned away', () => server.ends.length > 0);
    expect(server.ends).toEqual([`-${constants.errno.EPROTO} it sends records without data`]);
    await client.free();
  });
});

it('curl gets what is sent', async () => {
  const body = 'hello '.repeat(10_000);
  const farewell = Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`);
  const server = serve({}, { farewell });
  const { stdout } = await promisify(execFile)('curl', ['-sk', `https://127.0.0.1:${server.port}/`]);
  expect(stdout).toBe(body);
});

it('certificates can be renewed while sessions live, and what is collected meanwhile hurts nobody', async () => {
  const server = serve();
  const old = await secured(server);
  for (let i = 0; i < 30; i++) {
    server.contexts = new (Object.getPrototypeOf(server.contexts).constructor)(
      (await import('../helpers/tls-echo-server.js')).loaded(certificateFor('after.test')),
    );
    Buffer.alloc(4_000_000).fill(1);
  }
  const fresh = await secured(server);
  expect(fresh.getPeerCertificate().subject.CN).toBe('after.test');
  for (const socket of [old, fresh]) {
    expect((await echoed(socket, Buffer.from('still'))).toString()).toBe('still');
    socket.end();
    await closed(socket);
  }
});

describe('nothing is left', () => {
  const count = process.env['SOAK'] === '1' ? 10_000 : 2000;

  it(`of ${count} handshakes`, { timeout: 300_000 }, async () => {
    const server = serve();
    const url = `127.0.0.1:${server.port}`;
    const shakeHands = async (total: number): Promise<void> => {
      while (server.infos.length < total) {
        const client = spawn('openssl', ['s_time', '-connect', url, '-new', '-time', '2'], { stdio: 'ignore' });
        await once(client, 'close');
      }
    };
    await shakeHands(300);
    const before = process.memoryUsage.rss();
    await shakeHands(300 + count);
    const grownBytes = process.memoryUsage.rss() - before;
    expect(server.size).toBeLessThan(3);
    expect(grownBytes / count).toBeLessThan(5000); // a session has some 10 KiB, besides its keys
  });

  it('of 2000 clients that fail', { timeout: 300_000 }, async () => {
    const server = serve();
    const failed = async (total: number): Promise<void> => {
      while (server.failures.length < total) {
        const batch = Array.from({ length: 50 }, () => connectTcp(server.port, '127.0.0.1'));
        for (const socket of batch) socket.end('nonsense, and more of it');
        await Promise.all(batch.map(closed));
      }
    };
    await failed(500);
    const before = process.memoryUsage.rss();
    await failed(2500);
    expect(server.size).toBe(0);
    expect((process.memoryUsage.rss() - before) / 2000).toBeLessThan(8000);
  });
});

it('bytes that are spoiled anywhere, or cut off, end their connection, and no other', {
  timeout: 120_000,
}, async () => {
  const server = serve({ requestCert: true, rejectUnauthorized: false });
  const proxy = await spoilingProxy(server.port);
  let whole = 0;
  const visit = async (maxVersion: 'TLSv1.2' | 'TLSv1.3'): Promise<void> => {
    const socket = connect({ port: proxy.port, host: '127.0.0.1', rejectUnauthorized: false, maxVersion });
    let length = 0;
    socket.once('secureConnect', () => socket.write(Buffer.alloc(20_000, 7)));
    socket.on('data', (part: Buffer) => {
      length += part.length;
      if (length < 20_000) return;
      whole++;
      socket.end();
    });
    await closed(socket);
  };
  for (let round = 0; round < 3; round++) {
    await Promise.all(Array.from({ length: 40 }, (_, i) => visit(i % 8 < 4 ? 'TLSv1.2' : 'TLSv1.3')));
  }
  await poll('nothing is left', () => server.size === 0);
  expect(whole).toBe(30); // a quarter goes through in pieces, and unspoiled
  expect(server.failures.length + server.ends.length).toBe(120);
  proxy.close();
});
