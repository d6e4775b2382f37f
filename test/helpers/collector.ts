/** A collector of OpenTelemetry: takes spans as OTLP/HTTP in JSON. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';

export interface CollectedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  /** As in OTLP: one more than `SpanKind` of the API; 2 server, 3 client, 4 producer, 5 consumer. */
  readonly kind: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly error: boolean;
  readonly events: readonly string[];
  /** Who made it: `tswoole`, or an instrumentation. */
  readonly scope: string;
}

interface Attribute {
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
}
interface Span extends Omit<CollectedSpan, 'attributes' | 'error' | 'events' | 'scope'> {
  readonly attributes?: readonly Attribute[];
  readonly status?: { readonly code?: number };
  readonly events?: readonly { readonly name: string }[];
}
interface Export {
  readonly resourceSpans: readonly {
    readonly scopeSpans: readonly { readonly scope: { readonly name: string }; readonly spans: readonly Span[] }[];
  }[];
}

export class Collector {
  readonly spans: CollectedSpan[] = [];
  /** `traceparent` of requests that are no exports: what code with an instrumentation has sent. */
  readonly traceparents: string[] = [];
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((req, res) => void this.#take(req).then(() => res.end('{}')));
  }

  static async start(): Promise<Collector> {
    const collector = new Collector();
    collector.#server.listen(0, '127.0.0.1');
    await once(collector.#server, 'listening');
    return collector;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** For the SDK. */
  get env(): Record<string, string> {
    return {
      OTEL_EXPORTER_OTLP_ENDPOINT: this.url,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
      OTEL_TRACES_EXPORTER: 'otlp',
      OTEL_METRICS_EXPORTER: 'none',
      OTEL_LOGS_EXPORTER: 'none',
      OTEL_NODE_RESOURCE_DETECTORS: 'none',
    };
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #take(req: IncomingMessage): Promise<void> {
    const { traceparent } = req.headers;
    if (req.method !== 'POST') return void this.traceparents.push(String(traceparent));
    const { resourceSpans } = (await json(req)) as Export;
    for (const { scopeSpans } of resourceSpans) {
      for (const { scope, spans } of scopeSpans) this.spans.push(...spans.map((span) => toCollected(span, scope.name)));
    }
  }
}

function toCollected({ attributes = [], status, events = [], parentSpanId = '', ...span }: Span, scope: string) {
  return {
    ...span,
    parentSpanId,
    scope,
    attributes: Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]])),
    error: status?.code === 2,
    events: events.map(({ name }) => name),
  };
}
