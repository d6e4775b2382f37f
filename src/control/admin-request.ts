/** Parses and checks a request to the admin listener before a command runs. Runs in the master. */
import type { IncomingMessage } from 'node:http';
import { type HostCheck, hostName } from './host-check.js';

const LIMIT_BODY_BYTES = 1024 * 1024;
/** Of a refused request's body this much is read and thrown away, within this time. */
const LIMIT_DRAINED_BYTES = 16 * 1024 * 1024;
const DRAIN_MS = 2_000;
/** Characters of the input that an error quotes. */
const SHOWN_CHARACTERS = 60;

/** A refused request, with its status. */
export class Refusal extends Error {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

export interface Target {
  /** Without a slash at its end; `/` alone stays. */
  readonly path: string;
  readonly query: URLSearchParams;
}

/**
 * Reads the target and checks the host of the request, in an absolute target and in the Host field. HTTP/1.0 requests may
 * lack Host; no browser omits it. @throws Refusal 400, 403
 */
export function readTarget(request: IncomingMessage, hosts: HostCheck): Target {
  const { authority, rest } = splitTarget(request.url ?? '');
  if (authority !== undefined) mustBeAllowed(request, hosts, authority);
  const fields = request.rawHeaders.filter((name, at) => at % 2 === 0 && name.toLowerCase() === 'host').length;
  if (fields > 1) throw new Refusal(400, 'there is more than one Host field');
  if (request.headers.host !== undefined) mustBeAllowed(request, hosts, request.headers.host);
  const [path = '', ...query] = rest.split('?');
  if (!/^\/(?!\/)[\x21-\x7e]*$/.test(path) || !isDecodable(rest))
    throw new Refusal(400, 'the target of the request is not a path');
  return { path: path.replace(/(?<=.)\/$/, ''), query: new URLSearchParams(query.join('?')) };
}

/** RFC 9112 section 3.2: a path, or (to a proxy, but every server must accept it) an absolute URL. */
function splitTarget(target: string): { authority: string | undefined; rest: string } {
  const [, authority, rest = ''] = /^https?:\/\/([^/?#]*)(.*)$/i.exec(target) ?? [];
  if (authority === undefined) return { authority, rest: target };
  return { authority, rest: rest.startsWith('/') ? rest : `/${rest}` };
}

function mustBeAllowed({ socket }: IncomingMessage, hosts: HostCheck, given: string): void {
  const name = hostName(given);
  if (name === undefined) throw new Refusal(400, 'the host of the request is not a name or address with a port');
  if (hosts.allows(name, socket.localAddress)) return;
  throw new Refusal(
    403,
    `this listener does not answer for the host ${shorten(name)}: ask by its address, or name the host in the option admin ("hosts")`,
  );
}

function isDecodable(text: string): boolean {
  try {
    return decodeURIComponent(text).length <= text.length; // uses the result, or a bundler would remove the call
  } catch {
    return false;
  }
}

/** @throws Refusal 405 */
export function allow({ method = '' }: IncomingMessage, ...methods: string[]): void {
  if (!methods.includes(method)) throw new Refusal(405, `${method} is not allowed here`, { allow: methods.join(', ') });
}

/** Numbers and booleans are meant as such: `?workerId=3&force=true`; digits behind a leading 0 are text (a postcode). */
export function fromQuery(query: URLSearchParams): Record<string, unknown> {
  return Object.fromEntries(
    [...query].map(([name, text]) => [
      name,
      /^(-?(0|[1-9]\d{0,14})|true|false)$/.test(text) ? (JSON.parse(text) as unknown) : text,
    ]),
  );
}

/** The listener's time-out bounds how long it takes. @throws Refusal 400, 413 */
export async function readBody(
  request: IncomingMessage,
  limitBytes = LIMIT_BODY_BYTES,
): Promise<Record<string, unknown>> {
  const tooLong = (): Refusal => new Refusal(413, `the body is longer than ${limitBytes} bytes`);
  if (Number(request.headers['content-length'] ?? 0) > limitBytes) throw tooLong();
  const pieces: Buffer[] = [];
  let length = 0;
  // Left early, the plain iterator would destroy the request, and its connection with it, before the refusal is sent.
  for await (const piece of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    length += piece.length;
    if (length > limitBytes) throw tooLong();
    pieces.push(piece);
  }
  const text = Buffer.concat(pieces).toString('utf8').trim();
  if (text === '') return {};
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // said below
  }
  throw new Refusal(400, 'the body must be a JSON object with the arguments of the command');
}

/**
 * Reads what is still to come of a refused request. A connection that is closed with unread bytes is reset (RFC 9112
 * section 9.6), and a client that is still sending would see the reset instead of the answer. Whoever sends more, or more
 * slowly, than the limits is answered at once.
 */
export function drain(request: IncomingMessage): Promise<void> {
  if (request.complete || request.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    let length = 0;
    const stop = (): void => {
      clearTimeout(deadline);
      request.off('data', count).off('end', stop).off('close', stop);
      resolve();
    };
    const count = (piece: Buffer): void => {
      length += piece.length;
      if (length > LIMIT_DRAINED_BYTES) stop();
    };
    const deadline = setTimeout(stop, DRAIN_MS);
    request.on('data', count).once('end', stop).once('close', stop);
  });
}

export function shorten(text: string): string {
  return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text;
}
