import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { createPoller } from '../../src/os/create-poller.js';
import { addressOf, allocateStable, EAGAIN } from '../../src/os/libc.js';
import { closeDescriptor, connectTcp, send, shutdownWrite } from '../../src/os/socket.js';
import { FilePart } from '../../src/reactor/out-queue.js';
import { TlsContexts } from '../../src/reactor/transport/openssl/tls-contexts.js';
import { TlsSession } from '../../src/reactor/transport/openssl/tls-session.js';
import { OpensslTransport } from '../../src/reactor/transport/openssl.js';
import type { Carried, Staged } from '../../src/reactor/transport/transport.js';
import { certificateFor } from '../helpers/certificates.js';
import { poll } from '../helpers/server-process.js';
import { loaded } from '../helpers/tls-echo-server.js';

const LIMIT_BYTES = 65_536;
const space = allocateStable(LIMIT_BYTES);
const spaceAddress = addressOf(space);
const undo: (() => void)[] = [];
afterEach(() => {
  for (const step of undo.splice(0).reverse()) step();
});

interface World {
  readonly transport: OpensslTransport;
  readonly connection: Carried;
  readonly client: TLSSocket;
  /** What the client has got. */
  readonly got: Buffer[];
}

/** A connection that has shaken hands; `connectTcp` gives us its one end, which plays the server. */
async function world(): Promise<World> {
  const sockets: Socket[] = [];
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => sockets.push(socket)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const descriptor = connectTcp('127.0.0.1', (server.address() as { port: number }).port);
  const socket = await poll('it is connected', () => sockets[0]);
  const poller = createPoller('epoll', { ready: () => {}, turnEnd: () => {} });
  const client = connect({ socket, rejectUnauthorized: false, allowHalfOpen: true } as object);
  client.on('error', () => {});
  undo.push(
    () => poller.close(),
    () => client.destroy(),
    () => server.close(),
  );
  const secure = new TlsSession(new TlsContexts(loaded(certificateFor('main.test'))), descriptor);
  await poll('the handshake', () => secure.handshake() === 'done');
  poller.add(descriptor, 1);
  const got: Buffer[] = [];
  client.on('data', (data) => got.push(data));
  return { transport: new OpensslTransport(poller), connection: { descriptor, secure, hangup: false }, client, got };
}

const receive = ({ transport, connection }: World): number =>
  transport.receive(connection, space, 0, spaceAddress, LIMIT_BYTES);

const someBytes = (made: World): Promise<number> =>
  poll('bytes', () => {
    const n = receive(made);
    return n > 0 ? n : undefined;
  });

/** Offers the rest again until all is taken. */
async function sendAll({ transport, connection }: World, bytes: Buffer): Promise<number> {
  let at = 0;
  let waits = 0;
  await poll('all is taken', () => {
    const n = transport.send(connection, bytes, at, addressOf(bytes) + at, bytes.length - at);
    if (n > 0) at += n;
    else waits++;
    expect(n > 0 || n === -EAGAIN).toBe(true);
    return at === bytes.length;
  });
  return waits;
}

describe('the transport by OpenSSL', () => {
  it('gives what has come, then −EAGAIN, and the end once it is there', async () => {
    const made = await world();
    expect(receive(made)).toBe(-EAGAIN);
    made.client.write('hello');
    expect(await someBytes(made)).toBe(5);
    expect(space.toString('latin1', 0, 5)).toBe('hello');
    expect(made.connection.hangup).toBe(false);
    made.client.end('last');
    expect(await someBytes(made)).toBe(4);
    await poll('the end', () => receive(made) === 0);
    made.transport.release(made.connection);
    await poll('the client sees it', () => made.client.readableEnded);
  });

  it('tells of an end that came with the bytes', async () => {
    const made = await world();
    made.client.end('last');
    await once(made.client, 'finish');
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(receive(made)).toBe(4);
    expect(made.connection.hangup).toBe(true);
    expect(receive(made)).toBe(0);
    made.transport.release(made.connection);
  });

  it('takes what the kernel takes; the rest may come again in other portions', async () => {
    const made = await world();
    made.client.pause();
    const bytes = randomBytes(6_000_000);
    let at = 0;
    for (let n = 1; n > 0; at += Math.max(n, 0)) {
      n = made.transport.send(made.connection, bytes, at, addressOf(bytes) + at, bytes.length - at);
    }
    expect(at).toBeLessThan(bytes.length);
    made.client.resume();
    const portions = [1, 10, 100_000, 7];
    await poll('all is taken', () => {
      for (const portion of portions) {
        const length = Math.min(portion, bytes.length - at);
        if (length === 0) return true;
        at += Math.max(0, made.transport.send(made.connection, bytes, at, addressOf(bytes) + at, length));
      }
      return at === bytes.length;
    });
    await poll('all has come', () => made.got.reduce((sum, { length }) => sum + length, 0) === bytes.length);
    expect(Buffer.concat(made.got).equals(bytes)).toBe(true);
    made.transport.release(made.connection);
  });

  it('encrypts files', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tswoole-transport-'));
    undo.push(() => rmSync(folder, { recursive: true }));
    const bytes = randomBytes(3_000_000);
    writeFileSync(join(folder, 'file'), bytes);
    const made = await world();
    const part = new FilePart(join(folder, 'file'), 1000, bytes.length - 1000);
    await poll('all is taken', () => {
      const n = made.transport.sendFile(made.connection, part, Math.min(part.left, 262_144));
      if (n > 0) part.sent(n);
      return part.left === 0;
    });
    expect(() => made.transport.sendFile(made.connection, part, 1)).toThrow('shorter');
    part.close();
    await poll('all has come', () => made.got.reduce((sum, { length }) => sum + length, 0) === bytes.length - 1000);
    expect(Buffer.concat(made.got).equals(bytes.subarray(1000))).toBe(true);
    made.transport.release(made.connection);
  });

  it('ends behind what was sent, and reads on', async () => {
    const made = await world();
    await sendAll(made, randomBytes(100_000));
    made.transport.end(made.connection);
    await once(made.client, 'end');
    expect(made.got.reduce((sum, { length }) => sum + length, 0)).toBe(100_000);
    made.client.write('still');
    expect(await someBytes(made)).toBe(5);
    made.transport.release(made.connection);
  });

  it('ends a client that reads late, behind all that waited', async () => {
    const made = await world();
    made.client.pause();
    const bytes = randomBytes(8_000_000);
    let at = 0;
    for (let n = 1; n > 0; at += Math.max(n, 0)) {
      n = made.transport.send(made.connection, bytes, at, addressOf(bytes) + at, bytes.length - at);
    }
    made.transport.end(made.connection); // the kernel has no room for it
    made.client.resume();
    await poll('the end', () => {
      receive(made);
      return made.client.readableEnded;
    });
    made.transport.release(made.connection);
  });

  it('resets', async () => {
    const made = await world();
    made.transport.reset(made.connection);
    await poll('the client sees it', () => made.client.destroyed || made.client.readableEnded); // as Node shows it
  });
});

it('a server that cannot send any more at the end of a handshake reads all the same what its client has sent', async () => {
  const sockets: Socket[] = [];
  const server = createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const descriptor = connectTcp('127.0.0.1', (server.address() as { port: number }).port);
  const socket = await poll('it is connected', () => sockets[0]);
  const client = connect({ socket, rejectUnauthorized: false } as object);
  client.on('error', () => {});
  const secure = new TlsSession(new TlsContexts(loaded(certificateFor('main.test'))), descriptor);
  undo.push(
    () => secure.free(),
    () => closeDescriptor(descriptor),
    () => server.close(),
  );
  let isGreeted = false;
  client.once('keylog', () => {
    isGreeted = true;
  });
  const shaken = once(client, 'secureConnect');
  await poll('the hello is answered', () => isGreeted || (secure.handshake() === 'done' && undefined));
  await shaken;
  await new Promise((resolve) => client.write('half a li', resolve));
  shutdownWrite(descriptor); // the tickets that follow a handshake do not leave
  await poll('the handshake', () => secure.handshake() === 'done');
  const n = Number(await poll('its bytes', () => nonzero(secure.read(spaceAddress, LIMIT_BYTES))));
  expect(space.toString('latin1', 0, n)).toBe('half a li');
  socket.destroy();
  expect(await poll('the end', () => nonzero(secure.read(spaceAddress, LIMIT_BYTES)))).toBe(-constants.errno.EPIPE);
});

const nonzero = (n: number): number | false => n !== -EAGAIN && n;

describe('bytes of several connections, encrypted for one call', () => {
  /** How many of its encrypted bytes the kernel takes: all, some, none, or an error. */
  it.each([
    ['all', (bytes: number) => bytes],
    ['a part', () => 7],
    ['nothing', () => 0],
    ['nothing, for it is full', () => -EAGAIN],
  ])('arrive whole and in order where the kernel takes %s of one', async (_what, takes) => {
    const worlds = await Promise.all([world(), world(), world()]);
    const texts = ['first', 'x'.repeat(4096), 'third'].map((text) => Buffer.from(`${text}\n`));
    const staged = worlds.map(({ transport, connection }, i) => {
      const bytes = texts[i] as Buffer;
      return transport.stage(connection, addressOf(bytes), bytes.length) as Staged;
    });
    const taken = staged.map((ready, i) => {
      const most = i === 1 ? takes(ready.bytes) : ready.bytes;
      const { descriptor } = (worlds[i] as World).connection;
      return ready.done(most > 0 ? send(descriptor, ready.address(), most) : most);
    });
    for (const ready of staged) ready.end();
    expect(taken).toEqual(texts.map(({ length }, i) => (i === 1 && takes(1e6) !== 1e6 ? -EAGAIN : length)));
    if (taken[1] === -EAGAIN) await sendAll(worlds[1] as World, texts[1] as Buffer);
    for (const made of worlds) await sendAll(made, Buffer.from('behind it'));
    for (const [i, { got }] of worlds.entries()) {
      await poll('all has come', () => Buffer.concat(got).toString() === `${texts[i]}behind it`);
    }
    for (const { transport, connection } of worlds) transport.release(connection);
  });

  it('are left to a send of its own where bytes wait already, and for one that is gone', async () => {
    const made = await world();
    const bytes = Buffer.from('hello');
    const ready = made.transport.stage(made.connection, addressOf(bytes), bytes.length) as Staged;
    expect(ready.done(-EAGAIN)).toBe(-EAGAIN);
    ready.end();
    expect(made.transport.stage(made.connection, addressOf(bytes), bytes.length)).toBeUndefined();
    await sendAll(made, bytes);
    await poll('it has come once', () => Buffer.concat(made.got).toString() === 'hello');
    const again = made.transport.stage(made.connection, addressOf(bytes), bytes.length) as Staged;
    expect(again.done(-constants.errno.ECONNRESET)).toBe(-constants.errno.ECONNRESET);
    again.end();
    expect(made.transport.stage(made.connection, addressOf(bytes), bytes.length)).toBeUndefined();
    made.transport.reset(made.connection);
    expect(made.transport.stage(made.connection, addressOf(bytes), bytes.length)).toBeUndefined();
  });
});
