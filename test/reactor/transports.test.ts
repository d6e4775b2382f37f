import { connect as connectPlain } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterAll } from 'vitest';
import { resolveOptions } from '../../src/options/index.js';
import { AF_INET } from '../../src/os/constants.js';
import { accept, bindTcp, closeDescriptor, listen, localAddress } from '../../src/os/socket.js';
import { loadTls } from '../../src/protocol/tls.js';
import { TlsHandshakeGate } from '../../src/reactor/admission/tls-handshake.js';
import { Connection } from '../../src/reactor/connection.js';
import { PlainTransport } from '../../src/reactor/transport/plain.js';
import { TlsTransport } from '../../src/reactor/transport/tls.js';
import type { TlsStream } from '../../src/reactor/transport/tls-stream.js';
import type { Transport } from '../../src/reactor/transport/transport.js';
import { certificateFor } from '../helpers/certificates.js';
import { ReactorWorld } from '../helpers/reactor-world.js';
import { poll } from '../helpers/server-process.js';
import { transportConformance } from './transport.conformance.js';

const world = new ReactorWorld();
const listener = bindTcp('127.0.0.1', 0);
listen(listener, 16);
const { port } = localAddress(listener);
const sockaddr = Buffer.alloc(28);
afterAll(() => closeDescriptor(listener));

const accepted = async (): Promise<number> =>
  await poll('a client is accepted', () => {
    const descriptor = accept(listener, sockaddr);
    return descriptor < 0 ? undefined : descriptor;
  });

function connectionOf(descriptor: number, transport: Transport, secure: TlsStream | null): Connection {
  const place = { sessionId: 100, slot: 1, descriptor, worker: 0, port: 0 };
  return new Connection(place, world.protocols.ofPort(0), transport, secure);
}

transportConformance('plain', async () => {
  const client = connectPlain({ port, host: '127.0.0.1', allowHalfOpen: true });
  const transport = new PlainTransport(world.context);
  const connection = connectionOf(await accepted(), transport, null);
  return { transport, client, connection, failures: [], reset: () => client.resetAndDestroy() };
});

const gate = new TlsHandshakeGate({
  loaded: loadTls(tlsOptions()),
  abandon() {},
  refuse() {},
});

transportConformance('TLS', async () => {
  const socket = connectPlain({ port, host: '127.0.0.1', allowHalfOpen: true });
  const client = connectTls({ socket, rejectUnauthorized: false });
  const descriptor = await accepted();
  const arrival = { descriptor, portIndex: 0, family: AF_INET, address: Buffer.alloc(16), remotePort: 1 };
  const failures: string[] = [];
  let secure: TlsStream | null = null;
  gate.admit({ arrival, early: Buffer.alloc(0), isWatched: false, secure: null }, (entrant) => {
    secure = entrant.secure;
    secure?.listen({ readable() {}, written() {}, closed() {}, failed: ({ code }) => failures.push(code ?? '') });
  });
  await poll('hands are shaken', () => secure !== null && client.getProtocol() !== null);
  const transport = new TlsTransport();
  const connection = connectionOf(descriptor, transport, secure);
  return { transport, client, connection, failures, reset: () => socket.resetAndDestroy() };
});

function tlsOptions() {
  const { tls } = resolveOptions({ tls: certificateFor('localhost') });
  if (tls === null) throw new Error('it speaks plain');
  return tls;
}
