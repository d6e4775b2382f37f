// The examples of WebSocket, with plain clients and in a browser.
import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { WebSocket } from 'ws';
import { Chromium } from '../helpers/chromium.js';
import { DEADLINE_MS } from '../helpers/deadline.js';
import { eventually } from '../helpers/eventually.js';
import { endExample, pidsOfExample, reloadExample, startExampleWith } from '../helpers/example.js';
import { JsonSocket } from '../helpers/json-socket.js';
import { hasProgram } from '../helpers/wrk.js';

const sockets: JsonSocket[] = [];
let browser: Chromium | undefined;

afterEach(async () => {
  for (const { socket } of sockets.splice(0)) socket.terminate();
  await browser?.close();
  browser = undefined;
});

/** One for all tests of a block. Tests have clients and rooms of their own. */
function exampleOfBlock(name: string): { port: number } {
  const example = { port: 0 };
  beforeAll(async () => {
    example.port = await startExampleWith({ TSWOOLE_OPTION_REACTOR_NUM: '1' }, name);
  });
  afterAll(endExample);
  return example;
}

async function open(port: number, path: string): Promise<JsonSocket> {
  const client = await JsonSocket.open(`ws://127.0.0.1:${port}${path}`);
  sockets.push(client);
  return client;
}

/** @returns the status of the answer */
async function refusalOf(url: string, origin?: string): Promise<number> {
  const socket = new WebSocket(url, origin === undefined ? {} : { origin });
  socket.on('error', () => {});
  const [request, { statusCode }] = (await once(socket, 'unexpected-response')) as [
    { destroy(): void },
    { statusCode: number },
  ];
  request.destroy();
  return statusCode;
}

describe('examples/chat', () => {
  const example = exampleOfBlock('chat');
  const join = (name: string, room = 'lobby') => open(example.port, `/chat?name=${name}&room=${room}`);

  it('tells a room who comes, speaks and goes', async () => {
    const anna = await join('anna');
    await anna.take({ type: 'join', name: 'anna' });
    const ben = await join('ben');
    const zoe = await join('zoe', 'attic');
    await zoe.take({ type: 'join', name: 'zoe' });
    await anna.take({ type: 'join', name: 'ben' });
    ben.send('hello');
    for (const client of [anna, ben]) await client.take({ type: 'say', name: 'ben', text: 'hello' });
    ben.send('/room attic');
    await zoe.take({ type: 'join', name: 'ben' });
    await anna.take({ type: 'leave', name: 'ben' });
    zoe.send('/who');
    expect(await zoe.take({ type: 'members' })).toMatchObject({ room: 'attic', names: ['ben', 'zoe'] });
    ben.socket.close();
    await zoe.take({ type: 'leave', name: 'ben' });
    expect(zoe.messages).toEqual([]); // nothing that was said in the lobby
  });

  it('refuses names that are taken or are none, and pages of other sites', async () => {
    const eve = await join('eve', 'refusals');
    await eve.take({ type: 'join', name: 'eve' });
    const url = `ws://127.0.0.1:${example.port}/chat?room=refusals&name=`;
    expect(await refusalOf(`${url}eve`)).toBe(409);
    expect(await refusalOf(`${url}a%20b`)).toBe(409);
    expect(await refusalOf(`${url}fred`, 'https://example.com')).toBe(403);
    eve.socket.send(Buffer.from('bytes'));
    expect(await eve.closed).toEqual({ code: 1003, reason: 'Texts only.' });
  });

  it('keeps names and rooms when every worker is killed', async () => {
    const [carl, dora] = [await join('carl', 'kept'), await join('dora', 'kept')];
    await carl.take({ type: 'join', name: 'dora' });
    for (const pid of pidsOfExample('worker')) process.kill(pid, 'SIGKILL');
    carl.send('still here');
    for (const client of [carl, dora]) await client.take({ type: 'say', name: 'carl', text: 'still here' });
    dora.send('/who');
    expect(await dora.take({ type: 'members' })).toMatchObject({ room: 'kept', names: ['carl', 'dora'] });
  });

  it.skipIf(!hasProgram('chromium'))('keeps the sockets of two pages through a reload', async () => {
    browser = await Chromium.start();
    const url = `http://127.0.0.1:${example.port}/`;
    const anna = await browser.open(`${url}?name=anna`);
    const says = (page: typeof anna, text: string) =>
      page.evaluate(
        `document.querySelector('input').value = ${JSON.stringify(text)}; document.querySelector('form').requestSubmit()`,
      );
    const sees = (page: typeof anna, selector: string, texts: readonly string[]) =>
      vi.waitFor(async () => expect(await page.texts(selector)).toEqual(expect.arrayContaining([...texts])), {
        timeout: DEADLINE_MS,
      });
    await sees(anna, '#members li', ['anna']);
    const ben = await browser.open(`${url}?name=ben`);
    for (const page of [anna, ben]) await sees(page, '#members li', ['anna', 'ben']);
    await says(anna, 'before');
    await sees(ben, '#log li', ['anna: before']);
    const before = pidsOfExample('worker');
    reloadExample();
    await eventually(() => expect(pidsOfExample('worker').filter((pid) => before.includes(pid))).toEqual([]));
    await says(ben, 'after');
    for (const page of [anna, ben]) {
      await sees(page, '#log li', ['anna: before', 'ben: after']);
      expect(await page.texts('#state')).toEqual(['connected']);
      // One "has come" each: no page has connected again.
      const log = await page.texts('#log li');
      expect(log.filter((text) => text === 'ben has come')).toHaveLength(1);
      expect(log.filter((text) => text.endsWith('has gone'))).toEqual([]);
    }
  });
});

describe('examples/live-dashboard', () => {
  const example = exampleOfBlock('live-dashboard');

  it('feeds WebSockets every second, and event streams', async () => {
    const client = await open(example.port, '/feed');
    const times: number[] = [];
    for (let i = 0; i < 3; i++) times.push((await client.take({ viewers: 1 }))['time'] as number);
    expect([...times].sort((a, b) => a - b)).toEqual(times);
    expect((times[2] as number) - (times[1] as number)).toBeGreaterThan(500);
    const { body } = await fetch(`http://127.0.0.1:${example.port}/events`);
    let seen = '';
    for await (const piece of body ?? []) {
      seen += Buffer.from(piece).toString();
      if (seen.split('data: ').length > 2) break;
    }
    expect(JSON.parse(seen.split('\n')[0]?.slice('data: '.length) ?? '')).toMatchObject({ viewers: 1 });
    client.send('hello');
    expect(await client.closed).toEqual({ code: 1008, reason: 'This feed takes no messages.' });
  });

  it('feeds a page by either', async (context) => {
    if (!hasProgram('chromium')) return context.skip();
    browser = await Chromium.start();
    for (const [query, by] of [
      ['', 'WebSocket'],
      ['?events', 'server-sent events'],
    ]) {
      const page = await browser.open(`http://127.0.0.1:${example.port}/${query}`);
      await vi.waitFor(
        async () => {
          expect(await page.texts('#by')).toEqual([by]);
          expect(await page.texts('td')).toContain('connectionNum');
        },
        { timeout: DEADLINE_MS },
      );
    }
  });
});

describe('examples/game-tick', () => {
  const example = exampleOfBlock('game-tick');

  it('moves those that have sent an input, in ticks without a gap', async () => {
    const clients = [await open(example.port, '/game'), await open(example.port, '/game')];
    const [one, two] = clients as [JsonSocket, JsonSocket];
    const { you, tick, players } = await two.take({ type: 'all' });
    expect(players).toHaveLength(2);
    one.send('stop');
    two.send('left');
    for (let next = (tick as number) + 1, end = next + 20; next < end; next++)
      await two.take({ type: 'tick', tick: next });
    await vi.waitFor(async () => {
      const moved = (await one.take({ type: 'tick' }))['players'] as number[][];
      expect(moved.map(([id]) => id)).toEqual([you]);
    });
    two.send('nonsense');
    expect(await two.closed).toMatchObject({ code: 1008 });
    await one.take({ type: 'leave', id: you });
  });

  it('takes all clients in anew when its process is killed', async () => {
    const client = await open(example.port, '/game');
    const { you } = await client.take({ type: 'all' });
    process.kill(pidsOfExample('process game')[0] ?? 0, 'SIGKILL');
    expect(await client.take({ type: 'all' })).toMatchObject({ you });
    await client.take({ type: 'tick', tick: 3 });
  });
});
