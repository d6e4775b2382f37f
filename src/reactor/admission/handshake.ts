/**
 * By which TLS a port shakes hands: the OpenSSL inside Node, called directly; Node's `tls` where that cannot be called, or
 * the environment asks for it. Runs in the reactor.
 */
import type { Arrival } from '../../ipc/arrival.js';
import type { LoadedTls } from '../../listen/tls-material.js';
import type { ResolvedTls } from '../../options/tls.js';
import { TLS_ENGINE_VARIABLE, tlsEngineOf } from '../../options/tls-engine.js';
import { opensslIsUsable, opensslReason } from '../../os/openssl.js';
import type { Poller } from '../../os/poller.js';
import { NodeTlsTransport } from '../transport/node-tls.js';
import { TlsContexts } from '../transport/openssl/tls-contexts.js';
import { OpensslTransport } from '../transport/openssl.js';
import type { AdmissionGate } from './gate.js';
import { NodeHandshakeGate } from './node-handshake.js';
import { OpensslHandshakeGate } from './openssl-handshake.js';

export interface HandshakeGate extends AdmissionGate {
  /** Why Node's `tls` does the work although nobody has asked for it. Missing: it does not. */
  readonly fellBack?: string;
  /** For clients that come from now on. */
  renew(loaded: LoadedTls): void;
  /** @returns false: the token is not one of this gate's */
  ready(token: number): boolean;
  owns(token: number): boolean;
}

export interface HandshakeParts {
  readonly poller: Poller;
  /** Reads the certificates again. @throws ServerError ERR_TLS_* */
  load(): LoadedTls;
  /** Not in use by another gate, and out of the range of slots and datagrams. */
  newToken(): number;
  /** The client waits no longer; its descriptor is closed, or will be without being counted. */
  refuse(arrival: Arrival, why: string): void;
}

/** @param loaded from `tls` */
export function handshakeGate(loaded: LoadedTls, tls: ResolvedTls, parts: HandshakeParts): HandshakeGate {
  const isNode = tlsEngineOf(process.env[TLS_ENGINE_VARIABLE]) === 'node';
  const contexts = isNode ? '' : contextsOf(loaded);
  if (typeof contexts !== 'string') {
    const transport = new OpensslTransport(parts.poller);
    const { handshakeTimeoutMs } = tls;
    return new OpensslHandshakeGate({ ...parts, contexts, transport, handshakeTimeoutMs });
  }
  const { poller, load, newToken, refuse } = parts;
  poller.leaveWaitingToNode?.();
  return new NodeHandshakeGate({
    ...(isNode ? {} : { fellBack: contexts }),
    loaded: load(), // contexts that OpenSSL was given are not to be given to a server of Node's
    transport: new NodeTlsTransport(),
    abandon: (descriptor) => poller.abandon(descriptor),
    ...{ poller, newToken, refuse },
  });
}

/** @returns why not, where OpenSSL cannot be called or does not take them as Node does */
function contextsOf(loaded: LoadedTls): TlsContexts | string {
  if (!opensslIsUsable()) return opensslReason();
  try {
    return new TlsContexts(loaded);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
