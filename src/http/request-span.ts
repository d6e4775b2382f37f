/**
 * The server span of a request, where an OpenTelemetry SDK is registered. Attributes by the semantic conventions for HTTP
 * server spans. Runs in a worker.
 */
import type { Forwarded } from '../protocol/http/forwarded.js';
import { type ActiveSpan, type Attributes, type Carrier, isTracing, SpanKind, startSpan } from '../util/telemetry.js';

/** What a span tells of a request. */
export interface TracedRequest {
  readonly method: string;
  readonly target: string;
  readonly httpVersion: string;
  readonly isEncrypted: boolean;
  /** What trusted proxies say of the client. */
  readonly forwarded?: Forwarded | undefined;
  /** Name, value, name, value … */
  readonly rawHeaders: readonly string[];
}

/** Others are `_OTHER`: a client may not make up names of spans. */
const KNOWN = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH', 'QUERY']);

export class RequestSpan {
  readonly #span: ActiveSpan;
  #status = 0;
  #isEnded = false;

  constructor(span: ActiveSpan) {
    this.#span = span;
  }

  /** Calls the handler with this span as the active one. */
  run<T>(handler: () => T): T {
    return this.#span.run(handler);
  }

  /** Of Node's request and response: their listeners belong to the span. */
  bind(emitter: object): void {
    this.#span.bind(emitter);
  }

  /** The answer has begun. */
  answers(status: number): void {
    this.#status = status;
  }

  threw(error: unknown): void {
    if (!this.#isEnded) this.#span.threw(error);
  }

  /** The server breaks the answer off. */
  aborts(): void {
    if (!this.#isEnded) this.#span.fail('aborted');
  }

  /** The answer is whole, or will never be. */
  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    if (this.#status > 0) this.#span.set('http.response.status_code', this.#status);
    if (this.#status >= 500) this.#span.fail(String(this.#status));
    this.#span.end();
  }
}

/** @param peerAddress of the connection @returns undefined: no SDK is registered */
export function startRequestSpan(request: TracedRequest, peerAddress: () => string): RequestSpan | undefined {
  if (!isTracing()) return undefined;
  const { method, target, httpVersion, isEncrypted, forwarded, rawHeaders } = request;
  const isKnown = KNOWN.has(method);
  const queryAt = target.indexOf('?');
  const fields = fieldsOf(rawHeaders);
  const span = startSpan({
    // Without the path, of which there may be any number; a framework that knows its routes adds `http.route`.
    name: isKnown ? method : 'HTTP',
    kind: SpanKind.server,
    parent: fields,
    attributes: {
      'http.request.method': isKnown ? method : '_OTHER',
      'http.request.method_original': isKnown ? undefined : method,
      'url.path': queryAt === -1 ? target : target.slice(0, queryAt),
      'url.query': queryAt === -1 ? undefined : target.slice(queryAt + 1),
      'url.scheme': (forwarded?.isEncrypted ?? isEncrypted) ? 'https' : 'http',
      'network.protocol.version': httpVersion === '2.0' ? '2' : httpVersion,
      'client.address': forwarded?.client?.remoteAddress ?? peerAddress(),
      ...serverOf(forwarded?.host ?? first(fields.get('host'))),
      'user_agent.original': first(fields.get('user-agent')),
    },
  });
  return span === undefined ? undefined : new RequestSpan(span);
}

/** @param host `name`, `name:port`, `[::1]:port` */
function serverOf(host = ''): Attributes {
  const [, address, port] = /^(.+?)(?::(\d{1,5}))?$/.exec(host) ?? [];
  return { 'server.address': address, 'server.port': port === undefined ? undefined : Number(port) };
}

const first = (value: string | string[] | undefined): string | undefined => (Array.isArray(value) ? value[0] : value);

function fieldsOf(raw: readonly string[]): Carrier {
  return {
    keys: () => raw.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase()),
    get: (wanted) => {
      const found = raw.filter((_, at) => at % 2 === 1 && raw[at - 1]?.toLowerCase() === wanted.toLowerCase());
      return found.length > 1 ? found : found[0];
    },
  };
}

/**
 * `@opentelemetry/instrumentation-http` has wrapped `emit` of Node's server: it makes the span of such a request itself, from
 * the same fields.
 */
export function isInstrumented({ emit }: { emit(...args: never[]): unknown }): boolean {
  return '__wrapped' in emit;
}
