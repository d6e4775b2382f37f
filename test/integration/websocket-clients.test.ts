// WebSocket as programs speak it that others wrote. Each is skipped where it is not installed.
import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { certificateFor } from '../helpers/certificates.js';
import { removeProfile } from '../helpers/chromium.js';
import { numbersFrom } from '../helpers/numbers.js';
import { endServers, type ServerProcess, startServer } from '../helpers/server-process.js';
import { hasProgram } from '../helpers/wrk.js';

const run = promisify(execFile);
const MESSAGES = Number(process.env['MESSAGES'] ?? 60);

let plain: ServerProcess;
let compressing: ServerProcess;
let encrypted: ServerProcess;

beforeAll(async () => {
  const options = { workerNum: 2 };
  const compression = { ...options, websocketCompression: true };
  [plain, compressing, encrypted] = await Promise.all([
    startServer('websocket.js', { options, env: { PAGE: page } }),
    startServer('websocket.js', { options: compression, env: { PAGE: page } }),
    startServer('websocket.js', { options: { ...compression, tls: certificateFor('localhost') }, env: { PAGE: page } }),
  ]);
});
afterAll(endServers);

const url = ({ port }: ServerProcess, path = '/', scheme = 'ws'): string => `${scheme}://127.0.0.1:${port}${path}`;

const SIZES = [0, 1, 2, 3, 7, 124, 125, 126, 127, 128, 1023, 1024, 16_383, 65_535, 65_536, 200_000];
const LETTERS = ['a', 'b', ' ', 'ü', '€', '😀'];

class RandomMessages {
  readonly #random: () => number;

  constructor(seed: number) {
    this.#random = numbersFrom(seed);
  }

  below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  next(): { data: Buffer; isText: boolean } {
    const size = this.below(3) > 0 ? this.below(300) : (SIZES[this.below(SIZES.length)] as number);
    const isText = this.below(2) === 0;
    return { data: isText ? this.#text(size) : this.#bytes(size), isText };
  }

  /** Fragments, some of them empty, cut anywhere. */
  cut(data: Buffer): Buffer[] {
    const cuts = Array.from({ length: this.below(3) === 0 ? this.below(6) : 0 }, () => this.below(data.length + 1));
    const ends = [...cuts.sort((a, b) => a - b), data.length];
    return ends.map((end, index) => data.subarray(index === 0 ? 0 : ends[index - 1], end));
  }

  #bytes(size: number): Buffer {
    const step = this.below(256);
    return Buffer.from(Uint8Array.from({ length: size }, (_, at) => (at * step) ^ (at >>> 5)));
  }

  #text(size: number): Buffer {
    const isAscii = this.below(2) === 0;
    const letters = Array.from({ length: 50 }, () => LETTERS[this.below(isAscii ? 3 : LETTERS.length)]).join('');
    return Buffer.from(letters.repeat(Math.ceil(size / 50)).slice(0, size));
  }
}

/** Sends it in fragments, with pings between them. */
function sendCut(socket: WebSocket, random: RandomMessages, data: Buffer, isText: boolean): number {
  let pings = 0;
  const fragments = random.cut(data);
  for (const [index, fragment] of fragments.entries()) {
    socket.send(fragment, { binary: !isText, fin: index === fragments.length - 1, compress: true });
    if (random.below(4) > 0) continue;
    socket.ping(Buffer.alloc(random.below(126), pings));
    pings++;
  }
  return pings;
}

const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);

describe(`random messages of \`ws\` come back as they were (SEED=${seed})`, () => {
  it.each<[string, () => ServerProcess, string, boolean]>([
    ['plain', () => plain, 'ws', false],
    ['offered and not agreed upon', () => plain, 'ws', true],
    ['compressed', () => compressing, 'ws', true],
    ['compressed by nobody', () => compressing, 'ws', false],
    ['compressed, over TLS', () => encrypted, 'wss', true],
  ])('%s', async (_how, server, scheme, perMessageDeflate) => {
    const random = new RandomMessages(seed);
    const socket = new WebSocket(url(server(), '/', scheme), {
      perMessageDeflate: perMessageDeflate && { threshold: random.below(2000) },
      rejectUnauthorized: false,
    });
    await once(socket, 'open');
    const sent = Array.from({ length: MESSAGES }, () => random.next());
    const got: { data: Buffer; isText: boolean }[] = [];
    let pongs = 0;
    socket.on('pong', () => pongs++);
    const all = new Promise<void>((resolve, reject) => {
      socket.on('error', reject);
      socket.on('close', (code, reason) => reject(new Error(`closed: ${code} ${reason}`)));
      socket.on('message', (data, isBinary) => {
        got.push({ data: data as Buffer, isText: !isBinary });
        if (got.length === sent.length) resolve();
      });
    });
    let pings = 0;
    for (const { data, isText } of sent) pings += sendCut(socket, random, data, isText);
    await all;
    expect(got.findIndex(({ data, isText }, at) => isText !== sent[at]!.isText || !data.equals(sent[at]!.data))).toBe(
      -1,
    );
    expect(pings === 0 || pongs > 0).toBe(true);
    socket.removeAllListeners('close');
    socket.close(4000, 'done');
    const [code] = await once(socket, 'close');
    expect(code).toBe(4000);
  });
});

it('`ws` sees subprotocols, closes, pings and refusals', async () => {
  const socket = new WebSocket(url(plain, '/protocol'), ['a', 'b']);
  await once(socket, 'open');
  expect(socket.protocol).toBe('b');
  socket.send('!ping abc');
  expect(String((await once(socket, 'ping'))[0])).toBe('abc');
  socket.send('!close 4321 bye');
  const [code, reason] = await once(socket, 'close');
  expect([code, String(reason)]).toEqual([4321, 'bye']);
  const refused = new WebSocket(url(plain, '/reject'));
  const [error] = await once(refused, 'error');
  expect(String(error)).toContain('401');
});

const nodeScript = `
const talk = (url, protocols, act) => new Promise((resolve) => {
  const told = [];
  const socket = new WebSocket(url, protocols);
  socket.binaryType = 'arraybuffer';
  socket.onopen = () => { told.push(socket.protocol); act(socket); };
  socket.onmessage = ({ data }) => {
    told.push(typeof data === 'string' ? data.slice(0, 20) : data.byteLength);
    if (data === 'end') socket.close(4000, 'bye');
  };
  socket.onclose = ({ code, reason, wasClean }) => { told.push(code, reason, wasClean); resolve(told); };
  socket.onerror = () => { told.push('error'); resolve(told); }; // on Node 20 nothing follows a refusal
});
const [base] = process.argv.slice(1);
console.log(JSON.stringify([
  await talk(base + '/protocol', ['a', 'b'], (s) => {
    for (const data of ['tschüß €😀', new Uint8Array(70000), 'x'.repeat(200000), 'end']) s.send(data);
  }),
  await talk(base + '/', [], (s) => s.send('!close 4321 tschüß')),
  await talk(base + '/', [], (s) => s.send('!throw')),
  await talk(base + '/reject', [], () => {}),
]));
`;

const isOld = Number(process.versions.node.split('.')[0]) < 22;

it("Node's own WebSocket", async () => {
  const flags = isOld ? ['--experimental-websocket'] : [];
  for (const server of [plain, compressing]) {
    const args = [...flags, '--no-warnings', '--input-type=module', '-e', nodeScript, url(server, '')];
    const { stdout } = await run(process.execPath, args, { timeout: 20_000 });
    const told = JSON.parse(stdout) as unknown[][];
    // Newer versions tell of the end behind the error.
    expect(told.map((one) => (one[0] === 'error' ? ['error'] : one))).toEqual([
      ['b', 'tschüß €😀', 70_000, 'x'.repeat(20), 'end', 4000, 'bye', true],
      ['', 4321, 'tschüß', true],
      ['', 1011, '', true],
      ['error'],
    ]);
  }
});

const page = `<!doctype html><meta charset="utf-8"><title>test</title><script>
const told = [];
const show = (...words) => told.push(...words);
const base = location.origin.replace('http', 'ws');
function first() {
  const socket = new WebSocket(base + '/protocol', ['a', 'b']);
  socket.binaryType = 'arraybuffer';
  socket.onopen = () => {
    show(socket.protocol, socket.extensions === '' ? 'plain' : 'compressed');
    for (const data of ['tschüß €', new Uint8Array(70000), 'x'.repeat(200000), 'end']) socket.send(data);
  };
  socket.onmessage = ({ data }) => {
    show(typeof data === 'string' ? data.slice(0, 10) : data.byteLength);
    if (data === 'end') socket.close(4000, 'bye');
  };
  socket.onclose = ({ code, reason, wasClean }) => { show(code, reason, wasClean); second(); };
}
function second() {
  const socket = new WebSocket(base);
  socket.onopen = () => socket.send('!close 4321 from');
  socket.onclose = ({ code, reason, wasClean }) => { show(code, reason, wasClean); third(); };
}
function third() {
  const socket = new WebSocket(base + '/reject-empty');
  socket.onclose = ({ code, wasClean }) => {
    show(code, wasClean);
    fetch('/told', { method: 'POST', body: JSON.stringify(told) });
  };
}
first();
</script>`;

it.skipIf(!hasProgram('chromium'))('Chromium', async () => {
  const profile = mkdtempSync(join(tmpdir(), 'profile-'));
  const flags = [
    ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync'],
    ...['--disable-background-networking', '--disable-component-update', `--user-data-dir=${profile}`],
    '--ignore-certificate-errors',
  ];
  for (const [server, scheme, kind] of [
    [plain, 'http', 'plain'],
    [compressing, 'http', 'compressed'],
    [encrypted, 'https', 'compressed'],
  ] as const) {
    const browser = spawn('chromium', [...flags, url(server, '/page', scheme)], { stdio: 'ignore' });
    try {
      const { body } = await server.waitForEvent('told');
      expect(JSON.parse(String(body))).toEqual([
        ...['b', kind, 'tschüß €', 70_000, 'x'.repeat(10), 'end', 4000, 'bye', true],
        ...[4321, 'from', true, 1006, false],
      ]);
    } finally {
      browser.kill();
      await once(browser, 'exit');
    }
  }
  await removeProfile(profile);
});

const PYTHON = '/usr/bin/python3';

function hasModule(name: string): boolean {
  try {
    execFileSync(PYTHON, ['-c', `import ${name}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const websockets = `
import asyncio, sys, websockets
async def main(url):
    for compression in (None, 'deflate'):
        async with websockets.connect(url + '/protocol', subprotocols=['a', 'b'], compression=compression, max_size=None) as ws:
            print(ws.subprotocol, [e.name for e in ws.extensions])
            for data in ('tschüß €', b'\\x00\\xff' * 35000, 'x' * 200000, '', b''):
                await ws.send(data)
                print((await ws.recv()) == data)
            await ws.send(['in ', 'frag', 'ments ü'])
            print(await ws.recv())
            await (await ws.ping(b'abc'))
            await ws.close(4000, 'bye')
            print(ws.close_code, ws.close_reason)
        async with websockets.connect(url, compression=compression) as ws:
            await ws.send('!close 4321 bye')
            try: await ws.recv()
            except websockets.ConnectionClosed as e: print(e.code, e.reason)
    try: await websockets.connect(url + '/reject')
    except websockets.InvalidStatusCode as e: print(e.status_code)
asyncio.run(main(sys.argv[1]))
`;

it.skipIf(!hasProgram('python3') || !hasModule('websockets'))('websockets of Python', async () => {
  const rest = ['True', 'True', 'True', 'True', 'True', 'in fragments ü', '4000 bye', '4321 bye'];
  for (const [server, extensions] of [
    [plain, '[]'],
    [compressing, "['permessage-deflate']"],
  ] as const) {
    const { stdout } = await run(PYTHON, ['-c', websockets, url(server, '')], { timeout: 20_000 });
    expect(stdout.trim().split('\n')).toEqual(['b []', ...rest, `b ${extensions}`, ...rest, '401']);
  }
});

const autobahn = `
import asyncio, sys
from autobahn.asyncio.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateResponse, PerMessageDeflateResponseAccept
done = None
class Client(WebSocketClientProtocol):
    sent = ['tschüß €'.encode(), b'x' * 200000, 'ü'.encode() * 30000]
    got = 0
    def onOpen(self):
        print(self.websocket_protocol_in_use, [e.EXTENSION_NAME for e in self.websocket_extensions_in_use])
        self.sendMessage(self.sent[0])
        self.sendMessage(self.sent[1], isBinary=True, fragmentSize=1000)
        self.sendMessage(self.sent[2], fragmentSize=7)
    def onMessage(self, payload, isBinary):
        print(payload == self.sent[self.got], isBinary)
        self.got += 1
        if self.got == 3: self.sendPing(b'abc')
    def onPong(self, payload):
        print(payload)
        self.sendClose(4000, 'bye')
    def onClose(self, wasClean, code, reason):
        print(wasClean, code, reason)
        done.set_result(None)
def accept(response):
    if isinstance(response, PerMessageDeflateResponse): return PerMessageDeflateResponseAccept(response)
async def main(url, port):
    global done
    loop = asyncio.get_running_loop()
    for offers in ([], [PerMessageDeflateOffer()]):
        done = loop.create_future()
        factory = WebSocketClientFactory(url + '/protocol', protocols=['a', 'b'])
        factory.setProtocolOptions(perMessageCompressionOffers=offers, perMessageCompressionAccept=accept,
            openHandshakeTimeout=15, closeHandshakeTimeout=15)
        factory.protocol = Client
        await loop.create_connection(factory, '127.0.0.1', port)
        await done
asyncio.run(main(sys.argv[1], int(sys.argv[2])))
`;

it.skipIf(!hasProgram('python3') || !hasModule('autobahn'))('autobahn of Python, in fragments', async () => {
  const rest = ['True False', 'True True', 'True False', "b'abc'", 'True 4000 bye'];
  for (const [server, extensions] of [
    [plain, '[]'],
    [compressing, "['permessage-deflate']"],
  ] as const) {
    const { stdout } = await run(PYTHON, ['-c', autobahn, url(server, ''), String(server.port)], { timeout: 25_000 });
    expect(stdout.trim().split('\n')).toEqual(['b []', ...rest, `b ${extensions}`, ...rest]);
  }
});
