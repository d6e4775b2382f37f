/** Spans of the real SDK of OpenTelemetry, as a collector gets them. The SDK is a package of its own: test/telemetry. */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { copyFileSync, existsSync, mkdtempSync, renameSync, rmSync, statSync } from 'node:fs';
import { connect } from 'node:http2';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import { type CollectedSpan, Collector } from '../helpers/collector.js';
import { PACE } from '../helpers/deadline.js';
import type { EngineProcess } from '../helpers/engine-process.js';
import { eventually } from '../helpers/eventually.js';
import { hasRedis, startRedis } from '../helpers/redis.js';
import { endServers, type ServerProcess, type StartOptions, startServer } from '../helpers/server-process.js';
import { sharedServers } from '../helpers/shared-servers.js';

const PACKAGE = fileURLToPath(new URL('../telemetry', import.meta.url));
const TELEMETRY = `${PACKAGE}/telemetry.mjs`;
const CLIENT = 'b7ad6b7169203331';
const [SERVER, OUTGOING, PRODUCER, CONSUMER] = [2, 3, 4, 5];

let collector: Collector;
/** Of the servers that tests share. */
let common: Collector | undefined;
let trace = '';
const traces = new Set<string>();
let engine: EngineProcess | undefined;

beforeAll(() => {
  if (!isInstalled()) install();
}, 240_000 * PACE);

/** Aside, and then moved to its place at once: the same file may run in the other mode beside this one. */
function install(): void {
  const aside = mkdtempSync(`${PACKAGE}/.install-`);
  for (const file of ['package.json', 'package-lock.json']) copyFileSync(`${PACKAGE}/${file}`, `${aside}/${file}`);
  const { status, stderr } = spawnSync('npm', ['ci'], { cwd: aside, encoding: 'utf8' });
  expect(status, stderr).toBe(0);
  if (!isInstalled()) {
    rmSync(`${PACKAGE}/node_modules`, { recursive: true, force: true });
    renameSync(`${aside}/node_modules`, `${PACKAGE}/node_modules`);
  }
  rmSync(aside, { recursive: true });
}
afterAll(() => {
  common?.stop(); // registered first, it comes after the end of the servers
  expect(common?.spans.filter(({ traceId }) => !traces.has(traceId)) ?? []).toEqual([]);
});
const shared = sharedServers();
beforeEach(async () => {
  collector = await Collector.start();
  trace = randomBytes(16).toString('hex');
  traces.add(trace);
});
afterEach(async () => {
  await endServers();
  if (collector !== common) collector.stop();
  await engine?.stop();
  engine = undefined;
});

/** As the lockfile says, by an earlier run. */
function isInstalled(): boolean {
  const record = `${PACKAGE}/node_modules/.package-lock.json`;
  return existsSync(record) && statSync(record).mtimeMs > statSync(`${PACKAGE}/package-lock.json`).mtimeMs;
}

interface Given {
  readonly env?: Record<string, string>;
  readonly options?: Record<string, unknown>;
  readonly node?: readonly string[];
}

function all({ env = {}, options = {}, node = ['--import', TELEMETRY] }: Given = {}): StartOptions {
  return {
    node,
    options: { reactorNum: 1, ...options },
    env: { OTEL_BSP_SCHEDULE_DELAY: '50', ...collector.env, ...env },
  };
}

const start = (given?: Given): Promise<ServerProcess> => startServer('traced.js', all(given));

/** One server, and one collector, for all tests of handlers of that kind. */
async function share(app = 'request'): Promise<ServerProcess> {
  collector.stop();
  common ??= await Collector.start();
  collector = common;
  return shared('traced.js', all({ env: { APP: app } }));
}

const headers = (): { traceparent: string } => ({ traceparent: `00-${trace}-${CLIENT}-01` });

const ask = (server: ServerProcess, path: string): Promise<Response> =>
  fetch(`http://127.0.0.1:${server.port}${path}`, { headers: headers() });

/** The only one of that name in the client's trace. */
async function span(name: string, kind: number): Promise<CollectedSpan> {
  const isIt = (each: CollectedSpan) => each.name === name && each.kind === kind;
  const isHere = ({ traceId }: CollectedSpan) => collector !== common || traceId === trace;
  const found = (): CollectedSpan[] => collector.spans.filter((each) => isIt(each) && isHere(each));
  await eventually(() => expect(found(), JSON.stringify(collector.spans)).toHaveLength(1));
  const [only] = found() as [CollectedSpan];
  expect(only.traceId).toBe(trace);
  return only;
}

/** client → server span → `send task` → `process task` */
async function expectChain(path: string): Promise<void> {
  const server = await span('GET', SERVER);
  const send = await span('send task', PRODUCER);
  const run = await span('process task', CONSUMER);
  expect(server.parentSpanId).toBe(CLIENT);
  expect(send.parentSpanId).toBe(server.spanId);
  expect(run.parentSpanId).toBe(send.spanId);
  expect(server.attributes).toMatchObject({
    'http.request.method': 'GET',
    'url.path': path,
    'url.scheme': 'http',
    'client.address': '127.0.0.1',
    'http.response.status_code': expect.anything(),
  });
  expect(run.attributes['messaging.message.id']).toBe(send.attributes['messaging.message.id']);
}

describe('the trace of a request', () => {
  it.each(['request', 'fetch', 'listener'])(
    'goes from the client to the task worker by %s, over HTTP/1',
    async (app) => {
      const server = await share(app);
      expect(await (await ask(server, '/task?a=1')).json()).toEqual({ bytes: 18 });
      await expectChain('/task');
      const { attributes } = await span('GET', SERVER);
      expect(attributes).toMatchObject({ 'url.query': 'a=1', 'network.protocol.version': '1.1' });
      expect(Number(attributes['http.response.status_code'])).toBe(200);
    },
  );

  it.each(['request', 'fetch', 'listener'])(
    'goes from the client to the task worker by %s, over HTTP/2',
    async (app) => {
      const server = await share(app);
      const session = connect(`http://127.0.0.1:${server.port}`);
      try {
        expect(await text(session.request({ ':path': '/task', ...headers() }))).toBe('{"bytes":18}');
      } finally {
        session.destroy();
      }
      await expectChain('/task');
      const { attributes } = await span('GET', SERVER);
      expect(attributes['network.protocol.version']).toBe('2');
      expect(Number(attributes['http.response.status_code'])).toBe(200);
    },
  );

  it('goes with data that is too long for its slot', async () => {
    const server = await share();
    expect(await (await ask(server, '/large')).json()).toEqual({ bytes: 5011 });
    await expectChain('/large');
  });

  it('goes with a WebSocket to the tasks that its open callback gives', async () => {
    const server = await share();
    const socket = new WebSocket(`ws://127.0.0.1:${server.port}/`, { headers: headers() });
    const came = await new Promise((resolve) => socket.once('message', (data) => resolve(String(data))));
    socket.close();
    expect(came).toBe('{"bytes":15}');
    await expectChain('/');
    expect(Number((await span('GET', SERVER)).attributes['http.response.status_code'])).toBe(101);
  });

  it.each(['request', 'fetch', 'listener'])('of a handler by %s that throws is an error', async (app) => {
    const server = await share(app);
    expect((await ask(server, '/throw')).status).toBe(500);
    const { error, events, attributes } = await span('GET', SERVER);
    expect(error).toBe(true);
    expect(Number(attributes['http.response.status_code'])).toBe(500);
    if (app === 'listener') return; // it has answered by itself
    expect(events).toEqual(['exception']);
  });

  it('of a task that throws is an error of the task alone', async () => {
    const server = await share();
    expect(await (await ask(server, '/fails')).text()).toBe('no');
    expect(await span('process task', CONSUMER)).toMatchObject({ error: true, events: ['exception'] });
    expect((await span('GET', SERVER)).error).toBe(false);
  });

  it('begins in the worker where the client tells none', async () => {
    const server = await share();
    await fetch(`http://127.0.0.1:${server.port}/task`);
    const own = (): CollectedSpan[] => collector.spans.filter(({ traceId }) => !traces.has(traceId));
    await eventually(() => expect(own()).toHaveLength(3));
    const spans = own();
    const [first] = spans.filter(({ kind }) => kind === SERVER);
    expect(first?.parentSpanId).toBe('');
    expect(new Set(spans.map(({ traceId }) => traceId)).size).toBe(1);
    traces.add(first?.traceId ?? '');
  });
});

describe('instrumentations', () => {
  it('continue the trace from the handler to the next server', async () => {
    const server = await start({ env: { INSTRUMENTED: '1' } });
    await ask(server, `/call?url=${collector.url}`);
    const parent = await span('GET', SERVER);
    const outgoing = await span('GET', OUTGOING);
    expect(outgoing).toMatchObject({ parentSpanId: parent.spanId, scope: '@opentelemetry/instrumentation-http' });
    expect(collector.traceparents).toEqual([`00-${trace}-${outgoing.spanId}-01`]);
  });

  it('that make the server span themselves make the only one', async () => {
    const server = await start({ env: { INSTRUMENTED: '1', APP: 'listener' } });
    await ask(server, '/task');
    const parent = await span('GET', SERVER);
    expect(parent).toMatchObject({ parentSpanId: CLIENT, scope: '@opentelemetry/instrumentation-http' });
    expect((await span('send task', PRODUCER)).parentSpanId).toBe(parent.spanId);
  });
});

describe('an SDK', () => {
  it('may be loaded by workerStart, without an argument of Node', async () => {
    const server = await start({ node: [], env: { LATE: TELEMETRY } });
    await ask(server, '/task');
    await expectChain('/task');
  });

  it('loses no span when its worker leaves, and runs in the next one', async () => {
    const server = await start({ env: { OTEL_BSP_SCHEDULE_DELAY: '3600000' } });
    await ask(server, '/task');
    expect(collector.spans).toEqual([]);
    server.signal('SIGUSR1');
    await server.waitForEvent('afterReload');
    await expectChain('/task');
    collector.spans.length = 0;
    await ask(server, '/large');
    await server.stop();
    await expectChain('/large');
  });

  it.skipIf(!hasRedis)('sees a durable job, and the tasks it gives, in the trace of the request', async () => {
    engine = await startRedis();
    const cluster = { driver: 'redis', url: engine.url, nodeId: 'a', jobs: {} };
    const server = await start({ env: { CLUSTER: JSON.stringify(cluster) }, options: { taskWorkerNum: 2 } });
    const id = await (await ask(server, '/job')).text();
    const parent = await span('GET', SERVER);
    const send = await span('send mail', PRODUCER);
    const run = await span('process mail', CONSUMER);
    expect(send).toMatchObject({ parentSpanId: parent.spanId, attributes: { 'messaging.message.id': id } });
    expect(run).toMatchObject({ parentSpanId: send.spanId, attributes: { 'messaging.message.id': id } });
  });
});

it('Without an SDK the header comes to the handler, and nothing else happens', async () => {
  const server = await start({ node: [] });
  expect(await (await ask(server, '/task')).json()).toEqual({ bytes: 18 });
  await server.stop();
  expect(collector.spans).toEqual([]);
});
