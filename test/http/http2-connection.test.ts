import { once } from 'node:events';
import { constants } from 'node:http2';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { Http2Bridge } from '../../src/http/http2/http2-bridge.js';
import { TunnelSocket } from '../../src/http/http2/tunnel-socket.js';
import type { Tunnel, TunnelEvents } from '../../src/http/node/raw-exchange.js';
import { deferred } from '../../src/util/deferred.js';
import { Frame, RawHttp2Client } from '../helpers/http2-client.js';
import {
  answerOf,
  bodyOf,
  closed,
  endHttp2Worlds,
  fetched,
  handedOver,
  isGone,
  send,
  Wire,
  world,
} from '../helpers/http2-world.js';

afterEach(() => {
  vi.useRealTimers();
  endHttp2Worlds();
});

const EVERY_STREAM = 0x7fffffff;

const { NGHTTP2_CANCEL, NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_INTERNAL_ERROR, NGHTTP2_NO_ERROR } = constants;

describe('the connection below HTTP/2', () => {
  function source(tunnel: Partial<Tunnel>): { socket: TunnelSocket; events: TunnelEvents } {
    let events: TunnelEvents | undefined;
    const nothing = (): void => {};
    const whole: Tunnel = {
      ...{ write: () => true, drain: async () => {}, end: nothing, destroy: nothing, pause: nothing, resume: nothing },
      ...tunnel,
    };
    const socket = new TunnelSocket({
      ...{ fd: 1, isEncrypted: true, remoteAddress: '::1', remotePort: 9 },
      tunnel: (given) => {
        events = given;
        return whole;
      },
    });
    return { socket, events: events as TunnelEvents };
  }

  test('is paused when nobody reads, and read on with the reader', async () => {
    const told: string[] = [];
    const { socket, events } = source({ pause: () => void told.push('pause'), resume: () => void told.push('resume') });
    for (let i = 0; i < 8; i++) events.received(Buffer.alloc(16_384));
    expect(told).toEqual(['pause']);
    let bytes = 0;
    socket.on('data', (piece: Buffer) => {
      bytes += piece.length;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(bytes).toBe(8 * 16_384);
    expect(told).toEqual(['pause', 'resume']);
    events.ended();
    await once(socket, 'end');
    events.received(Buffer.from('late'));
  });

  test('makes the writer wait for room', async () => {
    const written: number[] = [];
    const room = deferred<void>();
    const { socket } = source({
      write: (data) => {
        written.push(data.length);
        return written.length !== 1;
      },
      drain: () => room.promise,
    });
    const done: string[] = [];
    socket.write('one', () => void done.push('one'));
    socket.write('two', () => void done.push('two'));
    socket.write('three', () => void done.push('three'));
    await new Promise((resolve) => setImmediate(resolve));
    expect({ written, done }).toEqual({ written: [3], done: [] });
    room.resolve();
    await new Promise((resolve) => setImmediate(resolve));
    expect({ written, done }).toEqual({ written: [3, 8], done: ['one', 'two', 'three'] });
  });

  test('is ended in good order, or broken off', async () => {
    const told: string[] = [];
    const tunnel = { end: () => void told.push('end'), destroy: () => void told.push('destroy') };
    const { socket, events } = source(tunnel);
    socket.end();
    await once(socket, 'finish');
    socket.destroy();
    events.gone();
    expect(told).toEqual(['end']);
    source(tunnel).socket.destroy();
    expect(told).toEqual(['end', 'destroy']);
    const slow = source(tunnel);
    slow.socket.end();
    await once(slow.socket, 'finish');
    slow.socket.kill();
    expect(told).toEqual(['end', 'destroy', 'end', 'destroy']);
  });
});

describe('the limits of HTTP/2', () => {
  test('answer 413 to a body that turns out too large', async () => {
    const { serve, next } = handedOver();
    const { client, underWay } = world({ serve, options: { bodyLimit: 1000 } });
    const stream = send(client, { ':method': 'POST' }, null);
    stream.write(Buffer.alloc(1001));
    const exchange = await next();
    const read = bodyOf(exchange);
    await expect(read).rejects.toMatchObject({ code: 'ERR_HTTP_BODY_CUT', detail: { reason: 'limit', status: 413 } });
    expect(exchange.isGone).toBe(true);
    expect(await answerOf(stream)).toMatchObject({ status: 413, code: NGHTTP2_NO_ERROR });
    expect(underWay.size).toBe(0);
  });

  test('reset a stream whose body turns out too large when the answer has begun', async () => {
    const { client } = world({
      options: { bodyLimit: 1000 },
      serve: (exchange) => {
        exchange.begin(200, '', []);
        bodyOf(exchange).catch(() => {});
      },
    });
    expect((await fetched(client, { ':method': 'POST' }, Buffer.alloc(1001))).code).toBe(NGHTTP2_INTERNAL_ERROR);
  });

  test('answer 503 when the handler does not answer in time', async () => {
    const { serve, next } = handedOver();
    const { client, underWay } = world({ serve, options: { requestTimeoutMs: 20 } });
    const answer = fetched(client);
    const exchange = await next();
    await isGone(exchange);
    expect(await answer).toMatchObject({ status: 503, code: NGHTTP2_NO_ERROR });
    expect(underWay.size).toBe(0);
  });

  test('answer 408 when the client does not send the body that is waited for', async () => {
    const { client } = world({
      options: { requestTimeoutMs: 20 },
      serve: (exchange) => void bodyOf(exchange).catch(() => {}),
    });
    expect((await answerOf(send(client, { ':method': 'POST' }, null))).status).toBe(408);
  });

  test('leave an answer alone that has begun in time', async () => {
    const { client } = world({
      options: { requestTimeoutMs: 20 },
      serve: (exchange) => {
        exchange.begin(200, '', []);
        setTimeout(() => exchange.end('late'), 60);
      },
    });
    expect((await fetched(client)).body.toString()).toBe('late');
  });

  test('close a connection that has had no stream for some time', async () => {
    const { bridge, client } = world({
      options: { keepAliveTimeoutMs: 20 },
      serve: (exchange) => exchange.respond(200, '', [], ''),
    });
    const goaway = once(client, 'goaway');
    expect((await fetched(client)).status).toBe(200);
    expect((await goaway)[0]).toBe(NGHTTP2_NO_ERROR);
    await closed(client);
    await bridge.drain();
  });

  test('close a connection that never begins', async () => {
    const { bridge } = world({ options: { headersTimeoutMs: 20 } });
    const wire = new Wire();
    bridge.accept(wire.source);
    wire.resume();
    await closed(wire);
  });

  test('send a client away that resets stream after stream', async () => {
    const { serve } = handedOver();
    const { client, underWay, wire } = world({ serve });
    let code = -1;
    client.on('goaway', (given) => {
      code = given;
    });
    const gone = closed(wire);
    for (let i = 0; i < 50 && !client.destroyed && !client.closed; i++) {
      const streams = Array.from({ length: 20 }, () => send(client, {}));
      await new Promise((resolve) => client.ping(resolve));
      for (const stream of streams) stream.close(NGHTTP2_CANCEL);
    }
    await gone;
    expect(code).toBe(NGHTTP2_ENHANCE_YOUR_CALM);
    expect(underWay.size).toBe(0);
  });

  test.each<[string, number, Record<string, string>, Buffer | undefined]>([
    ['a body that says it is too large', 413, { 'content-length': '11' }, Buffer.alloc(11)],
    ['a body that turns out too large', 413, {}, Buffer.alloc(11)],
    ['another expectation', 417, { expect: 'more' }, undefined],
    ['an unknown method', 501, { ':method': 'BREW' }, undefined],
    ['a request whose handler does not answer', 503, {}, undefined],
  ])('count what is refused: %s, %d', async (_what, status, fields, body) => {
    let refused = 0;
    const { client } = world({
      options: { bodyLimit: 10, requestTimeoutMs: 100 },
      record: { countRefused: () => void refused++, countReset: () => {}, held: () => {} },
      serve: (exchange) => void bodyOf(exchange).catch(() => {}),
    });
    const answer = await fetched(client, { ':method': 'POST', ...fields }, body);
    expect([answer.status, refused]).toEqual([status, 1]);
  });

  test('take no more than 128 streams at once', async () => {
    const { client } = world({});
    await once(client, 'remoteSettings');
    expect(client.remoteSettings).toMatchObject({ maxConcurrentStreams: 128, maxHeaderListSize: 16_384 });
  });
});

describe('the end of HTTP/2', () => {
  test('tells clients by GOAWAY, and waits for the streams under way', async () => {
    const { serve, next } = handedOver();
    const { bridge, client, underWay, dial } = world({ serve });
    const idle = dial();
    const goaways = [once(client, 'goaway'), once(idle.client, 'goaway')];
    const answer = fetched(client);
    const exchange = await next();
    let isDrained = false;
    const drained = bridge.drain().then(() => {
      isDrained = true;
    });
    await Promise.all(goaways);
    await closed(idle.client);
    expect(isDrained).toBe(false);
    exchange.respond(200, '', [], 'last');
    expect((await answer).body.toString()).toBe('last');
    await drained;
    expect(underWay.size).toBe(0);
    const late = dial();
    await closed(late.client);
  });

  /** A client by hand, once its SETTINGS are known. */
  const confirmed = async (bridge: Http2Bridge): Promise<RawHttp2Client> => {
    const wire = new Wire();
    bridge.accept(wire.source);
    const client = RawHttp2Client.over(wire);
    await client.until('SETTINGS', () => client.frames.filter(({ type }) => type === Frame.settings).length === 2);
    await client.ping().until('the answer to PING', () => client.frames.some(({ type }) => type === Frame.ping));
    return client;
  };

  test('serves what a client sends before it has been told, which PING shows', async () => {
    const { bridge } = world({ serve: (exchange) => exchange.respond(200, '', [], 'x') });
    const client = await confirmed(bridge);
    const dismissed = bridge.dismiss();
    const ping = await client.pinged();
    expect(client.lastStreams).toEqual([EVERY_STREAM]);
    const stream = client.request('/');
    expect(await client.status(stream)).toBe(200);
    client.pong(ping);
    await client.until('the last GOAWAY', () => client.lastStreams.length === 2);
    expect(client.lastStreams).toEqual([EVERY_STREAM, stream]);
    await client.closed;
    await dismissed;
  });

  test('by a shutdown comes at once, as nobody is read any more', async () => {
    const { bridge } = world({});
    const client = await confirmed(bridge);
    void bridge.dismiss();
    await client.pinged();
    void bridge.drain();
    await client.until('the last GOAWAY', () => client.lastStreams.length === 2);
    expect(client.lastStreams).toEqual([EVERY_STREAM, 0]);
    const late = new Wire();
    bridge.accept(late.source);
    const other = RawHttp2Client.over(late);
    await other.closed;
    expect(other.lastStreams[0]).toBe(0);
  });

  test('tells a client that comes meanwhile behind the SETTINGS, which are the first frame', async () => {
    const { bridge } = world({});
    void bridge.dismiss();
    const wire = new Wire();
    bridge.accept(wire.source);
    const client = RawHttp2Client.over(wire);
    client.pong(await client.pinged());
    await client.closed;
    expect(client.frames[0]?.type).toBe(Frame.settings);
    expect(client.lastStreams).toEqual([EVERY_STREAM, 0]);
  });

  test.each([
    [undefined, 1000],
    [10_000, 1000],
    [400, 100],
  ])('waits for PING no longer than maxWaitMs allows, %s: %d ms', async (maxWaitMs, ms) => {
    const { bridge } = world({ options: maxWaitMs === undefined ? {} : { maxWaitMs } });
    const client = await confirmed(bridge);
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    void bridge.dismiss();
    void bridge.dismiss();
    await client.pinged();
    vi.advanceTimersByTime(ms - 1);
    for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
    expect(client.lastStreams).toEqual([EVERY_STREAM]);
    vi.advanceTimersByTime(1);
    await client.until('the last GOAWAY', () => client.lastStreams.length === 2);
    expect(client.lastStreams).toEqual([EVERY_STREAM, 0]);
  });

  test('without connections is reached at once', async () => {
    const { bridge, client } = world({});
    client.close();
    await closed(client);
    await bridge.drain();
    await bridge.drain();
  });
});
