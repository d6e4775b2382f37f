/**
 * OpenTelemetry without its packages: `@opentelemetry/api` 1.x publishes what an SDK registers on a global symbol, and that
 * is all this file touches. Without an SDK each call here is one look at that symbol.
 *
 * Sources: `registerGlobal` and `createContextKey` of `@opentelemetry/api`, both the same in all of 1.x; the semantic
 * conventions for HTTP and for messaging.
 */
const API = Symbol.for('opentelemetry.js.api.1');
const SPAN = Symbol.for('OpenTelemetry Context Key SPAN');
const ERROR = 2;
/** A longer carrier is left behind: W3C baggage alone may have 8 KiB. */
const MOST_CARRIER_CHARACTERS = 16_384;

/** `SpanKind` of the API. */
export const SpanKind = { server: 1, producer: 3, consumer: 4 } as const;

export type Attributes = Record<string, string | number | undefined>;
/** What a propagator reads from: fields of a request, or what came with a task or job. */
export interface Carrier {
  keys(): string[];
  get(name: string): string | string[] | undefined;
}

export interface SpanStart {
  readonly name: string;
  /** One of `SpanKind`. */
  readonly kind: number;
  readonly attributes: Attributes;
  /** `'active'`: the context of the calling code. Undefined: none, a trace begins here. */
  readonly parent: Carrier | 'active' | undefined;
}

interface Context {
  getValue(key: symbol): unknown;
  setValue(key: symbol, value: unknown): Context;
  deleteValue(key: symbol): Context;
}

interface Span {
  setAttribute(name: string, value: string | number): unknown;
  setStatus(status: { code: number; message?: string }): unknown;
  recordException(error: Error): unknown;
  end(): void;
}

interface ContextManager {
  active(): Context;
  with<T>(context: Context, run: () => T): T;
  bind<T>(context: Context, target: T): T;
}

interface Flushed {
  forceFlush?(): Promise<void>;
}

interface TracerProvider extends Flushed {
  getTracer(name: string): {
    startSpan(name: string, options: { kind: number; attributes: Attributes }, context: Context): Span;
  };
  getDelegate?(): Flushed;
}

interface Propagator {
  inject(context: Context, carrier: Record<string, string>, setter: object): void;
  extract(context: Context, carrier: Carrier, getter: object): Context;
}

interface Api {
  readonly trace?: TracerProvider;
  readonly context?: ContextManager;
  readonly propagation?: Propagator;
  readonly metrics?: Flushed;
}

const setter = {
  set: (carrier: Record<string, string>, name: string, value: string): void => {
    carrier[name] = value;
  },
};
const getter = {
  keys: (carrier: Carrier): string[] => carrier.keys(),
  get: (carrier: Carrier, name: string): string | string[] | undefined => carrier.get(name),
};

/** The API's own is not published. */
class OwnContext implements Context {
  readonly #values: ReadonlyMap<symbol, unknown>;

  constructor(values: ReadonlyMap<symbol, unknown> = new Map()) {
    this.#values = values;
  }

  getValue(key: symbol): unknown {
    return this.#values.get(key);
  }

  setValue(key: symbol, value: unknown): Context {
    return new OwnContext(new Map(this.#values).set(key, value));
  }

  deleteValue(key: symbol): Context {
    const values = new Map(this.#values);
    values.delete(key);
    return new OwnContext(values);
  }
}

const root: Context = new OwnContext();

/** A span under way, and the context of the code that belongs to it. */
export class ActiveSpan {
  readonly #span: Span;
  readonly #context: Context;
  readonly #manager: ContextManager;
  readonly #propagation: Propagator | undefined;

  constructor(span: Span, context: Context, manager: ContextManager, propagation: Propagator | undefined) {
    this.#span = span;
    this.#context = context;
    this.#manager = manager;
    this.#propagation = propagation;
  }

  /** Calls `work` with this span as the active one, also in what it awaits. */
  run<T>(work: () => T): T {
    return this.#manager.with(this.#context, work);
  }

  /** Listeners that are added to this emitter from now on run as if `run` had called them. */
  bind(emitter: object): void {
    this.#manager.bind(this.#context, emitter);
  }

  set(name: string, value: string | number): void {
    this.#span.setAttribute(name, value);
  }

  /** @param type low cardinality, as `error.type` asks for: a status code, a code or name of an error */
  fail(type: string, message = ''): void {
    this.#span.setAttribute('error.type', type);
    this.#span.setStatus(message === '' ? { code: ERROR } : { code: ERROR, message });
  }

  /** Something was thrown. */
  threw(thrown: unknown): void {
    const error = thrown instanceof Error ? thrown : new Error(String(thrown));
    const { code } = error as NodeJS.ErrnoException;
    this.#span.recordException(error);
    this.fail(typeof code === 'string' ? code : error.name, error.message);
  }

  /** Once. A span processor that throws costs its own span only. */
  end(): void {
    try {
      this.#span.end();
    } catch {}
  }

  /** This context as JSON, for another process. Undefined: no propagator, or it has nothing to tell. */
  carrier(): string | undefined {
    const fields: Record<string, string> = {};
    this.#propagation?.inject(this.#context, fields, setter);
    const text = JSON.stringify(fields);
    return text === '{}' || text.length > MOST_CARRIER_CHARACTERS ? undefined : text;
  }
}

/** An SDK is registered in this process now. */
export function isTracing(): boolean {
  const api = Reflect.get(globalThis, API) as Api | undefined;
  return api?.trace !== undefined && api.context !== undefined;
}

/** @returns undefined: no SDK is registered, or it has failed, which costs nothing but the span */
export function startSpan({ name, kind, attributes, parent }: SpanStart): ActiveSpan | undefined {
  const { trace, context: manager, propagation } = (Reflect.get(globalThis, API) ?? {}) as Api;
  if (trace === undefined || manager === undefined) return undefined;
  try {
    const remote = parent === 'active' ? manager.active() : root;
    const hasCarrier = parent !== 'active' && parent !== undefined && propagation !== undefined;
    const context = hasCarrier ? propagation.extract(remote, parent, getter) : remote;
    const span = trace.getTracer('tswoole').startSpan(name, { kind, attributes }, context);
    return new ActiveSpan(span, context.setValue(SPAN, span), manager, propagation);
  } catch {
    return undefined;
  }
}

/** Runs `work` in a span of its own, which ends with it, or with its promise. Without an SDK it runs all the same. */
export function inSpan<T>(start: SpanStart, work: (span: ActiveSpan | undefined) => T): T {
  const span = startSpan(start);
  if (span === undefined) return work(undefined);
  try {
    const result = span.run(() => work(span));
    if (result instanceof Promise) result.then(() => span.end(), threwAndEnded(span));
    else span.end();
    return result;
  } catch (error) {
    threwAndEnded(span)(error);
    throw error;
  }
}

function threwAndEnded(span: ActiveSpan): (error: unknown) => void {
  return (error) => {
    span.threw(error);
    span.end();
  };
}

/** @param text of `ActiveSpan.carrier`, by way of another process, maybe of another program */
export function carrierOf(text: string | undefined): Carrier | undefined {
  if (text === undefined) return undefined;
  try {
    const fields: unknown = JSON.parse(text);
    if (typeof fields !== 'object' || fields === null) return undefined;
    const byName = new Map(Object.entries(fields).filter(([, value]) => typeof value === 'string'));
    return { keys: () => [...byName.keys()], get: (name) => byName.get(name) as string | undefined };
  } catch {
    return undefined;
  }
}

/** Resolves when the SDK has exported what it holds, or cannot. */
export async function flushTelemetry(): Promise<void> {
  const { trace, metrics } = (Reflect.get(globalThis, API) ?? {}) as Api;
  const providers = [trace?.getDelegate?.() ?? trace, metrics];
  await Promise.allSettled(providers.map(async (provider) => provider?.forceFlush?.()));
}
