import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AnswerFlag, CloseCode, Event, JoinAs, Request } from '../../src/ipc/frame.js';
import { packPublication } from '../../src/ipc/frames/publish.js';
import { ReactorCounter, WorkerField } from '../../src/memory/boards.js';
import { Region } from '../../src/memory/region.js';
import { RoomBoard } from '../../src/memory/room-board.js';
import type { ResolvedStaticFiles } from '../../src/options/static-files.js';
import { Hold } from '../../src/reactor/life.js';
import { BODY_WINDOW, HttpState, Phase, packHttp, unpackHttp } from '../../src/reactor/protocols/http1/http-state.js';
import { lookForPreface, mayBePreface } from '../../src/reactor/protocols/http1/preface.js';
import { FakeTransport } from '../helpers/fake-transport.js';
import { chunked, get, Http1World, OK, post, sized } from '../helpers/http1-world.js';
import { someHttp, someWebSocket } from '../helpers/reactor-world.js';
import { testShape } from '../helpers/test-shape.js';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }));
afterEach(() => void vi.useRealTimers());

const isOpen = (world: Http1World): boolean => world.client(world.connection).end === 'open';
/** The longest request, head and body, that comes to a worker in one piece. */
const longest = (world: Http1World): number => (world.rings[0]?.longestFrame ?? 0) - 8;

describe('the length of a request', () => {
  const withBody = (total: number): string => {
    const head = post(`content-length: ${total}\r\n`).length;
    const body = 'x'.repeat(total - head);
    return sized(body).length === total ? sized(body) : post(`content-length: ${body.length}\r\n`, body);
  };

  it('that comes whole is read straight to its worker, with its body', () => {
    const world = new Http1World();
    const { scratch } = world.context;
    scratch.fill(0, 0, 100);
    world.asks(sized('one') + sized('two'));
    expect(scratch[0]).toBe(0);
    expect(world.heardRequests()).toMatchObject([{ body: 'one', bodyFollows: false }]);
    world.answers(1);
    expect(world.heardRequests()).toMatchObject([{ body: 'two', bodyFollows: false }]);
  });

  it('decides whether its body comes with it or behind it', () => {
    for (const [more, bodyFollows] of [
      [0, false],
      [1, true],
    ] as const) {
      const world = new Http1World();
      const request = withBody(longest(world) + more);
      expect(request.length).toBe(longest(world) + more);
      for (let at = 0; at < request.length; at += 30_000) world.asks(request.slice(at, at + 30_000));
      expect(world.heardRequests()).toMatchObject([{ bodyFollows }]);
    }
  });

  it('of a chunked one counts without its frames', () => {
    const head = chunked('').length;
    for (const [more, bodyFollows] of [
      [0, false],
      [1, true],
    ] as const) {
      const world = new Http1World();
      const body = 'x'.repeat(longest(world) - head + more);
      const half = body.length >> 1;
      const framed = [body.slice(0, half), body.slice(half)].map(
        (part) => `${part.length.toString(16)}\r\n${part}\r\n`,
      );
      world.asks(chunked(`${framed.join('')}0\r\n\r\n`));
      const [request] = world.heardRequests();
      expect(request?.bodyFollows).toBe(bodyFollows);
      if (!bodyFollows) expect(request?.body).toBe(body);
    }
  });

  it('may not be more than the channel takes for the head alone', () => {
    const world = new Http1World({ headerLimit: 1 << 20, requestLineLimit: 1 << 20 });
    const head = (bytes: number): string => get(`/${'x'.repeat(bytes - get('/').length)}`);
    const tooLong = head(longest(world) + 1);
    world.asks(tooLong.slice(0, 1000));
    world.asks(tooLong.slice(1000));
    expect([world.statuses, world.heardRequests()]).toEqual([[431], []]);
    expect(world.got).toContain('The head is too long for the channels of this server.');
    const other = new Http1World({ headerLimit: 1 << 20, requestLineLimit: 1 << 20 });
    const fitting = head(longest(other));
    other.asks(fitting.slice(0, 1000));
    other.asks(fitting.slice(1000));
    expect(other.heardRequests()[0]?.head.length).toBe(longest(other));
  });

  it.each([
    [1000, true],
    [1001, false],
  ])('of a body of %d bytes where 1000 may be', (bytes, isTaken) => {
    const world = new Http1World({ bodyLimit: 1000 });
    world.asks(sized('x'.repeat(bytes)));
    expect(world.heardRequests()).toHaveLength(isTaken ? 1 : 0);
    expect(world.statuses).toEqual(isTaken ? [] : [413]);
    if (!isTaken) expect(world.got).toContain('The body has more than 1000 bytes, which is the bodyLimit.');
  });
});

describe('a head that comes in drops', () => {
  it.each([100, 511, 513, 3000])('of %d bytes is found whole at its last byte, wherever it is cut', (bytes) => {
    const request = get('/', `x-a: ${'y'.repeat(bytes)}\r\nx-b: z\r\n`);
    for (const cut of [1, 2, 400, 513, 514, 600, request.length - 2, request.length - 1]) {
      if (cut >= request.length) continue;
      const world = new Http1World();
      world.asks(request.slice(0, cut));
      expect(world.heardRequests()).toEqual([]);
      if (cut < request.length - 1) world.asks(request.slice(cut, -1));
      expect(world.heardRequests()).toEqual([]);
      world.asks(request.slice(-1));
      expect(world.heardRequests()).toMatchObject([{ head: request }]);
    }
  });

  it('is refused as soon as it is too long, not when it ends', () => {
    const world = new Http1World({ headerLimit: 2000 });
    world.asks(get('/', `x-a: ${'y'.repeat(1000)}\r\n`).slice(0, -2));
    for (let i = 0; i < 30; i++) world.asks(`x-${i}: ${'z'.repeat(100)}\r\n`);
    expect([world.statuses, world.heardRequests()]).toEqual([[431], []]);
  });
});

describe('the time of a connection', () => {
  const limits = { keepAliveTimeoutMs: 5000, headersTimeoutMs: 2000, requestTimeoutMs: 3000 };

  it.each([
    [{}, 0],
    [{ keepAliveTimeoutMs: 4000 }, 1000],
    [{ keepAliveTimeoutMs: 400 }, 100],
    [{ headersTimeoutMs: 402, requestTimeoutMs: 800 }, 100],
    [{ requestTimeoutMs: 20 }, 20],
    [{ minBodyBytesPerSecond: 1 }, 1000],
    [{ minBodyBytesPerSecond: 1, requestTimeoutMs: 1000 }, 250],
  ])('is looked at, with %j, each %d ms', (given, tickMs) => {
    const world = new Http1World(given);
    expect(world.protocols.ofPort(0).tickMs).toBe(tickMs);
  });

  it('without a request is keepAliveTimeoutMs to the millisecond', () => {
    const world = new Http1World(limits);
    world.ticks(4999);
    expect(isOpen(world)).toBe(true);
    world.ticks(1);
    expect([world.connection.closeCode, world.got]).toEqual([CloseCode.KEEP_ALIVE_TIMEOUT, '']);
  });

  it('of a head is headersTimeoutMs, from its first byte', () => {
    const world = new Http1World(limits);
    world.ticks(4000);
    world.asks('GET');
    world.ticks(1000);
    world.asks(' / HT');
    world.ticks(999);
    expect(world.statuses).toEqual([]);
    world.ticks(1);
    expect([world.statuses, world.connection.closeCode]).toEqual([[408], CloseCode.HTTP_TIMEOUT]);
    expect(world.got).toContain('The request did not come in time.');
    expect(world.board.read(0, ReactorCounter.httpTimedOut)).toBe(1);
  });

  it('of a short body is requestTimeoutMs, from its last byte', () => {
    const world = new Http1World(limits);
    world.asks(post('content-length: 3\r\n', 'a'));
    world.ticks(2999);
    world.asks('b');
    world.ticks(2999);
    expect(world.statuses).toEqual([]);
    world.ticks(1);
    expect(world.statuses).toEqual([408]);
  });

  it('of a long body begins anew with each piece', () => {
    const world = new Http1World(limits);
    world.asks(post('content-length: 100000\r\n'), 'x');
    world.heardRequests();
    for (let i = 0; i < 3; i++) {
      world.ticks(2999);
      world.asks('y');
    }
    expect(world.statuses).toEqual([]);
    world.ticks(3000);
    expect(world.statuses).toEqual([408]);
    expect(world.got).toContain('The body did not come in time.');
  });

  it.each([
    ['half a head', 'POST / HTTP/1.1\r\nhost', 1999],
    ['a short body', post('content-length: 3\r\n', 'a'), 2999],
    ['a long body', post('content-length: 100000\r\n', 'x'), 2999],
  ])('of %s stands still while the server does not read', (_what, bytes, restMs) => {
    for (const hold of [Hold.budget, Hold.paused, Hold.draining, Hold.quiet]) {
      const world = new Http1World({ ...limits, minBodyBytesPerSecond: 1000 });
      world.asks(bytes);
      world.heardRequests();
      world.connection.holds |= hold;
      for (let i = 0; i < 20; i++) world.ticks(1000);
      world.connection.holds &= ~hold;
      world.ticks(restMs);
      expect(world.statuses).toEqual([]);
      world.ticks(1);
      expect(world.statuses).toEqual([408]);
    }
  });

  it('of a long body that its worker does not take is that of the answer; it begins anew when the worker takes some', () => {
    const begin = (): [Http1World, number] => {
      const world = new Http1World(limits);
      world.asks(post('content-length: 1000000\r\n'));
      const [request] = world.heardRequests();
      for (let sent = 0; sent < BODY_WINDOW; sent += 32_768) {
        world.asks('x'.repeat(32_768));
        world.bodySoFar();
      }
      return [world, request?.exchange ?? 0];
    };
    const [late] = begin();
    late.ticks(2999);
    expect(late.statuses).toEqual([]);
    late.ticks(1);
    expect(late.statuses).toEqual([503]);
    const [world, exchange] = begin();
    world.ticks(2000);
    world.takesBody(exchange, 10);
    world.ticks(2999);
    expect(world.statuses).toEqual([]);
    world.ticks(1);
    expect(world.statuses).toEqual([408]);
  });

  it('of an answer is requestTimeoutMs, from the end of the request', () => {
    const world = new Http1World(limits);
    world.asks(post('content-length: 3\r\n', 'ab'));
    world.ticks(2000);
    world.asks('c');
    world.heardRequests();
    world.ticks(2999);
    expect(world.statuses).toEqual([]);
    world.ticks(1);
    expect(world.statuses).toEqual([503]);
    expect(world.got).toContain('The server could not answer in time.');
  });
});

describe('requests under way', () => {
  it('are counted while a worker owes their answer, and not beyond', () => {
    const world = new Http1World();
    expect(world.board.underWay(0)).toBe(0);
    world.asks(get('/1') + get('/2'));
    expect(world.board.underWay(0)).toBe(1);
    world.heardRequests();
    world.answers(1);
    expect(world.board.underWay(0)).toBe(1);
    world.heardRequests();
    world.answers(2);
    expect(world.board.underWay(0)).toBe(0);
    world.asks(get('/3'), 'end' as const);
    world.ending.reset(world.connection, 0);
    expect(world.board.underWay(0)).toBe(0);
  });

  it('are counted by the process that takes over, and those between two requests are not', () => {
    const world = new Http1World();
    world.asks(get('/1'));
    world.connect();
    const next = world.successor();
    expect(next.board.underWay(0)).toBe(1);
    next.sends(world.connection, [{ type: Request.answer, detail: 1, flags: AnswerFlag.last, payload: OK }]);
    expect([next.board.underWay(0), next.client(world.connection).got]).toEqual([0, OK]);
  });

  it('are maxConcurrency at most, those of HTTP/2 counted', () => {
    const world = new Http1World({ maxConcurrency: 2 });
    world.workers.addField(0, WorkerField.streamsOfLane0, 1);
    world.asks(get('/1'));
    expect(world.heardRequests()).toHaveLength(1);
    const other = world.connect();
    world.clientSends(other, sized('body'));
    expect(world.client(other).got).toMatch(
      /^HTTP\/1.1 503 [\s\S]*Retry-After: 1\r\n[\s\S]*limit of requests under way/,
    );
    expect(world.board.read(0, ReactorCounter.httpRefused)).toBe(1);
    expect(world.client(other).end).toBe('open');
    world.clientSends(other, post('content-length: 100000\r\n', 'begun'));
    expect(world.client(other).end).not.toBe('open');
  });

  it('read ahead 64 KiB to see the end of the client, and no more', () => {
    const world = new Http1World();
    world.asks(get('/1'));
    const { sent } = world.client(world.connection);
    for (let i = 0; i < 4; i++) world.asks('x'.repeat(32_768));
    expect(sent.length).toBeGreaterThan(0);
    const read = world.connection.input?.length ?? 0;
    expect(read).toBeGreaterThanOrEqual(65_536);
    expect(read).toBeLessThan(2 * 65_536);
  });
});

describe('the state of a connection that goes over to another process', () => {
  it('is all of a request that has come, and that is owed', () => {
    const state = new HttpState(5);
    Object.assign(state, {
      ...{ phase: Phase.owed, isFresh: false, exchange: 7, worker: 2, begun: true, answerer: { peer: 1, pid: 2 } },
      ...{ hasBegun: true, since: 99, keepAlive: true, isHead: true, http10: true, wanted: 30, had: 20 },
    });
    const restored = unpackHttp(structuredClone(packHttp(state)));
    expect(restored).toMatchObject(packHttp(state));
    expect([restored.isOwed, restored.credit, restored.joinedAs]).toEqual([true, BODY_WINDOW, 0]);
  });

  it.each([
    [Phase.request, false],
    [Phase.owed, true],
    [Phase.streaming, true],
    [Phase.flushing, false],
  ])('of phase %d is owed: %s', (phase, isOwed) => {
    expect(Object.assign(new HttpState(0), { phase }).isOwed).toBe(isOwed);
  });
});

describe('the preface of HTTP/2', () => {
  const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  it('is known by every byte', () => {
    for (let length = 1; length <= preface.length; length++) {
      expect(lookForPreface(preface, 0, length)).toBe(length < preface.length ? 'more' : 'yes');
      const wrong = Buffer.from(preface);
      wrong[length - 1] = 0x7e;
      expect(lookForPreface(wrong, 0, preface.length)).toBe('no');
    }
    expect(lookForPreface(Buffer.concat([Buffer.from('xx'), preface, preface]), 2, 60)).toBe('yes');
    expect([
      mayBePreface(preface, 0),
      mayBePreface(Buffer.from('PUT'), 0),
      mayBePreface(Buffer.from('GRI'), 0),
    ]).toEqual([...[true, false, false]]);
  });
});

describe('a static file', () => {
  const root = mkdtempSync(join(tmpdir(), 'tswoole-edges-'));
  process.once('exit', () => rmSync(root, { recursive: true, force: true }));
  writeFileSync(join(root, 'a.txt'), 'hello');
  const folder = { root, prefix: '/', index: [], cacheControl: '', dotFiles: 'ignore', precompressed: false } as const;
  const staticFiles: ResolvedStaticFiles = [{ ...folder, fallthrough: true, fields: ['X-Own', 'yes'] }];
  const headOf = (world: Http1World): string[] => world.got.split('\r\n\r\n')[0]?.split('\r\n') ?? [];

  it('has a head with its status, its date and its fields, and nothing of the connection where that stays', () => {
    const world = new Http1World({ staticFiles });
    world.asks(get('/a.txt'));
    const lines = headOf(world);
    expect(lines.slice(0, 2)).toEqual(['HTTP/1.1 200 OK', expect.stringMatching(/^date: .* GMT$/)]);
    expect(lines.map((line) => line.toLowerCase())).toEqual(
      expect.arrayContaining(['content-length: 5', 'x-own: yes']),
    );
    expect(lines.join()).not.toMatch(/connection/i);
  });

  it('is not sent again to who has it, by any of several lines', () => {
    const world = new Http1World({ staticFiles });
    world.asks(get('/a.txt'));
    const etag = /etag: (.*)\r\n/i.exec(world.got)?.[1];
    const other = new Http1World({ staticFiles });
    other.asks(get('/a.txt', `If-None-Match: "other"\r\nIF-NONE-MATCH: ${etag}\r\n`));
    expect(headOf(other)[0]).toBe('HTTP/1.1 304 Not Modified');
    expect(other.got.endsWith('\r\n\r\n')).toBe(true);
    const dated = new Http1World({ staticFiles });
    const at = new Date(statSync(join(root, 'a.txt')).mtimeMs + 2000).toUTCString();
    dated.asks(get('/a.txt', `If-Modified-Since: ${at}\r\n`));
    expect(dated.statuses).toEqual([304]);
  });

  it.each([
    ['GET /a.txt HTTP/1.0\r\nconnection: keep-alive\r\n\r\n', 'connection: keep-alive'],
    ['GET /a.txt HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n', 'connection: close'],
    ['GET /a.txt HTTP/1.0\r\n\r\n', 'connection: close'],
  ])('to %j says what becomes of the connection', (request, line) => {
    const world = new Http1World({ staticFiles });
    world.asks(request);
    expect(headOf(world)).toContain(line);
    expect(isOpen(world)).toBe(line.endsWith('keep-alive'));
  });

  it.runIf(process.platform === 'linux')('whose size shows only when it is read is sent whole, however long', () => {
    const ofSystem: ResolvedStaticFiles = [{ ...folder, root: `/proc/${process.pid}`, fallthrough: false, fields: [] }];
    const world = new Http1World({ staticFiles: ofSystem });
    world.asks(get('/smaps') + get('/comm'));
    const [head = ''] = world.got.split('\r\n\r\n');
    const length = Number(/content-length: (\d+)/i.exec(head)?.[1]);
    expect(length).toBeGreaterThan(40_000);
    const rest = world.got.slice(head.length + 4);
    expect(rest.slice(length)).toMatch(/^HTTP\/1.1 200 OK\r\n[\s\S]*\n$/);
    expect(rest.slice(0, length).endsWith('\n')).toBe(true);
  });

  it('goes to a worker where it expects what nobody knows', () => {
    const world = new Http1World({ staticFiles });
    world.asks(get('/a.txt', 'expect: a-miracle\r\n'));
    expect(world.heardRequests()).toHaveLength(1);
  });
});

describe('an answer that is a member of a room', () => {
  const roomWorld = (options = {}): Http1World =>
    new Http1World(someHttp, { port: { webSocket: { ...someWebSocket, roomHighWatermark: 1000, ...options } } });
  const publication = (text: string | Uint8Array): string | Buffer => {
    const isText = typeof text === 'string';
    const payload = Buffer.from(text as string);
    const first = isText ? 0x81 : 0x82;
    const head =
      payload.length < 126 ? [first, payload.length] : [first, 126, payload.length >> 8, payload.length & 255];
    const plain = Buffer.concat([Buffer.from(head), payload]);
    return packPublication({ room: 'a', plain, deflated: null, except: [], isText });
  };
  const member = (as: number, begins = true): Http1World => {
    const world = roomWorld();
    world.asks(get('/events'));
    world.heardRequests();
    if (begins) world.answers(1, 'HTTP/1.1 200 OK\r\n\r\n', 0);
    world.sends(world.connection, [{ type: Request.join, detail: as, payload: 'a' }]);
    return world;
  };
  const publish = (world: Http1World, ...texts: (string | Uint8Array)[]): void =>
    world.sends(
      { sessionId: 0, worker: 0 },
      texts.map((text) => ({ type: Request.publish, payload: publication(text) })),
    );
  const bodyOf = (world: Http1World): string => world.got.slice('HTTP/1.1 200 OK\r\n\r\n'.length);

  it.each([
    ['hello', 'data: hello\n\n'],
    ['', 'data: \n\n'],
    ['a\nb\r\nc\rd', 'data: a\ndata: b\ndata: c\ndata: d\n\n'],
    ['x'.repeat(200), `data: ${'x'.repeat(200)}\n\n`],
  ])('gets %j as an event, and in a chunk where it is chunked', (text, event) => {
    const plain = member(JoinAs.events);
    publish(plain, text);
    expect(bodyOf(plain)).toBe(event);
    const inChunks = member(JoinAs.chunkedEvents);
    publish(inChunks, text);
    expect(bodyOf(inChunks)).toBe(`${event.length.toString(16)}\r\n${event}\r\n`);
    expect(plain.board.read(0, ReactorCounter.deliveries)).toBe(1);
  });

  it('gets what is published together in one piece, and no bytes that are no text', () => {
    const world = member(JoinAs.chunkedEvents);
    publish(world, 'a', new Uint8Array([1, 2]), 'b');
    expect(bodyOf(world)).toBe('12\r\ndata: a\n\ndata: b\n\n\r\n');
    publish(world, new Uint8Array([1, 2]));
    expect(bodyOf(world)).toBe('12\r\ndata: a\n\ndata: b\n\n\r\n');
  });

  it('misses what it does not keep up with, and is not cut off', () => {
    const world = member(JoinAs.events);
    world.client(world.connection).room = 0;
    publish(world, 'x'.repeat(600));
    publish(world, 'y'.repeat(600));
    publish(world, 'z'.repeat(300));
    expect(world.board.read(0, ReactorCounter.drops)).toBe(1);
    world.clientTakes(world.connection);
    expect([bodyOf(world).includes('x'), bodyOf(world).includes('y'), bodyOf(world).includes('z')]).toEqual([
      ...[true, false, true],
    ]);
    expect(isOpen(world)).toBe(true);
  });

  it('is none before it has begun, when it has ended, or as a WebSocket', () => {
    for (const world of [member(JoinAs.events, false), member(JoinAs.frames)]) {
      publish(world, 'x');
      expect(world.got).not.toContain('data:');
    }
    const ended = member(JoinAs.events);
    ended.answers(1, 'end');
    publish(ended, 'x');
    expect(bodyOf(ended)).toBe('end');
  });
});

describe('the size of a room', () => {
  it('is that of its members, in shared memory, whatever is joined and left twice', () => {
    const region = Region.create(testShape({ ringBytes: 131_072, rooms: 8 }));
    const world = new Http1World(someHttp, { before: { region, transport: new FakeTransport() } });
    const board = new RoomBoard(region);
    const connections = [world.connect(), world.connect(), world.connect()];
    const sizes: number[] = [];
    for (const connection of connections) {
      world.rooms.join(connection, 'a');
      world.rooms.join(connection, 'a');
      sizes.push(board.size('a'));
    }
    world.rooms.leave(connections[1]!, 'a');
    world.rooms.leave(connections[1]!, 'a');
    world.rooms.leave(connections[1]!, 'other');
    sizes.push(board.size('a'));
    expect(world.rooms.membersOf('a')).toEqual([connections[0]?.sessionId, connections[2]?.sessionId]);
    world.rooms.leave(connections[0]!, '');
    sizes.push(board.size('a'));
    world.ending.reset(connections[2]!, 0);
    sizes.push(board.size('a'));
    expect([sizes, world.rooms.membersOf('a'), world.rooms.namesOf(connections[0]!)]).toEqual([
      ...[[1, 2, 3, 2, 1, 0], [], []],
    ]);
  });
});

it('an answer by hand is as one that comes through the ring', () => {
  const world = new Http1World();
  world.asks(get('/1') + get('/2'));
  world.heardRequests();
  world.answers(1, OK, AnswerFlag.last);
  expect(world.heardRequests()).toMatchObject([{ target: '/2', exchange: 2 }]);
  expect(world.others.filter(({ type }) => type === Event.gone)).toEqual([]);
});
