/** What an SDK of OpenTelemetry publishes on the global symbol of the API, with spans that a test can look at. */
import { AsyncLocalStorage } from 'node:async_hooks';

const API = Symbol.for('opentelemetry.js.api.1');
const SPAN = Symbol.for('OpenTelemetry Context Key SPAN');

interface Context {
  getValue(key: symbol): unknown;
  setValue(key: symbol, value: unknown): Context;
}

export class FakeSpan {
  readonly name: string;
  readonly kind: number;
  readonly attributes: Record<string, unknown>;
  /** The parent's name, or what a carrier has told. */
  readonly parent: string | undefined;
  status: { code: number; message?: string } | undefined;
  readonly thrown: string[] = [];
  ends = 0;

  constructor(
    name: string,
    { kind, attributes }: { kind: number; attributes: Record<string, unknown> },
    parent: string | undefined,
  ) {
    this.name = name;
    this.kind = kind;
    this.attributes = { ...attributes };
    this.parent = parent;
  }

  setAttribute(name: string, value: unknown): void {
    this.attributes[name] = value;
  }

  setStatus(status: { code: number; message?: string }): void {
    this.status = status;
  }

  recordException({ message }: Error): void {
    this.thrown.push(message);
  }

  end(): void {
    this.ends++;
  }
}

const nameIn = (context: Context | undefined): string | undefined =>
  (context?.getValue(SPAN) as { name: string } | undefined)?.name;

/** It has room for the span alone. */
function contextWith(span: unknown): Context {
  return { getValue: (key) => (key === SPAN ? span : undefined), setValue: (_key, value) => contextWith(value) };
}

export class FakeTelemetry {
  readonly spans: FakeSpan[] = [];
  readonly bound: unknown[] = [];
  flushes = 0;
  /** An SDK that is broken. */
  fails = false;
  /** What it propagates beside the span. */
  baggage = '';
  readonly #storage = new AsyncLocalStorage<Context>();

  /** Name of the active span. */
  get active(): string | undefined {
    return nameIn(this.#storage.getStore());
  }

  register(): void {
    const storage = this.#storage;
    const provider = {
      forceFlush: async () => void this.flushes++,
      getTracer: () => ({
        startSpan: (name: string, options: ConstructorParameters<typeof FakeSpan>[1], context: Context) => {
          if (this.fails) throw new Error('a sampler has failed');
          const span = new FakeSpan(name, options, nameIn(context));
          this.spans.push(span);
          return span;
        },
      }),
    };
    const api = {
      trace: { ...provider, getDelegate: () => provider },
      context: {
        active: () => storage.getStore() ?? contextWith(undefined),
        with: <T>(context: Context, run: () => T): T => storage.run(context, run),
        bind: (_: Context, target: unknown) => this.bound.push(target),
      },
      propagation: {
        inject: (context: Context, carrier: object, { set }: { set(...args: unknown[]): void }) => {
          const name = nameIn(context);
          if (name !== undefined) set(carrier, 'traceparent', name);
          if (this.baggage !== '') set(carrier, 'baggage', this.baggage);
        },
        extract: (context: Context, carrier: unknown, { get }: { get(...args: unknown[]): unknown }) => {
          const name = get(carrier, 'traceparent');
          return name === undefined ? context : context.setValue(SPAN, { name });
        },
      },
    };
    Reflect.set(globalThis, API, api);
  }

  unregister(): void {
    Reflect.deleteProperty(globalThis, API);
  }
}
