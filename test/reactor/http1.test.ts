import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AnswerFlag, BodyFlag, CloseCode, Event, goneFlags, Request } from '../../src/ipc/frame.js';
import { ReactorCounter, WorkerField } from '../../src/memory/boards.js';
import { peerOf } from '../../src/memory/layout.js';
import type { ResolvedStaticFiles } from '../../src/options/static-files.js';
import { BODY_WINDOW } from '../../src/reactor/protocols/http1/http-state.js';
import { chunked, get, Http1World, OK, post, sized } from '../helpers/http1-world.js';
import { someTls } from './protocol/talk.js';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }));
afterEach(() => void vi.useRealTimers());

describe('a request', () => {
  it('lies whole before its worker, with what the reactor has found out', () => {
    const world = new Http1World();
    world.asks(get('/a?b=c'));
    expect(world.heardRequests()).toEqual([
      {
        ...{ exchange: 1, method: 'GET', target: '/a?b=c', bits: ['keepAlive'] },
        ...{ head: get('/a?b=c'), body: '', bodyFollows: false },
      },
    ]);
  });

  it.each([
    ['GET / HTTP/1.0\r\n\r\n', 'GET', ['http10']],
    ['GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n', 'GET', ['http10', 'keepAlive']],
    ['HEAD / HTTP/1.1\r\nhost: a\r\n\r\n', 'HEAD', ['keepAlive']],
    ['OPTIONS * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n', 'OPTIONS', []],
    [get('/', 'connection: upgrade\r\nupgrade: x\r\n'), 'GET', ['keepAlive', 'upgrade']],
    [get('/', 'expect: a-miracle\r\n'), 'GET', ['keepAlive', 'expectsOther']],
    ['GET / HTTP/1.0\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n', 'GET', ['http10']],
    [post('content-length: 2\r\nconnection: close\r\n', 'ab'), 'POST', []],
    [post('content-length: 2\r\nexpect: 100-continue\r\n'), 'POST', ['keepAlive', 'asksContinue']],
    [chunked('0\r\n\r\n'), 'POST', ['keepAlive', 'chunked']],
  ])('tells the worker what it is: %j', (text, method, bits) => {
    const world = new Http1World();
    world.asks(text);
    const [request] = world.heardRequests();
    expect([request?.method, new Set(request?.bits)]).toEqual([method, new Set(bits)]);
  });

  it('of a version to come is given as HTTP/1.1', () => {
    const world = new Http1World();
    world.asks('GET /x HTTP/1.7\r\nhost: a\r\n\r\n');
    expect(world.heardRequests()).toMatchObject([{ head: 'GET /x HTTP/1.1\r\nhost: a\r\n\r\n' }]);
  });

  it('says that it came over TLS', () => {
    const world = new Http1World({}, {}, someTls);
    world.asks(get('/'));
    expect(world.heardRequests()).toMatchObject([{ bits: ['keepAlive', 'tls'] }]);
  });

  it('waits for the answer to the one before it', () => {
    const world = new Http1World();
    world.asks(get('/1') + get('/2') + get('/3'));
    for (const exchange of [1, 2, 3]) {
      expect(world.heardRequests()).toMatchObject([{ exchange, target: `/${exchange}` }]);
      world.turn();
      expect(world.heardRequests()).toEqual([]);
      world.answers(exchange);
    }
    expect(world.got).toBe(OK + OK + OK);
    expect(world.board.underWay(0)).toBe(0);
  });

  it('waits until the client has taken the answer before', () => {
    const world = new Http1World();
    world.client(world.connection).room = 10;
    world.asks(get('/1') + get('/2'));
    world.heardRequests();
    world.answers(1);
    expect(world.heardRequests()).toEqual([]);
    world.clientTakes(world.connection);
    expect(world.heardRequests()).toMatchObject([{ target: '/2' }]);
  });

  it('goes where its session is kept', () => {
    const world = new Http1World({}, { workers: 3 });
    world.region.beginSessionAffinity();
    world.asks(get('/socket.io/?sid=abc.w2'));
    world.rings.forEach((ring) => void ring.flush());
    expect([world.take(0), world.take(1)]).toEqual([[], []]);
    expect(world.take(2)).toMatchObject([{ type: Event.request }]);
  });

  it('goes where a function of the user says, or is not served', () => {
    const goals = [1, 'discard'] as const;
    let calls = 0;
    const world = new Http1World({}, { workers: 2, dispatch: () => goals[calls++] ?? 0 });
    world.asks(get('/1') + get('/2'));
    expect(world.take(1)).toMatchObject([{ type: Event.request }]);
    world.answers(1, OK, AnswerFlag.last, 2);
    expect(world.statuses).toEqual([200, 503]);
  });

  it('is not parsed at each byte when its head is long and comes in drops, and comes whole', () => {
    const world = new Http1World();
    const request = get('/', `x: ${'y'.repeat(3000)}\r\n`);
    for (const byte of request) world.asks(byte);
    expect(world.heardRequests()).toMatchObject([{ head: request }]);
  });

  it('may begin with empty lines', () => {
    const world = new Http1World();
    world.asks(`\r\n${get('/')}`);
    expect(world.heardRequests()).toMatchObject([{ target: '/' }]);
  });
});

describe('a body', () => {
  it('that is short comes with its head', () => {
    const world = new Http1World();
    world.asks(sized('hello'));
    expect(world.heardRequests()).toMatchObject([{ body: 'hello', bodyFollows: false }]);
  });

  it('that is short and chunked comes with its head, decoded', () => {
    const world = new Http1World();
    world.asks(chunked('5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n') + get('/next'));
    expect(world.heardRequests()).toMatchObject([{ body: 'hello world', bodyFollows: false }]);
    world.answers(1);
    expect(world.heardRequests()).toMatchObject([{ target: '/next' }]);
  });

  it('that is long follows, no more of it than the worker allows', () => {
    const world = new Http1World();
    const body = 'x'.repeat(BODY_WINDOW + 50_000);
    world.asks(sized(body));
    expect(world.heardRequests()).toMatchObject([{ body: '', bodyFollows: true }]);
    for (let i = 0; i < 20; i++) world.bodySoFar();
    expect(world.bodySoFar().length).toBe(BODY_WINDOW);
    world.takesBody(1, 1000);
    expect(world.bodySoFar().length).toBe(BODY_WINDOW + 1000);
    world.takesBody(1, BODY_WINDOW);
    for (let i = 0; i < 20; i++) world.bodySoFar();
    expect(world.bodySoFar()).toBe(body);
    expect(world.others.at(-1)).toMatchObject({ type: Event.body, flags: BodyFlag.last, detail: 1 });
  });

  it('takes no credit for another request', () => {
    const world = new Http1World();
    world.asks(sized('x'.repeat(BODY_WINDOW + 50_000)));
    world.heardRequests();
    for (let i = 0; i < 20; i++) world.bodySoFar();
    world.takesBody(9, 1000);
    expect(world.bodySoFar().length).toBe(BODY_WINDOW);
  });

  it('that is chunked follows where it has not come whole, with its trailers behind', () => {
    const world = new Http1World();
    world.asks(chunked('3\r\nabc\r\n'));
    expect(world.heardRequests()).toMatchObject([{ bodyFollows: true }]);
    world.asks('3\r\ndef\r\n0\r\nx-sum: 6\r\n\r\n');
    expect(world.found()).toEqual([
      [Event.body, 0, 'abc'],
      [Event.body, 0, 'def'],
      [Event.body, BodyFlag.last | BodyFlag.trailers, 'x-sum: 6\r\n'],
    ]);
  });

  it('waits for a client that asks first, and is let come by the worker', () => {
    const world = new Http1World();
    world.asks(post('content-length: 3\r\nexpect: 100-continue\r\n'));
    expect(world.heardRequests()).toMatchObject([{ bodyFollows: true, bits: ['keepAlive', 'asksContinue'] }]);
    world.answers(1, 'HTTP/1.1 100 Continue\r\n\r\n', AnswerFlag.interim | AnswerFlag.continue);
    world.asks('abc');
    expect(world.found()).toEqual([[Event.body, BodyFlag.last, 'abc']]);
    world.answers(1);
    expect(world.statuses).toEqual([100, 200]);
    expect(world.connection.isClosed).toBe(false);
  });

  it('that nobody has let come ends the connection behind the answer', () => {
    const world = new Http1World();
    world.asks(post('content-length: 3\r\nexpect: 100-continue\r\n'));
    world.heardRequests();
    world.answers(1, 'HTTP/1.1 417 Expectation Failed\r\ncontent-length: 0\r\n\r\n');
    expect([world.statuses, world.connection.isClosed]).toEqual([[417], true]);
  });

  it('of a client that goes is told to be over', () => {
    const world = new Http1World();
    world.asks(sized('x'.repeat(200_000)).slice(0, 100_000), 'end' as const);
    world.heardRequests();
    for (let i = 0; i < 5; i++) world.bodySoFar();
    expect(world.found().at(-2)).toEqual([Event.gone, goneFlags(CloseCode.CLIENT_CLOSED), '']);
    expect(world.connection.isClosed).toBe(true);
  });

  it('goes to no worker that is about to go, and waits until there is another one', () => {
    const world = new Http1World();
    const upload = sized('x'.repeat(200_000)).slice(0, 1000);
    world.workers.setField(0, WorkerField.dismissing, 1);
    world.asks(upload);
    expect(world.heardRequests()).toEqual([]);
    world.workers.setField(0, WorkerField.dismissing, 0);
    world.turn();
    expect(world.heardRequests()).toMatchObject([{ bodyFollows: true }]);
  });

  it('waits no more when its client is gone', () => {
    const world = new Http1World();
    world.workers.setField(0, WorkerField.dismissing, 1);
    world.asks(sized('x'.repeat(200_000)).slice(0, 1000));
    world.ending.reset(world.connection, CloseCode.SERVER_RESET);
    world.workers.setField(0, WorkerField.dismissing, 0);
    world.turn();
    expect(world.heardRequests()).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is looked at again by itself while no worker takes it', () => {
    const world = new Http1World();
    const wakes = vi.fn();
    world.context.wake = wakes;
    world.workers.setField(0, WorkerField.dismissing, 1);
    world.asks(sized('x'.repeat(200_000)).slice(0, 1000));
    vi.advanceTimersByTime(100);
    expect(wakes).toHaveBeenCalledTimes(5);
  });

  it('goes to a worker that stays', () => {
    const world = new Http1World({}, { workers: 2 });
    world.workers.setField(0, WorkerField.dismissing, 1);
    world.asks(sized('x'.repeat(200_000)).slice(0, 1000));
    expect(world.take(1)).toMatchObject([{ type: Event.request }, { type: Event.body }]);
  });

  it('goes to those that stay in turn, and to none that is scaled away', () => {
    const world = new Http1World({}, { workers: 4 });
    world.view.workerNum = 3;
    world.workers.setField(0, WorkerField.dismissing, 1);
    const upload = sized('x'.repeat(200_000)).slice(0, 1000);
    const others = [1, 2, 3].map(() => world.connect(0));
    for (const connection of [world.connection, ...others]) world.clientSends(connection, upload);
    const requests = (worker: number) => world.take(worker).filter(({ type }) => type === Event.request).length;
    expect([0, 1, 2, 3].map(requests)).toEqual([0, 2, 2, 0]);
  });
});

describe('what is refused', () => {
  const limits = { bodyLimit: 10, requestLineLimit: 60, headerLimit: 200, headerCountLimit: 4 };

  it.each([
    [400, 'G@T / HTTP/1.1\r\n\r\n'],
    [400, 'GET / HTTP/1.1\r\n\r\n'],
    [400, get('/', 'host: b\r\n')],
    [400, get('/', 'no colon\r\n')],
    [400, post('content-length: 1\r\ntransfer-encoding: chunked\r\n', 'x')],
    [400, post('content-length: x\r\n')],
    [400, chunked('no size\r\n')],
    [413, sized('12345678901')],
    [413, chunked('b\r\n12345678901\r\n0\r\n\r\n')],
    [414, get(`/${'x'.repeat(60)}`)],
    [431, get('/', `x: ${'y'.repeat(200)}\r\n`)],
    [431, get('/', 'x: y\r\n'.repeat(4))],
    [501, 'BREW /pot HTTP/1.1\r\nhost: a\r\n\r\n'],
    [501, post('transfer-encoding: gzip, chunked\r\n')],
    [505, 'GET / HTTP/3.0\r\nhost: a\r\n\r\n'],
  ])('is answered with %i, and no worker hears of it: %j', (status, text) => {
    const world = new Http1World(limits);
    world.asks(text + get('/next'));
    expect([world.statuses, world.heardRequests()]).toEqual([[status], []]);
    expect(world.got).toContain('Connection: close\r\n');
    expect(world.refused).toMatchObject([[CloseCode.HTTP_REFUSED, expect.stringMatching(/\.$/)]]);
    expect(world.board.read(0, ReactorCounter.httpRefused)).toBe(1);
    world.asks('end');
    expect([world.connection.isClosed, world.connection.closeCode]).toEqual([true, CloseCode.HTTP_REFUSED]);
  });

  it.each([
    [413, 'content-length: 11\r\n', ''],
    [413, 'transfer-encoding: chunked\r\n', 'b\r\n12345678901\r\n0\r\n\r\n'],
    [400, 'transfer-encoding: chunked\r\n', 'no size\r\n'],
  ])('is answered to HEAD with %i without a body', (status, fields, body) => {
    const world = new Http1World(limits);
    world.asks(`HEAD / HTTP/1.1\r\nhost: a\r\n${fields}\r\n${body}`);
    expect(world.statuses).toEqual([status]);
    expect(world.got).toMatch(/\r\ncontent-length: \d+\r\n/i);
    expect(world.got.endsWith('\r\n\r\n')).toBe(true);
  });

  it('is answered behind the requests before it', () => {
    const world = new Http1World();
    world.asks(`${get('/1')}nonsense\r\n\r\n`);
    world.heardRequests();
    expect(world.got).toBe('');
    world.answers(1);
    expect(world.statuses).toEqual([200, 400]);
  });

  it.each([
    ['no size\r\n', 400],
    ['4\r\ntoo \r\n8\r\nlong\r\n', 413],
  ])('in the middle of a body ends its request for the worker too: %j', (rest, status) => {
    const world = new Http1World({ bodyLimit: 10 });
    world.asks(chunked('1\r\na\r\n'));
    world.heardRequests();
    world.asks(rest);
    expect(world.statuses).toEqual([status]);
    const gone = world.found().find(([type]) => type === Event.gone);
    expect(gone).toMatchObject([Event.gone, goneFlags(CloseCode.HTTP_REFUSED), expect.stringMatching(`^${status} .`)]);
    expect(world.board.underWay(0)).toBe(0);
  });

  it('resets the client where the answer has begun', () => {
    const world = new Http1World();
    world.asks(chunked('1\r\na\r\n'));
    world.heardRequests();
    world.answers(1, 'HTTP/1.1 200 OK\r\n\r\n', 0);
    world.asks('no size\r\n');
    expect([world.statuses, world.client(world.connection).end]).toEqual([[200], 'reset']);
  });

  it('is told to come later where maxConcurrency requests are under way', () => {
    const world = new Http1World({ maxConcurrency: 1 });
    const other = world.connect();
    world.clientSends(other, get('/1'));
    world.asks(`HEAD / HTTP/1.1\r\nhost: a\r\n\r\n${get('/2')}`);
    expect(world.statuses).toEqual([503, 503]);
    expect(world.got.match(/Retry-After: 1\r\n/g)?.length).toBe(2);
    expect(world.connection.isClosed).toBe(false);
    world.take();
    world.sends(other, [{ type: Request.answer, detail: 1, flags: AnswerFlag.last, payload: OK }]);
    world.asks(get('/3'));
    expect(world.heardRequests()).toMatchObject([{ target: '/3' }]);
  });
});

describe('an upgrade', () => {
  const request = get('/chat', 'connection: upgrade\r\nupgrade: chat\r\n');

  it('gives the connection to the worker that has accepted it, bytes behind the request first', () => {
    const world = new Http1World({}, { workers: 2, mode: 'round-robin' });
    world.asks(`${request}first `);
    const [frame] = world.takeAll();
    const worker = frame?.worker ?? -1;
    world.answers(1, 'HTTP/1.1 101 Switching Protocols\r\n\r\n', AnswerFlag.tunnel, worker * 2);
    expect([world.connection.protocol.name, world.connection.worker]).toEqual(['tunnel', worker]);
    world.asks('second');
    expect(world.take(worker).map(({ type, text }) => [type, text])).toEqual([
      [Event.receive, 'first '],
      [Event.receive, 'second'],
    ]);
    expect([world.statuses, world.board.underWay(0)]).toEqual([[101], 0]);
  });

  it.each([
    ['a tunnel', AnswerFlag.tunnel],
    ['a WebSocket', AnswerFlag.webSocket],
  ])('is answered before another process sends, which has heard of %s from the worker', (_, flag) => {
    const world = new Http1World({}, { workers: 2, mode: 'round-robin' });
    world.asks(get('/'));
    const first = world.takeAll()[0]?.worker ?? -1;
    if (first === 0) {
      world.answers(1, OK, AnswerFlag.last, 0);
    } else {
      world.answers(1, OK, AnswerFlag.last, peerOf(1, 0));
      world.asks(get('/'));
      world.takeAll();
      world.answers(2, OK, AnswerFlag.last, 0);
    }
    world.asks(request);
    const [frame] = world.takeAll();
    expect(frame?.worker).toBe(1); // the reactor looks at the ring of worker 0 before
    const exchange = first === 0 ? 2 : 3;
    const switching = 'HTTP/1.1 101 Switching Protocols\r\n\r\n';
    const { sessionId } = world.connection;
    world.writes(
      sessionId,
      [{ type: Request.answer, detail: exchange, flags: flag, payload: switching }],
      peerOf(1, 0),
    );
    world.writes(sessionId, [{ type: Request.send, payload: 'message' }], peerOf(0, 0));
    world.turn();
    expect(world.got.slice(world.got.indexOf('HTTP/1.1 101'))).toBe(`${switching}message`);
  });

  it('may be declined', () => {
    const world = new Http1World();
    world.asks(request + get('/next'));
    world.heardRequests();
    world.answers(1);
    expect(world.heardRequests()).toMatchObject([{ target: '/next' }]);
  });

  it('tells its worker of an end that came before', () => {
    const world = new Http1World();
    world.asks(request, 'end' as const);
    world.heardRequests();
    world.answers(1, 'HTTP/1.1 101 Switching Protocols\r\n\r\n', AnswerFlag.tunnel);
    expect(world.found().map(([type, flags]) => [type, flags])).toEqual([
      [Event.gone, goneFlags(CloseCode.CLIENT_CLOSED, true)],
      [Event.close, 2],
    ]);
  });

  it('ends when the process that has taken it is gone', () => {
    const world = new Http1World();
    world.asks(request);
    world.table.setTaker(world.connection.slot, 1000);
    world.heardRequests();
    world.answers(1, 'HTTP/1.1 101 Switching Protocols\r\n\r\n', AnswerFlag.tunnel);
    world.replaceProcess(0, 77);
    expect(world.client(world.connection).end).toBe('reset');
  });
});

describe('HTTP/2', () => {
  const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

  it.each([[[preface]], [[...preface]], [['PRI * HT', `TP/2.0\r\n\r\nSM\r\n\r\nmore`]]])(
    'becomes a tunnel by its preface, which is the first of its bytes: %j',
    (pieces) => {
      const world = new Http1World();
      for (const piece of pieces) world.asks(piece);
      expect(world.connection.protocol.name).toBe('tunnel');
      expect(world.heardRequests()).toMatchObject([{ bits: ['http2'], head: '' }]);
      expect(
        world
          .found()
          .map(([type, , text]) => (type === Event.receive ? text : type))
          .join(''),
      ).toBe(pieces.join(''));
    },
  );

  it('becomes a tunnel before its first byte where ALPN has said so', () => {
    const world = new Http1World({}, {}, { ...someTls, alpn: 'h2' } as typeof someTls);
    world.asks('anything');
    expect(world.heardRequests()).toMatchObject([{ bits: ['tls', 'http2'] }]);
    expect(world.found()).toEqual([[Event.receive, 0, 'anything']]);
  });

  it('is refused where ALPN has said something else', () => {
    const world = new Http1World({}, {}, { ...someTls, alpn: 'http/1.1' } as typeof someTls);
    world.asks(preface);
    world.transport.passOn(world.connection);
    expect(world.statuses).toEqual([400]);
  });

  it.each([get('/'), sized('body')])('is refused behind the first request: %j', (first) => {
    const world = new Http1World();
    world.asks(first + preface);
    world.heardRequests();
    world.answers(1);
    expect(world.statuses).toEqual([200, 400]);
  });

  it('is not known where the port does not speak it', () => {
    const world = new Http1World({ http2: false });
    world.asks(preface);
    expect(world.statuses).toEqual([501]);
    expect(world.got).toContain('HTTP/2 is off on this port.');
  });

  it('is not seen in a method that begins alike', () => {
    const world = new Http1World();
    world.asks('PR');
    world.asks('OPFIND / HTTP/1.1\r\nhost: a\r\n\r\n');
    expect(world.heardRequests()).toMatchObject([{ method: 'PROPFIND' }]);
  });

  it('waits for room in the ring of its worker', () => {
    const world = new Http1World({}, {}, { ...someTls, alpn: 'h2' } as typeof someTls);
    world.fill(0);
    world.asks('anything');
    expect(world.connection.hasNoRoom).toBe(true);
    world.take();
    world.turn();
    expect(world.heardRequests()).toMatchObject([{ bits: ['tls', 'http2'] }]);
  });
});

describe('static files', () => {
  const root = mkdtempSync(join(tmpdir(), 'tswoole-static-'));
  process.once('exit', () => rmSync(root, { recursive: true, force: true }));
  writeFileSync(join(root, 'a.txt'), 'hello');
  writeFileSync(join(root, 'big.bin'), Buffer.alloc(300_000, 'x'));
  const folder = { root, prefix: '/', index: [], cacheControl: '', dotFiles: 'ignore', precompressed: false } as const;
  const staticFiles: ResolvedStaticFiles = [{ ...folder, fallthrough: true, fields: [] }];

  it('are sent without a worker, one behind the other', () => {
    const world = new Http1World({ staticFiles });
    world.asks(get('/a.txt') + get('/a.txt'));
    expect([world.statuses, world.heardRequests()]).toEqual([[200, 200], []]);
    expect(world.got.match(/\r\n\r\nhello/g)?.length).toBe(2);
    expect(world.board.read(0, ReactorCounter.filesServed)).toBe(2);
  });

  it('are sent before what came with their request and is for a worker', () => {
    const world = new Http1World({ staticFiles });
    world.asks(get('/a.txt') + sized('one') + get('/a.txt'));
    expect(world.statuses).toEqual([200]);
    expect(world.heardRequests()).toMatchObject([{ method: 'POST', body: 'one' }]);
    world.answers(1);
    expect(world.statuses).toEqual([200, 200, 200]);
    expect(world.heardRequests()).toEqual([]);
  });

  it.each([
    ['a file', get('/a.txt'), 1],
    ['a worker', get('/first'), 2],
  ])(
    'requests behind an answer of %s that the client takes late are answered, though it has ended its side',
    (_, first, asked) => {
      const world = new Http1World({ staticFiles });
      const { connection } = world;
      world.client(connection).room = 0;
      world.clientSends(connection, first);
      if (asked === 2) world.heardRequests();
      if (asked === 2) world.answers(1);
      world.clientSends(connection, get('/a.txt') + get('/w'), get('/a.txt'), 'end');
      expect([world.statuses, world.heardRequests()]).toEqual([[], []]);
      world.clientTakes(connection);
      expect(world.heardRequests()).toMatchObject([{ target: '/w' }]);
      world.answers(asked);
      expect(world.statuses).toEqual([200, 200, 200, 200]);
      expect([connection.closeCode, world.client(connection).end]).not.toEqual([-1, 'open']);
    },
  );

  it('are sent by the kernel where they are long', () => {
    const world = new Http1World({ staticFiles });
    world.asks(get('/big.bin', 'range: bytes=100-99999\r\n'));
    expect(world.statuses).toEqual([206]);
    expect(world.got).toMatch(/<.*big\.bin 100\+99900>$/);
  });

  it('bear the time of now, the fields of this connection, and what this client has, however often they are asked for', () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    try {
      vi.setSystemTime(1_700_000_000_000);
      const world = new Http1World({ staticFiles });
      const ask = (request: string): string => {
        const before = world.got.length;
        world.asks(request);
        return world.got.slice(before);
      };
      const first = ask(get('/a.txt'));
      expect(first).toContain(`date: ${new Date(1_700_000_000_000).toUTCString()}\r\n`);
      expect(ask(get('/a.txt'))).toBe(first);
      const etag = /etag: (.*)\r\n/.exec(first)?.[1] ?? '';
      expect(ask(get('/a.txt', `If-None-Match: ${etag}\r\n`))).toMatch(/^HTTP\/1.1 304 /);
      expect(ask(get('/a.txt', 'RANGE: bytes=1-2\r\n'))).toMatch(/^HTTP\/1.1 206 .*\r\n\r\nel$/s);
      expect(ask('HEAD /a.txt HTTP/1.1\r\nhost: a\r\n\r\n')).toBe(first.slice(0, -'hello'.length));
      vi.setSystemTime(1_700_000_001_000);
      const later = ask(get('/a.txt'));
      expect(later).toContain(`date: ${new Date(1_700_000_001_000).toUTCString()}\r\n`);
      expect(ask(get('/a.txt', 'connection: close\r\n'))).toContain('\r\nconnection: close\r\n');
    } finally {
      vi.useRealTimers();
    }
  });

  it('leave the rest to workers', () => {
    const world = new Http1World({ staticFiles });
    world.asks(get('/missing.txt'));
    expect(world.heardRequests()).toMatchObject([{ target: '/missing.txt' }]);
    world.answers(1);
    world.asks(sized('to /a.txt'));
    expect(world.heardRequests()).toMatchObject([{ method: 'POST' }]);
  });

  it('end the connection where the client asks for it, and have no body for HEAD', () => {
    const world = new Http1World({ staticFiles });
    world.asks(`HEAD /a.txt HTTP/1.1\r\nhost: a\r\n\r\nGET /a.txt HTTP/1.0\r\n\r\n${get('/a.txt')}`);
    expect(world.statuses).toEqual([200, 200]);
    expect([world.got.match(/hello/g)?.length, world.connection.closeCode]).toEqual([1, CloseCode.SERVER_CLOSED]);
  });
});
