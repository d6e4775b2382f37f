import { afterEach, describe, expect, it } from 'vitest';
import { endServers } from '../helpers/server-process.js';
import { Since, sharedServers } from '../helpers/shared-servers.js';
import { TcpClient } from '../helpers/tcp-client.js';

afterEach(endServers);

interface Settings {
  readonly where?: 'connect' | 'receive' | 'later';
  readonly how?: { readonly reset?: boolean };
  readonly byFd?: boolean;
  readonly answer?: number;
}

const shared = sharedServers();
/** Each test sees the last close before it ends: the next one begins without clients. */
const start = async (options: Record<string, unknown> = {}, settings?: Settings): Promise<Since> =>
  new Since(await shared('closes.js', { options, ...(settings && { env: { SETTINGS: JSON.stringify(settings) } }) }));

/** In front of the first packet. */
const told = (settings: Settings): string => `<${JSON.stringify(settings)}>`;

const refusals = {
  again: false,
  exists: false,
  listed: false,
  size: 0,
  closing: true,
  sent: 'ERR_SESSION_CLOSED',
  file: 'ERR_SESSION_CLOSED',
  paused: 'ERR_SESSION_CLOSED',
  bound: 'ERR_SESSION_CLOSED',
};

/** Where the server resets whoever comes, a client may hear of that before it hears that it has connected. */
async function enter(server: Since): Promise<TcpClient | undefined> {
  try {
    return await TcpClient.connect(server.port);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ECONNRESET') throw error;
    return undefined;
  }
}

async function ended(server: Since, client: TcpClient | undefined): Promise<string[]> {
  await client?.closed;
  await server.waitForEvent('close');
  // A second connection's close comes behind everything that the first one has sent.
  const other = await enter(server);
  other?.socket.end(); // of an encrypted one that goes at once the server would not see the handshake end
  await other?.closed;
  await server.waitForEvents('close', 2);
  expect(server.events('close')).toHaveLength(2);
  return server.events('receive').map(({ text }) => String(text));
}

const eof = { framing: { type: 'eof', delimiter: '\n' } };
const framings = {
  raw: { options: {}, packets: (words: string[]) => words },
  eof: { options: eof, packets: (words: string[]) => [words.map((word) => `${word}\n`).join('')] },
  length: {
    options: { framing: { type: 'length', field: 'u8', offset: 0, bodyOffset: 1 } },
    packets: (words: string[]) => [words.map((word) => String.fromCharCode(word.length) + word).join('')],
  },
};

describe.each(Object.entries(framings))('with %s framing', (_name, { options, packets }) => {
  it.each<[string, Settings]>([
    ['close()', { how: {} }],
    ['close({reset: true})', { how: { reset: true } }],
    ['server.close(fd)', { how: {}, byFd: true }],
    ['server.close(fd, {reset: true})', { how: { reset: true }, byFd: true }],
  ])('after %s no packet of that client reaches a callback, although they lie in the ring', async (_how, settings) => {
    const server = await start(options);
    const client = await TcpClient.connect(server.port);
    for (const packet of packets([`${told(settings)}block`, 'second', 'third'])) client.send(packet);
    await server.waitForEvent('receive');
    for (let i = 0; i < 20; i++) for (const packet of packets([`more ${i}`])) client.send(packet);
    const received = await ended(server, client);
    expect(received).toHaveLength(1);
    expect(server.events('closed')).toHaveLength(1);
    expect(server.events('closed')[0]).toMatchObject({ closed: true, ...refusals });
    const code = settings.how?.reset ? 'SERVER_RESET' : 'SERVER_CLOSED';
    expect(server.events('close')[0]).toMatchObject({ code });
  });
});

it.each([{}, { reset: true }])('a client that is closed with %j in connect has nothing executed', async (how) => {
  const server = await start({}, { where: 'connect', how });
  const client = await enter(server);
  client?.send('block');
  for (let i = 0; i < 5; i++) client?.send(`more ${i}`);
  expect(await ended(server, client)).toEqual([]);
  expect(server.events('closed')[0]).toMatchObject({ closed: true, ...refusals });
});

it('a client that had ended its side has nothing more executed either, and close fires once', async () => {
  const server = await start(eof);
  const client = await TcpClient.connect(server.port);
  client.socket.end('block\nsecond\nthird\n');
  expect(await ended(server, client)).toEqual(['block\n']);
  expect(server.events('close')).toHaveLength(2);
});

it('what was sent before close() leaves whole, and nothing is executed meanwhile', async () => {
  const server = await start();
  const client = await TcpClient.connect(server.port);
  client.send(`${told({ answer: 8 << 20 })}block`);
  await server.waitForEvent('closed');
  client.send('more');
  expect((await client.read(8 << 20)).equals(Buffer.alloc(8 << 20, 'a'))).toBe(true);
  expect(await ended(server, client)).toEqual(['block']);
});

it('close() after a pause ends what had been executed side by side: nothing comes behind it', async () => {
  const server = await start(eof);
  const client = await TcpClient.connect(server.port);
  client.send(`${told({ where: 'later' })}first\nsecond\n`);
  await server.waitForEvent('after');
  client.send('third\n');
  expect(await ended(server, client)).toEqual(['first\n', 'second\n']);
});
