import { connect as connectTls } from 'node:tls';
import { afterAll } from 'vitest';
import { resolveOptions } from '../../src/options/index.js';
import { loadTls } from '../../src/protocol/tls.js';
import { TlsHandshakeGate } from '../../src/reactor/admission/tls-handshake.js';
import { Connection } from '../../src/reactor/connection.js';
import { PlainTransport } from '../../src/reactor/transport/plain.js';
import { TlsTransport } from '../../src/reactor/transport/tls.js';
import type { TlsStream } from '../../src/reactor/transport/tls-stream.js';
import type { Transport } from '../../src/reactor/transport/transport.js';
import { certificateFor } from '../helpers/certificates.js';
import { Loopback } from '../helpers/loopback.js';
import { ReactorWorld } from '../helpers/reactor-world.js';
import { poll } from '../helpers/server-process.js';
import { transportConformance } from './transport.conformance.js';

const world = new ReactorWorld();
const loopback = new Loopback();
afterAll(() => loopback.close());

function connectionOf(descriptor: number, transport: Transport, secure: TlsStream | null): Connection {
  const place = { sessionId: 100, slot: 1, descriptor, worker: 0, port: 0 };
  return new Connection(place, world.protocols.ofPort(0), transport, secure);
}

transportConformance('plain', async () => {
  const client = loopback.connect();
  const transport = new PlainTransport(world.context);
  const connection = connectionOf(await loopback.accept(), transport, null);
  return { transport, client, connection, failures: [], reset: () => client.resetAndDestroy() };
});

const gate = new TlsHandshakeGate({
  loaded: loadTls(tlsOptions()),
  abandon() {},
  refuse() {},
});

transportConformance('TLS', async () => {
  const socket = loopback.connect();
  const client = connectTls({ socket, rejectUnauthorized: false });
  const arrival = await loopback.arrival();
  const failures: string[] = [];
  let secure: TlsStream | null = null;
  gate.admit({ arrival, early: Buffer.alloc(0), isWatched: false, secure: null }, (entrant) => {
    secure = entrant.secure;
    secure?.listen({ readable() {}, written() {}, closed() {}, failed: ({ code }) => failures.push(code ?? '') });
  });
  await poll('hands are shaken', () => secure !== null && client.getProtocol() !== null);
  const transport = new TlsTransport();
  const connection = connectionOf(arrival.descriptor, transport, secure);
  return { transport, client, connection, failures, reset: () => socket.resetAndDestroy() };
});

function tlsOptions() {
  const { tls } = resolveOptions({ tls: certificateFor('localhost') });
  if (tls === null) throw new Error('it speaks plain');
  return tls;
}
