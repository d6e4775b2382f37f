// WebSocket through the whole server, by a client that speaks it by hand. Holds in both modes.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { reset } from '../helpers/dial.js';
import { HttpClient, request } from '../helpers/http-client.js';
import {
  endServers,
  inProcessMode,
  type Line,
  type ServerProcess,
  startServer,
  whereConnectionsStay,
} from '../helpers/server-process.js';
import { TcpClient } from '../helpers/tcp-client.js';
import {
  binary,
  cases,
  close,
  inflatingCases,
  LIMIT,
  more,
  ping,
  text,
  type WebSocketCase,
} from '../helpers/websocket-cases.js';
import { HandClient, type OpeningFields, opening } from '../helpers/websocket-client.js';
import { closePayload, Op, serverFrame } from '../helpers/websocket-frames.js';

const DEFLATE = { fields: { 'sec-websocket-extensions': 'permessage-deflate' } };
const MARK = '~';

const options = {
  ...{ workerNum: 2, maxMessageBytes: LIMIT, websocketCompression: { threshold: 0 } },
  allowedOrigins: ['https://good.test'],
};

let server: ServerProcess;

beforeAll(async () => {
  server = await startServer('websocket.js', { options });
});
afterAll(endServers);

const open = (given?: OpeningFields): Promise<HandClient> => HandClient.open(server.port, given);

/** How the worker has seen the end of this WebSocket. */
async function endOf({ localPort, openedAt }: HandClient): Promise<Line['close']> {
  const line = await server.waitForEvent('close', ({ port, at }) => port === localPort && at > openedAt);
  return line['close'];
}

/** Cases that stay open are closed by the client. */
function expectedEnd({ pongs = [], close: code }: Pick<WebSocketCase, 'pongs' | 'close'>) {
  return code === undefined ? { pongs: [...pongs, MARK], close: 1000 } : { pongs, close: code };
}

/** Where the table is cut here: in the first header, in the last payload, between frames. */
function piecesOf(frames: readonly Buffer[]): Buffer[][] {
  const bytes = Buffer.concat(frames);
  const [first] = frames;
  const inHeader = [bytes.subarray(0, 1), bytes.subarray(1, 5), bytes.subarray(5)];
  const rest = bytes.subarray(first!.length);
  const between =
    rest.length > 0 ? [first!, rest.subarray(0, -1), rest.subarray(-1)] : [bytes.subarray(0, -1), bytes.subarray(-1)];
  return [[bytes], inHeader, between].map((pieces) => pieces.filter(({ length }) => length > 0));
}

const soon = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1));

async function run(one: WebSocketCase, pieces: readonly Buffer[]) {
  const client = await open(one.deflate ? DEFLATE : {});
  for (const piece of pieces) {
    client.send(piece);
    if (pieces.length > 1) await soon();
  }
  if (one.close === undefined) client.send(ping(MARK), close(closePayload(1000)));
  await client.closed();
  return { messages: client.messages, pongs: client.pongs, close: client.closeCode };
}

/** The kernel may give the reactor several pings at once, of which the last has to be answered at least. */
describe.each([...cases, ...inflatingCases].map((one) => [`${one.section}: ${one.title}`, one] as const))(
  '%s',
  (_title, one) => {
    it('is the same wherever it is cut', async () => {
      const { messages = [] } = one;
      const expected = expectedEnd(one);
      const results = await Promise.all(piecesOf(one.frames).map((pieces) => run(one, pieces)));
      for (const result of results) expect(result).toEqual({ messages, ...expected });
    });
  },
);

describe('every case', () => {
  const all = [...cases, ...inflatingCases];

  /** In the middle of the frame by which its first message ends: a process that is killed takes whole messages along. */
  function middleOf(frames: readonly Buffer[]): number {
    const ends = frames.findIndex(([first = 0]) => (first & 0x80) !== 0 && (first & 0x0f) <= Op.close);
    const index = ends < 0 ? frames.length - 1 : ends;
    return Buffer.concat(frames.slice(0, index)).length + (frames[index]!.length >> 1);
  }

  /** The first half of each is sent before, the rest after it. */
  async function around(act: (of: ServerProcess) => Promise<unknown>): Promise<void> {
    const of = await startServer('websocket.js', { options });
    const clients = await Promise.all(all.map(({ deflate }) => HandClient.open(of.port, deflate ? DEFLATE : {})));
    const halves = all.map(({ frames }) => {
      const bytes = Buffer.concat(frames);
      return [bytes.subarray(0, middleOf(frames)), bytes.subarray(middleOf(frames))] as const;
    });
    for (const [at, client] of clients.entries()) client.send(halves[at]![0]);
    await soon();
    await act(of);
    for (const [at, client] of clients.entries()) {
      client.send(halves[at]![1]);
      if (all[at]!.close === undefined) client.send(ping(MARK), close(closePayload(1000)));
    }
    await Promise.all(clients.map((client) => client.closed()));
    for (const [at, { messages, pongs, closeCode }] of clients.entries()) {
      const { section, title, ...one } = all[at]!;
      const expected = { messages: one.messages ?? [], ...expectedEnd(one) };
      expect({ section, title, messages, pongs, close: closeCode }).toEqual({ section, title, ...expected });
    }
  }

  whereConnectionsStay('is the same with a reload in its middle', () =>
    around((of) => {
      of.signal('SIGUSR1');
      return of.waitForEvent('afterReload');
    }),
  );

  inProcessMode('is the same where all workers are killed in its middle', () =>
    around(async (of) => {
      await soon();
      for (const { pid } of of.workers) of.signal('SIGKILL', pid);
      return of.waitFor('four starts', () => of.events('workerStart')[3]);
    }),
  );
});

describe('an opening request', () => {
  const ask = async (given: OpeningFields) => {
    const client = await HandClient.connect(server.port);
    const answer = await client.ask(given);
    await client.close();
    return answer;
  };

  it.each<[string, number, OpeningFields, string]>([
    ['by POST', 405, { method: 'POST' }, 'allow'],
    ['without a key', 400, { fields: { 'sec-websocket-key': undefined } }, ''],
    ['with an empty key', 400, { fields: { 'sec-websocket-key': '' } }, ''],
    ['with a key of 15 bytes', 400, { fields: { 'sec-websocket-key': Buffer.alloc(15).toString('base64') } }, ''],
    ['with a key of 17 bytes', 400, { fields: { 'sec-websocket-key': Buffer.alloc(17).toString('base64') } }, ''],
    ['without a version', 426, { fields: { 'sec-websocket-version': undefined } }, 'sec-websocket-version'],
    ['of version 8', 426, { fields: { 'sec-websocket-version': '8' } }, 'sec-websocket-version'],
    ['of version 13 and another', 426, { fields: { 'sec-websocket-version': '13, 8' } }, 'sec-websocket-version'],
    ['with two equal subprotocols', 400, { fields: { 'sec-websocket-protocol': 'a, a' } }, ''],
    ['with a subprotocol that is no token', 400, { fields: { 'sec-websocket-protocol': 'a b' } }, ''],
    ['with extensions that are no list', 400, { fields: { 'sec-websocket-extensions': 'a=' } }, ''],
    ['from an origin that may not', 403, { fields: { origin: 'https://bad.test' } }, ''],
    ['from null', 403, { fields: { origin: 'null' } }, ''],
    ['that the callback rejects', 401, { path: '/reject' }, ''],
    ['that it rejects later', 503, { path: '/reject-later' }, ''],
    ['for which it throws', 500, { path: '/throw' }, ''],
    ['for which it rejects its promise', 500, { path: '/throw-later' }, ''],
    ['for which it answers something else', 500, { path: '/wrong' }, ''],
    ['for which it rejects with a status that is none', 500, { path: '/status' }, ''],
    ['for which it chooses a subprotocol that was not offered', 500, { path: '/other-protocol' }, ''],
    ['for which it gives a field that HTTP forbids', 500, { path: '/bad-header' }, ''],
    ['for which it gives data that are too long', 500, { path: '/long-data' }, ''],
  ])('%s is answered %d', async (_what, status, given, field) => {
    const answer = await ask(given);
    expect(answer.status).toBe(status);
    if (field !== '') expect(answer.headers[field]).toBeDefined();
  });

  it('that is rejected has the body and the status of the callback', async () => {
    expect(await ask({ path: '/reject' })).toMatchObject({ status: 401, body: 'not you\n' });
    expect(await ask({ path: '/reject-empty' })).toMatchObject({ status: 403, body: '' });
  });

  it.each<[string, OpeningFields]>([
    ['an origin that may', { fields: { origin: 'https://good.test' } }],
    ['no origin', {}],
    [
      'other words in Upgrade and Connection',
      { fields: { upgrade: 'h2c, WebSocket', connection: 'keep-alive, upgrade' } },
    ],
    ['a query', { path: '/?a=b' }],
    ['a promise', { path: '/later' }],
  ])('with %s makes a WebSocket', async (_what, given) => {
    const client = await open(given);
    expect(await client.text('hi').message()).toBe('thi');
    await client.send(close()).closed();
  });

  it('is answered with the subprotocol, the fields and the extension that were agreed upon', async () => {
    const offer = {
      'sec-websocket-protocol': 'a, b',
      'sec-websocket-extensions': 'x, permessage-deflate; client_max_window_bits',
    };
    const protocol = await ask({ path: '/protocol', fields: offer });
    expect(protocol).toMatchObject({ status: 101, headers: { 'sec-websocket-protocol': 'b', upgrade: 'websocket' } });
    expect(protocol.headers['sec-websocket-extensions']).toMatch(/^permessage-deflate; .*no_context_takeover/);
    const more = await ask({ path: '/headers' });
    expect(more.headers).toMatchObject({ 'set-cookie': 'a=b', 'x-more': 'more' });
    expect([more.headers['sec-websocket-protocol'], more.headers['sec-websocket-extensions']]).toEqual([
      undefined,
      undefined,
    ]);
  });

  it('leaves the connection to HTTP where it is refused', async () => {
    const client = await HandClient.connect(server.port);
    expect(await client.ask({ fields: { 'sec-websocket-version': '7' } })).toMatchObject({ status: 426 });
    expect(await client.http.get('/a')).toMatchObject({ status: 200, body: 'served GET /a' });
    expect(await client.ask()).toMatchObject({ status: 101 });
    expect(await client.text('hi').message()).toBe('thi');
    await client.close();
  });

  it('may follow requests on the same connection, in the same packet, too', async () => {
    const client = await HandClient.connect(server.port);
    for (const path of ['/1', '/2']) expect(await client.http.get(path)).toMatchObject({ body: `served GET ${path}` });
    client.http.send(request('/3') + opening());
    const answers = [await client.http.answer(), await client.http.answer()];
    expect(answers).toMatchObject([{ status: 200, body: 'served GET /3' }, { status: 101 }]);
    client.text('hi');
    expect(await client.http.tcp.read(4)).toEqual(serverFrame(Op.text, 'hi'));
    await client.close();
  });

  it('may have frames behind it in the same packet', async () => {
    for (const path of ['/', '/later']) {
      const client = await HandClient.connect(server.port);
      const behind = Buffer.concat([
        text('a', { fin: false }),
        ping('p'),
        more('b'),
        binary(Buffer.alloc(70_000)),
        text('c'),
      ]);
      expect(await client.ask({ path }, behind)).toMatchObject({ status: 101 });
      await client.until('three messages', () => client.messages.length === 3);
      expect([client.messages[0], client.messages[1]?.length, client.messages[2], client.pongs]).toEqual([
        ...['tab', 70_001, 'tc', ['p']],
      ]);
      await client.close();
    }
  });

  it('may have a close behind it in the same packet', async () => {
    const client = await HandClient.connect(server.port);
    await client.ask({ path: '/later' }, Buffer.concat([text('a'), close(closePayload(4000))]));
    await client.closed();
    expect([client.messages, client.closeCode]).toEqual([['ta'], 4000]);
  });

  it('whose client goes before the callback has answered does no harm', async () => {
    const client = await HandClient.connect(server.port);
    client.send(
      Buffer.from('GET /later HTTP/1.1\r\nhost: a\r\n'),
      Buffer.from('connection: upgrade\r\nupgrade: websocket\r\n'),
    );
    client.send(
      Buffer.from(`sec-websocket-version: 13\r\nsec-websocket-key: ${Buffer.alloc(16).toString('base64')}\r\n\r\n`),
    );
    await soon();
    reset(client.http.tcp.socket);
    await soon();
    const next = await open({ path: '/later' });
    expect(await next.text('hi').message()).toBe('thi');
    await next.close();
  });
});

describe('a request that is no upgrade', () => {
  it('is served on the same port', async () => {
    const client = await HttpClient.connect(server.port);
    expect(await client.get('/x')).toMatchObject({ status: 200, body: 'served GET /x' });
    await client.close();
  });

  it.each<[string, OpeningFields]>([
    ['by HTTP/1.0', { version: '1.0', fields: { connection: 'keep-alive, upgrade' } }],
    ['to another protocol', { fields: { upgrade: 'chat' } }],
    ['without Connection', { fields: { connection: undefined } }],
    ['without Upgrade', { fields: { upgrade: undefined } }],
  ])('or one %s, is served as any other', async (_what, given) => {
    const client = await HandClient.connect(server.port);
    expect(await client.ask(given)).toMatchObject({ status: 200, body: 'served GET /' });
    await client.close();
  });
});

describe('a WebSocket', () => {
  it('has the data of its handshake', async () => {
    const client = await open({ path: '/data?a=1' });
    const data = JSON.parse((await client.text('!data').message()).slice(1));
    expect(data).toEqual({ query: { a: '1' }, list: [1, '1970-01-01T00:00:00.000Z', {}] });
    await client.close();
    const other = await open();
    expect(await other.text('!data').message()).toBe('tnull');
    await other.close();
  });

  it('is sent what `open` sends, first', async () => {
    const client = await HandClient.connect(server.port);
    await client.ask({ path: '/hello' }, text('mine'));
    expect([await client.message(), await client.message()]).toEqual(['thello', 'tmine']);
    await client.close();
  });

  it('may be closed by `open`', async () => {
    const client = await HandClient.connect(server.port);
    await client.ask({ path: '/close-at-once' }, text('mine'));
    await client.closed();
    expect([client.messages, client.closeCode, client.closeReason]).toEqual([[], 4002, 'at once']);
    expect(await endOf(client)).toEqual({ code: 4002, reason: 'at once', initiator: 'server' });
  });

  it.each<[string, string, OpeningFields]>([
    ['`message` throws', '!throw', {}],
    ['`message` rejects', '!throw-later', {}],
    ['a command is not known', '!unknown', {}],
    ['`open` throws', 'x', { path: '/open-throws' }],
  ])('is closed with 1011 where %s', async (_what, message, given) => {
    const client = await open(given);
    await client.text(message).closed();
    expect(client.closeCode).toBe(1011);
    expect(await endOf(client)).toMatchObject({ code: 1011, initiator: 'error' });
  });

  it.each<[string, string, { code: number; reason: string }]>([
    ['a code and a reason', '!close 4321 tschüß', { code: 4321, reason: 'tschüß' }],
    ['1000', '!end', { code: 1000, reason: '' }],
    ['a reason that is too long for a frame', `!close 1008 ${'é'.repeat(100)}`, { code: 1008, reason: 'é'.repeat(61) }],
  ])('is closed by the server with %s', async (_what, command, expected) => {
    const client = await open();
    await client.send(text(command), text('late')).closed();
    expect({ code: client.closeCode, reason: client.closeReason }).toEqual(expected);
    expect(client.messages).toEqual([]);
    expect(await endOf(client)).toEqual({ ...expected, initiator: 'server' });
  });

  it.each<[string, Buffer, object]>([
    ['by the client', close(closePayload(3001, 'bye')), { code: 3001, reason: 'bye', initiator: 'client' }],
    ['without a code', close(), { code: 1005, reason: '', initiator: 'client' }],
    ['for a broken rule', text('', { rsv: 1 }), { code: 1002, initiator: 'error' }],
    ['for a message that is too long', binary('', { length: LIMIT + 1 }), { code: 1009, initiator: 'limit' }],
  ])('that ends %s tells its worker', async (_what, frame, expected) => {
    const client = await open();
    await client.send(text('a'), frame).closed();
    expect(client.messages).toEqual(['ta']);
    expect(await endOf(client)).toMatchObject(expected);
  });

  it('that ends without a close frame tells its worker 1006', async () => {
    for (const act of [reset, (socket: HandClient['http']['tcp']['socket']) => socket.end()]) {
      const client = await open();
      await client.text('a').message();
      act(client.http.tcp.socket);
      expect(await endOf(client)).toMatchObject({ code: 1006, reason: '', initiator: 'client' });
    }
  });

  it('that ends its side gets the answers under way', async () => {
    const client = await open();
    client.send(text('a'), text('!later'), text('b'));
    client.http.tcp.socket.end();
    await client.http.tcp.closed;
    expect(client.messages.sort()).toEqual(['ta', 'tb', 'tlater']);
  });

  it('may be reset', async () => {
    const client = await open();
    await client.text('!reset').http.tcp.closed;
    expect([client.closeCode, client.http.tcp.end]).not.toEqual([1000, undefined]);
  });

  it('is pinged', async () => {
    const client = await open();
    client.text('!ping abc');
    await client.until('a ping', () => client.frames.some(({ opcode }) => opcode === 9));
    expect(client.frames[0]?.payload.toString()).toBe('abc');
    await client.close();
  });

  it('gets what does not fit into the kernel, whole and in order', async () => {
    const client = await open();
    client.send(text('!pour 40 65536'), text('last'), close());
    await client.closed();
    expect(client.messages.map((message) => message.length)).toEqual([...Array(40).fill(65_537), 5]);
  });
});

inProcessMode('a WebSocket whose worker hangs is answered its pings, and its close after two seconds', async () => {
  const hanging = await startServer('websocket.js', { options: { workerNum: 1, reactorNum: 1 } });
  const client = await HandClient.open(hanging.port);
  client.send(text('!block 5000'));
  await soon();
  client.send(ping('p'));
  await client.until('a pong', () => client.pongs.length === 1);
  const begin = performance.now();
  await client.send(close()).closed();
  expect(performance.now() - begin).toBeLessThan(4500);
});

describe('beside the WebSockets of an app', () => {
  it('those of the server have their path, and requests go to the app', async () => {
    const beside = await startServer('websocket-beside.js', { options: { workerNum: 2 } });
    for (const name of ['ours', 'theirs']) {
      const client = await HandClient.open(beside.port, { path: `/${name}` });
      expect(await client.text('hi').message()).toBe(`t${name}: hi`);
      await client.send(close(closePayload(1000))).closed();
      expect(client.closeCode).toBe(1000);
    }
    const http = await HttpClient.connect(beside.port);
    expect(await http.get('/ours')).toMatchObject({ status: 200, body: 'the app' });
    await http.close();
  });

  it('another port has connections of bytes, as on any server', async () => {
    const beside = await startServer('websocket-beside.js', { options: { workerNum: 2 } });
    const { rawPort } = await beside.waitForEvent('up');
    for (const word of ['hi', 'bye']) {
      const client = await TcpClient.connect(Number(rawPort));
      client.send(word);
      if (word === 'hi') expect((await client.read(7)).toString()).toBe('raw: hi');
      if (word === 'hi') client.socket.end();
      await client.closed;
    }
    await beside.waitFor('both ends', () => beside.events('raw close')[1]);
    const initiators = beside.events('raw close').map(({ reason }) => (reason as { initiator: string }).initiator);
    expect(initiators.sort()).toEqual(['client', 'server']);
    expect(beside.events('close')).toEqual([]);
  });
});
