import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  carrierOf,
  flushTelemetry,
  inSpan,
  isTracing,
  SpanKind,
  type SpanStart,
  startSpan,
} from '../../src/util/telemetry.js';
import { FakeTelemetry } from '../helpers/fake-telemetry.js';

const start = (name: string, parent: SpanStart['parent'] = 'active'): SpanStart => ({
  ...{ name, parent, kind: SpanKind.server, attributes: {} },
});

let sdk: FakeTelemetry;
beforeEach(() => {
  sdk = new FakeTelemetry();
});
afterEach(() => sdk.unregister());

describe('without an SDK', () => {
  it('there are no spans, and work is done all the same', async () => {
    expect(isTracing()).toBe(false);
    expect(startSpan(start('a'))).toBeUndefined();
    expect(inSpan(start('a'), (span) => [span])).toEqual([undefined]);
    await flushTelemetry();
  });

  it('that is, where one part of it is registered alone, there are none either', () => {
    Reflect.set(globalThis, Symbol.for('opentelemetry.js.api.1'), { trace: { getTracer: () => ({}) } });
    expect(isTracing()).toBe(false);
    expect(startSpan(start('a'))).toBeUndefined();
  });
});

describe('with an SDK', () => {
  beforeEach(() => sdk.register());

  it('that is registered late, there are spans from then on, and none when it is gone', () => {
    sdk.unregister();
    expect(isTracing()).toBe(false);
    sdk.register();
    expect(isTracing()).toBe(true);
    sdk.unregister();
    expect(isTracing()).toBe(false);
  });

  it('work and what it awaits runs in the span, which ends behind it', async () => {
    const result = inSpan(start('outer'), async () => {
      await Promise.resolve();
      expect(sdk.spans[0]?.ends).toBe(0);
      return inSpan(start('inner'), () => sdk.active);
    });
    await expect(result).resolves.toBe('inner');
    expect(sdk.active).toBeUndefined();
    expect(sdk.spans.map(({ name, parent, ends }) => [name, parent, ends])).toEqual([
      ['outer', undefined, 1],
      ['inner', 'outer', 1],
    ]);
  });

  it('what work throws, or rejects with, is recorded and goes on to the caller', async () => {
    const error = Object.assign(new RangeError('no'), { code: 'E_NO' });
    const fails = (): never => {
      throw error;
    };
    expect(() => inSpan(start('a'), fails)).toThrow(error);
    await expect(inSpan(start('b'), async () => fails())).rejects.toBe(error);
    for (const { ends, thrown, status, attributes } of sdk.spans) {
      expect([ends, thrown, status]).toEqual([1, ['no'], { code: 2, message: 'no' }]);
      expect(attributes['error.type']).toBe('E_NO');
    }
    expect(sdk.spans).toHaveLength(2);
  });

  it('a context goes to another process as JSON, and comes back as the parent', () => {
    const text = inSpan(start('there'), (span) => span?.carrier());
    expect(text).toBe('{"traceparent":"there"}');
    inSpan(start('here', carrierOf(text)), () => undefined);
    expect(sdk.spans[1]?.parent).toBe('there');
  });

  it('a carrier has at most 16,384 characters', () => {
    const carried = (): string | undefined => startSpan(start('a'))?.carrier();
    const around = '{"traceparent":"a","baggage":""}'.length;
    sdk.baggage = 'b'.repeat(16_384 - around);
    expect(carried()).toHaveLength(16_384);
    sdk.baggage += 'b';
    expect(carried()).toBeUndefined();
  });

  it.each(['', 'no JSON', 'null', '5', '"text"'])('a carrier that is none has no context: %j', (text) => {
    expect(carrierOf(text)?.get('traceparent')).toBeUndefined();
  });

  it('only texts of a carrier count', () => {
    const carrier = carrierOf('{"traceparent":5,"baggage":"b"}');
    expect(carrier?.keys()).toEqual(['baggage']);
    expect(carrier?.get('traceparent')).toBeUndefined();
  });

  it('an SDK that fails costs its span alone', () => {
    sdk.fails = true;
    expect(inSpan(start('a'), (span) => [span])).toEqual([undefined]);
  });

  it('a flush waits for the provider behind the proxy', async () => {
    await flushTelemetry();
    expect(sdk.flushes).toBe(1);
  });
});
