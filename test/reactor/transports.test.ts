import { connect as connectTls } from 'node:tls';
import { afterAll } from 'vitest';
import { loadTls } from '../../src/listen/tls-material.js';
import { resolveOptions } from '../../src/options/index.js';
import { NodeHandshakeGate } from '../../src/reactor/admission/node-handshake.js';
import { Connection } from '../../src/reactor/connection.js';
import { NodeTlsTransport } from '../../src/reactor/transport/node-tls.js';
import { TlsContexts } from '../../src/reactor/transport/openssl/tls-contexts.js';
import { TlsSession } from '../../src/reactor/transport/openssl/tls-session.js';
import { OpensslTransport } from '../../src/reactor/transport/openssl.js';
import { PlainTransport } from '../../src/reactor/transport/plain.js';
import type { Secured, Transport } from '../../src/reactor/transport/transport.js';
import { certificateFor } from '../helpers/certificates.js';
import { Loopback } from '../helpers/loopback.js';
import { noPoller, ReactorWorld } from '../helpers/reactor-world.js';
import { poll } from '../helpers/server-process.js';
import { transportConformance } from './transport.conformance.js';

const world = new ReactorWorld();
const loopback = new Loopback();
afterAll(() => loopback.close());

function connectionOf(descriptor: number, transport: Transport, secure: Secured | null): Connection {
  const place = { sessionId: 100, slot: 1, descriptor, worker: 0, port: 0 };
  return new Connection(place, world.protocols.ofPort(0), transport, secure);
}

transportConformance('plain', async () => {
  const client = loopback.connect();
  const transport = new PlainTransport(world.context);
  const connection = connectionOf(await loopback.accept(), transport, null);
  return { transport, client, connection, failures: [], reset: () => client.resetAndDestroy() };
});

const gate = new NodeHandshakeGate({
  ...{ loaded: loadTls(tlsOptions()), transport: new NodeTlsTransport() },
  ...{ poller: noPoller, newToken: () => 1 },
  abandon() {},
  refuse() {},
});

transportConformance("TLS by Node's streams", async () => {
  const socket = loopback.connect();
  const client = connectTls({ socket, rejectUnauthorized: false });
  // libuv tells of a reset behind unread bytes as of an end: all that belongs to the handshake must have been read.
  let tickets = 0;
  client.on('session', () => tickets++);
  const arrival = await loopback.arrival();
  const failures: string[] = [];
  let secure: Secured | null = null;
  gate.admit(
    { arrival, early: Buffer.alloc(0), isWatched: false, secure: null, transport: world.transport },
    (entrant) => {
      secure = entrant.secure;
      secure?.listen?.({ readable() {}, written() {}, closed() {}, failed: ({ code }) => failures.push(code ?? '') });
    },
  );
  await poll('hands are shaken', () => secure !== null && tickets === 2);
  const transport = new NodeTlsTransport();
  const connection = connectionOf(arrival.descriptor, transport, secure);
  return { transport, client, connection, failures, reset: () => socket.resetAndDestroy() };
});

const contexts = new TlsContexts(loadTls(tlsOptions()));

transportConformance('TLS by OpenSSL', async () => {
  const socket = loopback.connect();
  const client = connectTls({ socket, rejectUnauthorized: false });
  let tickets = 0;
  client.on('session', () => tickets++);
  const { descriptor } = await loopback.arrival();
  const session = new TlsSession(contexts, descriptor);
  await poll('hands are shaken', () => session.handshake() === 'done' && tickets === 2);
  const transport = new OpensslTransport(world.context.poller);
  const connection = connectionOf(descriptor, transport, session);
  return { transport, client, connection, failures: [], aheadBytes: 65_536, reset: () => socket.resetAndDestroy() };
});

function tlsOptions() {
  const { tls } = resolveOptions({ tls: certificateFor('localhost') });
  if (tls === null) throw new Error('it speaks plain');
  return tls;
}
