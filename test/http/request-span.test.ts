import { afterEach, beforeEach, expect, it } from 'vitest';
import { isInstrumented, type RequestSpan, startRequestSpan, type TracedRequest } from '../../src/http/request-span.js';
import { type FakeSpan, FakeTelemetry } from '../helpers/fake-telemetry.js';

let sdk: FakeTelemetry;
beforeEach(() => {
  sdk = new FakeTelemetry();
  sdk.register();
});
afterEach(() => sdk.unregister());

const GET: TracedRequest = {
  ...{ method: 'GET', target: '/a/b?c=d?e', httpVersion: '1.1', isEncrypted: true },
  rawHeaders: ['Host', 'here:1', 'User-Agent', 'test', 'TraceParent', 'client'],
};

function started(more: Partial<TracedRequest> = {}): [RequestSpan, FakeSpan] {
  const span = startRequestSpan({ ...GET, ...more }, () => '192.0.2.1');
  return [span as RequestSpan, sdk.spans.at(-1) as FakeSpan];
}

it('A span tells what the request is, by the semantic conventions', () => {
  const [, { name, kind, parent, attributes }] = started();
  expect([name, kind, parent]).toEqual(['GET', 1, 'client']);
  expect(attributes).toEqual({
    'http.request.method': 'GET',
    'url.path': '/a/b',
    'url.query': 'c=d?e',
    'url.scheme': 'https',
    'network.protocol.version': '1.1',
    'client.address': '192.0.2.1',
    'server.address': 'here',
    'server.port': 1,
    'user_agent.original': 'test',
  });
});

it('A method that is none of HTTP becomes no name', () => {
  const [, { name, attributes }] = started({ method: 'PROPFIND', target: '*', httpVersion: '2.0' });
  expect(name).toBe('HTTP');
  expect(attributes).toMatchObject({
    'http.request.method': '_OTHER',
    'http.request.method_original': 'PROPFIND',
    'url.path': '*',
    'network.protocol.version': '2',
  });
});

it.each([
  [200, undefined],
  [404, undefined],
  [499, undefined],
  [500, { code: 2 }],
  [503, { code: 2 }],
])('Status %i is told, and is an error from 500 on', (status, expected) => {
  const [span, fake] = started();
  span.answers(status);
  span.end();
  span.end();
  expect(fake.attributes['http.response.status_code']).toBe(status);
  expect(fake.status).toEqual(expected);
  expect(fake.ends).toBe(1);
});

it('An answer that the server breaks off is an error, and one without a status has none', () => {
  const [span, fake] = started();
  span.aborts();
  span.end();
  span.threw(new Error('too late'));
  expect(fake.attributes['error.type']).toBe('aborted');
  expect(fake.attributes).not.toHaveProperty('http.response.status_code');
  expect(fake.thrown).toEqual([]);
});

it('Without an SDK nothing of the request is read', () => {
  sdk.unregister();
  const unread = new Proxy(GET, {
    get: () => {
      throw new Error('read');
    },
  });
  expect(startRequestSpan(unread, () => '')).toBeUndefined();
});

it('A server whose emit an instrumentation has wrapped is known', () => {
  const emit = (): boolean => true;
  expect(isInstrumented({ emit })).toBe(false);
  expect(isInstrumented({ emit: Object.assign(() => true, { __wrapped: true }) })).toBe(true);
});
