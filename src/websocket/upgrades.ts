/**
 * The opening handshake in a worker: checks the request (RFC 6455 4.2), asks the user, answers 101. From there on the
 * reactor frames what comes. Runs in a worker.
 */
import { describe, ServerError } from '../errors/index.js';
import type { TakeUpgrade } from '../http/assemble.js';
import type { Http1Exchange } from '../http/http1-exchange.js';
import type { Peer } from '../http/request.js';
import { defaultRequestLimits, HttpRequest } from '../http/request.js';
import { findHeader } from '../http/request-headers.js';
import { chooseDeflate } from '../protocol/websocket/deflate-offer.js';
import { acceptKey, checkOpening, isOriginAllowed, offeredProtocols } from '../protocol/websocket/handshake.js';
import { isThenable } from '../util/thenable.js';
import { Accepted, type HandshakeAnswer, Rejected } from './handshake-answer.js';

export interface UpgradesParts {
  /** '' for every path. */
  readonly path: string;
  readonly allowedOrigins: readonly string[] | 'same' | '*';
  /** Messages may be compressed. */
  readonly deflate: boolean;
  readonly handshake: ((req: HttpRequest) => unknown) | undefined;
  peerOf(fd: number): Peer;
  /** Keeps the data of the answer. @throws ServerError ERR_CONNECTION_DATA, ERR_DATA_NOT_CLONEABLE */
  prepare(fd: number, answer: Accepted): void;
  /** The connection is a WebSocket. */
  opened(fd: number, req: HttpRequest): void;
  /** The callback has failed: it is logged and counted. */
  failed(error: unknown, what: string): void;
}

const FULL_WINDOW_BITS = 15;
const TEXT = ['content-type', 'text/plain; charset=utf-8'];

/** @returns what takes the upgrades of a port */
export function upgrades(parts: UpgradesParts): TakeUpgrade {
  return (exchange) => {
    const req = new HttpRequest(exchange, (fd) => parts.peerOf(fd), defaultRequestLimits);
    if (!isWebSocket(exchange) || (parts.path !== '' && req.path !== parts.path)) return false;
    new Opening(parts, exchange, req).begin();
    return true;
  };
}

function isWebSocket({ rawHeaders }: Http1Exchange): boolean {
  const wanted = findHeader(rawHeaders, 'upgrade') ?? '';
  return wanted.split(',').some((name) => name.trim().toLowerCase() === 'websocket');
}

class Opening {
  readonly #parts: UpgradesParts;
  readonly #exchange: Http1Exchange;
  readonly #req: HttpRequest;
  #key = '';

  constructor(parts: UpgradesParts, exchange: Http1Exchange, req: HttpRequest) {
    this.#parts = parts;
    this.#exchange = exchange;
    this.#req = req;
  }

  begin(): void {
    const { method, httpVersion } = this.#exchange;
    const found = checkOpening({ method, httpVersion, header: (name) => this.#header(name) });
    if ('status' in found) return this.#refuse(found.status, found.why, found.headers.flat());
    if (this.#hasBody) return this.#refuse(400, 'An upgrade has no body.', []);
    const { allowedOrigins, handshake } = this.#parts;
    const host = this.#exchange.forwarded?.host ?? this.#header('host') ?? '';
    if (!isOriginAllowed(this.#header('origin'), host, allowedOrigins)) {
      return this.#refuse(403, 'This origin may not connect.', []);
    }
    this.#key = found.key;
    if (handshake === undefined) return this.#accept(new Accepted({}));
    try {
      const answer = handshake(this.#req);
      if (!isThenable(answer)) return this.#answer(answer);
      answer.then(
        (settled) => this.#answer(settled),
        (error: unknown) => this.#failed(error),
      );
    } catch (error) {
      this.#failed(error);
    }
  }

  /** @param answer what the user has returned */
  #answer(answer: unknown): void {
    try {
      if (answer instanceof Rejected) return this.#refuse(answer.status, answer.body, []);
      if (answer instanceof Accepted) return this.#accept(answer);
      // Not even undefined: whoever forgets `return` before reject() would let everybody in.
      throw new ServerError('ERR_HANDSHAKE', { why: `the callback has returned ${describe(answer)}` });
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    this.#parts.failed(error, 'handshake');
    this.#refuse(500, 'Internal Server Error', []);
  }

  #refuse(status: number, why: string, fields: readonly string[]): void {
    this.#exchange.respond(status, '', [...TEXT, ...fields], why === '' ? '' : `${why}\n`);
  }

  #accept(answer: Accepted): void {
    const exchange = this.#exchange;
    if (exchange.isEnded || exchange.isGone) return;
    const { protocol, headers = {} } = answer.options;
    this.#checkProtocol(protocol);
    this.#parts.prepare(exchange.fd, answer);
    const deflate = this.#parts.deflate ? chooseDeflate(this.#header('sec-websocket-extensions')) : undefined;
    const isDeflated = deflate?.windowBits === FULL_WINDOW_BITS;
    const fields = [
      ...['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade'],
      `Sec-WebSocket-Accept: ${acceptKey(this.#key)}`,
      ...(protocol === undefined ? [] : [`Sec-WebSocket-Protocol: ${protocol}`]),
      ...(isDeflated ? [`Sec-WebSocket-Extensions: ${deflate.response}`] : []),
      ...Object.entries(headers).flatMap(([name, value]) => [value].flat().map((each) => `${name}: ${each}`)),
    ];
    exchange.becomeWebSocket(`${fields.join('\r\n')}\r\n\r\n`, isDeflated);
    this.#parts.opened(exchange.fd, this.#req);
  }

  /** What came behind it would be taken for frames. */
  get #hasBody(): boolean {
    return this.#header('transfer-encoding') !== undefined || Number(this.#header('content-length') ?? 0) > 0;
  }

  #checkProtocol(protocol: string | undefined): void {
    const offered = offeredProtocols(this.#header('sec-websocket-protocol')) ?? [];
    if (protocol === undefined || offered.includes(protocol)) return;
    const why = `the client offers the subprotocols ${JSON.stringify(offered)}, and "${protocol}" is none of them`;
    throw new ServerError('ERR_HANDSHAKE', { why });
  }

  #header(name: string): string | undefined {
    return findHeader(this.#exchange.rawHeaders, name);
  }
}

export type { HandshakeAnswer };
