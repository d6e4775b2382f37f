/** What the `handshake` callback answers. Runs in a worker. */
import { describe, ServerError } from '../errors/index.js';

/** What a client that is accepted gets. */
export interface AcceptOptions<Data = unknown> {
  /** One of the subprotocols that the client has offered (`req.headers['sec-websocket-protocol']`). */
  readonly protocol?: string | undefined;
  /** `conn.data` from its beginning. */
  readonly data?: Data | undefined;
  /** Further fields of the answer, for example cookies; a list is several fields of that name. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>> | undefined;
}

export class Accepted<Data = unknown> {
  readonly options: AcceptOptions<Data>;

  constructor(options: AcceptOptions<Data>) {
    this.options = options;
  }
}

export class Rejected {
  readonly status: number;
  readonly body: string;

  constructor(status: number, body: string) {
    this.status = status;
    this.body = body;
  }
}

/** What `handshake` returns: `accept()` or `reject()`. */
export type HandshakeAnswer<Data = unknown> = Accepted<Data> | Rejected;

/** Answers `handshake`: the client becomes a WebSocket. @throws ServerError ERR_HANDSHAKE */
export function accept<Data = unknown>(options: AcceptOptions<Data> = {}): Accepted<Data> {
  if (typeof options !== 'object' || options === null)
    throw wrong(`accept() takes an object, not ${describe(options)}`);
  const { protocol, headers = {} } = options;
  if (typeof headers !== 'object' || headers === null)
    throw wrong(`headers must be an object, not ${describe(headers)}`);
  if (protocol !== undefined && typeof protocol !== 'string') {
    throw wrong(`protocol must be a string, and is ${describe(protocol)}`);
  }
  for (const [name, value] of Object.entries(headers)) {
    if (OURS.test(name)) throw wrong(`the field ${describe(name)} is that of the handshake itself`);
    const isSound = [value].flat().every((each) => typeof each === 'string' && !BAD_VALUE.test(each));
    if (!NAME.test(name) || !isSound) throw wrong(`the field ${describe(name)} has a name or value that HTTP forbids`);
  }
  return new Accepted(options);
}

/** Answers `handshake`: the client gets this status, and no WebSocket. @param status 400 to 599 @throws ServerError ERR_HANDSHAKE */
export function reject(status = 403, body = ''): Rejected {
  if (!Number.isInteger(status) || status < 400 || status > 599 || typeof body !== 'string') {
    throw wrong(`reject() takes a status from 400 to 599 and a text, not ${describe(status)} and ${describe(body)}`);
  }
  return new Rejected(status, body);
}

function wrong(why: string): ServerError {
  return new ServerError('ERR_HANDSHAKE', { why });
}

const OURS =
  /^(connection|upgrade|content-length|transfer-encoding|sec-websocket-(accept|protocol|extensions|key|version))$/i;
const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is forbidden
const BAD_VALUE = /[\0-\x08\x0a-\x1f\x7f]|[^\0-\xff]/;
