/** The certificates of one listen port as OpenSSL knows them, chosen by the name a client asks for. Runs in the reactor. */
import { createSecureContext, type SecureContext } from 'node:tls';
import { type LoadedTls, SESSION_ID_CONTEXT } from '../../../listen/tls-material.js';
import {
  contextAddress,
  loadOpenSsl,
  type OpenSsl,
  SSL_CTRL_MODE,
  SSL_MODE_RELEASE_BUFFERS,
  SSL_OP_CIPHER_SERVER_PREFERENCE,
  SSL_OP_NO_RENEGOTIATION,
  SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
  SSL_VERIFY_PEER,
} from '../../../os/openssl.js';
import { acceptAnyCertificate, protocolList, selectProtocol } from '../../../os/openssl-callbacks.js';

interface NamedContext {
  readonly name: string;
  readonly address: number;
}

const sessionIdContext = Buffer.from(SESSION_ID_CONTEXT);

/**
 * Options and files are read by Node's `tls.createSecureContext`. New certificates are a new `TlsContexts`; sessions keep
 * theirs, and with it what Node would free under them.
 */
export class TlsContexts {
  /** True when clients are asked for a certificate. */
  readonly asksForCertificate: boolean;
  /** Referenced as long as this object is: Node frees a context that is collected, and the keys of its tickets. */
  readonly kept: readonly SecureContext[];
  readonly #main: number;
  readonly #byName: readonly NamedContext[];

  /** @param loaded its contexts must serve no server of Node's `tls` @throws Error where OpenSSL cannot be called directly */
  constructor(loaded: LoadedTls) {
    const { options, sni } = loaded;
    this.asksForCertificate = options.requestCert === true;
    const main = createSecureContext(options);
    this.kept = [main, ...sni.map(([, context]) => context)];
    this.#main = prepare(main, loaded);
    // As in Node, the last one that matches counts.
    this.#byName = sni
      .map(([name, context]) => ({ name: name.toLowerCase(), address: prepare(context, loaded) }))
      .reverse();
  }

  /** The `SSL_CTX` for a client that asks for `serverName` ('': it does not say). */
  contextFor(serverName: string): number {
    if (serverName === '' || this.#byName.length === 0) return this.#main;
    const asked = serverName.toLowerCase();
    return this.#byName.find(({ name }) => matches(name, asked))?.address ?? this.#main;
  }
}

/** `*.example.com` stands for one more label. */
function matches(name: string, asked: string): boolean {
  if (!name.startsWith('*.')) return name === asked;
  const dot = asked.indexOf('.');
  return dot > 0 && asked.slice(dot) === name.slice(1);
}

/** What Node sets for each connection of a server, here once for all. */
function prepare(context: SecureContext, { options }: LoadedTls): number {
  const { openssl } = loadOpenSsl();
  const address = contextAddress(context);
  if (openssl.SSL_CTX_get0_certificate(address) === 0) throw new Error('an SSL_CTX does not have its certificate');
  openssl.SSL_CTX_ctrl(address, SSL_CTRL_MODE, SSL_MODE_RELEASE_BUFFERS, 0);
  openssl.SSL_CTX_set_options(address, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  openssl.SSL_CTX_set_session_id_context(address, sessionIdContext, sessionIdContext.length);
  if (options.requestCert === true) askForCertificate(openssl, address, options.rejectUnauthorized !== false);
  const { ALPNProtocols: names } = options;
  if (Array.isArray(names) && names.length > 0) {
    openssl.SSL_CTX_set_alpn_select_cb(address, selectProtocol(), protocolList(names));
  }
  return address;
}

function askForCertificate(openssl: OpenSsl, address: number, isMust: boolean): void {
  if (isMust) openssl.SSL_CTX_set_verify(address, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, 0);
  else openssl.SSL_CTX_set_verify(address, SSL_VERIFY_PEER, acceptAnyCertificate());
}
