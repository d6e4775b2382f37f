// A WebSocket server as its operator sees it: figures, and the commands for rooms, in both modes.
import { once } from 'node:events';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { ControlClient } from '../../src/control/client.js';
import type { ConnectionPage } from '../../src/control/controlled.js';
import type { MetricFamily } from '../../src/control/metrics.js';
import type { ServerStats } from '../../src/control/stats.js';
import { CommandLine, endCommandLines } from '../helpers/command-line.js';
import { poll } from '../helpers/server-process.js';

const open = new Set<Member>();
/** Of one test alone. */
const own = new Set<CommandLine>();
afterEach(async () => {
  for (const { socket } of open) socket.terminate();
  open.clear();
  const lines = [...own];
  own.clear();
  for (const line of lines) await line.end();
});
afterAll(endCommandLines);

/** A client, with all it was sent. */
class Member {
  readonly socket: WebSocket;
  readonly messages: string[] = [];

  private constructor(port: number) {
    this.socket = new WebSocket(`ws://127.0.0.1:${port}/`);
    this.socket.on('message', (data) => this.messages.push(String(data)));
    this.socket.on('error', () => {});
    open.add(this);
  }

  static async open(port: number): Promise<Member> {
    const member = new Member(port);
    await once(member.socket, 'open');
    return member;
  }

  /** @returns the answer, which is the next message */
  async ask(text: string): Promise<unknown> {
    const before = this.messages.length;
    this.socket.send(text);
    return JSON.parse(await poll(`an answer to ${text}`, () => this.messages[before]));
  }

  /** Has joined when that is done: frames of one client are handled in order, and so are its answers. */
  async join(room: string): Promise<void> {
    this.socket.send(`join ${room}`);
    await this.ask('pid');
  }

  /** @returns the code by which it ended */
  async ended(): Promise<number> {
    const [code] = await once(this.socket, 'close');
    return code as number;
  }
}

const TOKEN = 'a-token-of-some-length';

interface Operated {
  readonly line: CommandLine;
  readonly pid: number;
  readonly port: number;
}

async function launch(line: CommandLine, ...flags: string[]): Promise<Operated> {
  copyFileSync(fileURLToPath(new URL('../fixtures/sockets.js', import.meta.url)), line.script);
  return { line, ...(await line.daemon(...flags)) };
}

function ownLine(): CommandLine {
  const line = new CommandLine();
  own.add(line);
  return line;
}

const start = (mode: string, ...flags: string[]): Promise<Operated> => launch(ownLine(), '--mode', mode, ...flags);

const shared = new Map<string, Promise<Operated>>();

/** One for each mode, without a client when it is given out. */
async function startShared(mode: string): Promise<Operated> {
  const flags = ['--mode', mode, '--admin', JSON.stringify({ port: 0, token: TOKEN })];
  const server = shared.get(mode) ?? launch(new CommandLine(), ...flags);
  shared.set(mode, server);
  const operated = await server;
  await poll('the clients of the test before are gone', async () => {
    const { webSockets, roomMembers } = await statsOf(operated);
    return webSockets + roomMembers === 0;
  });
  return operated;
}

/** Without a process of the command line: what it prints is looked at where it is the matter. */
async function statsOf({ line, pid }: Omit<Operated, 'port'>): Promise<ServerStats> {
  const client = await ControlClient.connect(join(line.runDir, `${pid}.sock`));
  try {
    return (await client.call('stats')) as ServerStats;
  } finally {
    client.close();
  }
}

const roomsOf = async (line: CommandLine): Promise<unknown> => JSON.parse(await line.must('rooms', '--json'));

describe.each(['process', 'base'])('a server of WebSockets in %s mode', (mode) => {
  // The first of those that share a server: some of its figures are since the start.
  it('shows its sockets, rooms and messages, and publishes from the command line', async () => {
    const server = await startShared(mode);
    const { line, port } = server;
    expect(await line.must('rooms')).toBe('Nobody is in a room.\n');
    const members = await Promise.all([1, 2, 3].map(() => Member.open(port)));
    const [a, b] = members as [Member, Member, Member];
    for (const member of members) await member.join('lobby');
    await a.join('another');
    await poll('all have joined', async () => (await statsOf(server)).roomMembers === 4);

    expect((await line.report()).stats).toMatchObject({
      webSockets: 3,
      rooms: 2,
      messagesReceived: 8,
      messagesPublished: 0,
    });
    expect(await roomsOf(line)).toEqual({
      total: { rooms: 2, members: 4 },
      rooms: [
        { name: 'lobby', members: 3 },
        { name: 'another', members: 1 },
      ],
    });
    expect(await line.must('rooms')).toBe('ROOM     MEMBERS\nlobby          3\nanother        1\n');
    expect(await line.must('rooms', '-n', '1')).toMatch(/lobby +3\n1 more, 4 members in all: --count\n$/);
    expect(await line.must('connections')).toMatch(/SPEAKS\n.* WebSocket\n/);

    expect(await line.must('publish', 'lobby', 'from\nthe operator')).toBe('Published to lobby: 3 members.\n');
    for (const { messages } of members) {
      await poll('it has come', () => messages.at(-1) === 'from\nthe operator');
    }
    expect(await line.must('publish', 'nowhere', 'x')).toBe('Published to nowhere: 0 members.\n');
    b.socket.send('publish lobby');
    await poll('a worker has published', () => members.every(({ messages }) => messages.at(-1) === 'published'));
    expect(await statsOf(server)).toMatchObject({ messagesPublished: 3, roomDeliveries: 6, roomDrops: 0 });
    expect(await b.ask('stats')).toMatchObject({ messagesPublished: 3, roomMembers: 4, webSockets: 3 });
    expect(await line.must('status')).toMatch(
      /sockets +3 open, \d+ messages received\n+rooms +2 with 4 members; 3 published, 6 delivered, 0 dropped\n/,
    );
    expect(await line.must('top', '--count', '1')).toMatch(/\nsockets 3 .* rooms 2\n/);
  });

  it('counts how they end', async () => {
    const server = await startShared(mode);
    const { line, port } = server;
    const { closeCodes: before } = await statsOf(server);
    const [inOrder, lost, other] = [2 + (before[1000] ?? 0), 1 + (before[1006] ?? 0), 1 + (before['other'] ?? 0)];
    const members = await Promise.all([1, 2, 3, 4, 5].map(() => Member.open(port)));
    const [a, b, c, d, e] = members as [Member, Member, Member, Member, Member];
    a.socket.close(1000);
    b.socket.send('code 4001');
    c.socket.terminate();
    d.socket.send('close');
    expect(await Promise.all([a, b, c, d].map((member) => member.ended()))).toEqual([1000, 4001, 1006, 1000]);
    await poll('the last one is left', async () => (await statsOf(server)).webSockets === 1);
    expect((await statsOf(server)).closeCodes).toEqual({ 1000: inOrder, 1006: lost, other });
    expect(await line.must('status')).toContain(`ended: 1000 ${inOrder}×, 1006 ${lost}×, other ${other}×`);

    const { connections } = JSON.parse(await line.must('connections', '--json')) as ConnectionPage;
    expect(connections).toMatchObject([{ webSocket: true }]);
    const closed = e.ended();
    await line.must('close', String(connections[0]?.fd));
    expect(await closed).toBe(1000);
  });

  it('keeps its figures over a reload, and has those of a killed worker right', async () => {
    const server = await start(mode);
    const { line, port } = server;
    const members = await Promise.all([1, 2, 3, 4].map(() => Member.open(port)));
    const [first] = members as [Member];
    for (const member of members) await member.join('lobby');
    const pid = await first.ask('pid');
    const before = await statsOf(server);
    expect(before).toMatchObject({ webSockets: 4, rooms: 1, roomMembers: 4 });
    await line.must('reload');
    expect(await first.ask('pid')).not.toBe(pid);
    expect(await statsOf(server)).toMatchObject({
      ...{ webSockets: 4, rooms: 1, roomMembers: 4, closeCodes: {} },
      messagesReceived: before.messagesReceived + 1,
    });
    expect(await line.must('publish', 'lobby', 'still there')).toContain('4 members');
    for (const { messages } of members) await poll('it has come', () => messages.at(-1) === 'still there');

    process.kill(Number(await first.ask('pid')), 'SIGKILL');
    const left = await poll('another worker', async () => {
      const { workerRestarts, ...stats } = await statsOf(server);
      return workerRestarts === 1 && stats;
    });
    const lost = mode === 'base' ? 4 - left.webSockets : 0;
    expect(left).toMatchObject({ webSockets: 4 - lost, closeCodes: lost === 0 ? {} : { 1006: lost } });
    expect(lost > 0).toBe(mode === 'base');
    await poll('so have the rooms', async () => (await statsOf(server)).roomMembers === 4 - lost);
  });

  it('refuses a file, and does for a WebSocket what else is for connections', async () => {
    const { port } = await startShared(mode);
    const member = await Member.open(port);
    expect(await member.ask('file')).toEqual({ taken: false, code: 'ERR_IS_WEBSOCKET' });
    expect(await member.ask('info')).toMatchObject({ webSocket: true, closing: false });
    expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe('over HTTP');
    member.socket.send('send 42');
    await poll('a message of its own', () => member.messages.at(-1) === '42');
    const silent = await Member.open(port);
    await new Promise((resolve) => setTimeout(resolve, 200));
    const ended = silent.ended();
    member.socket.send('heartbeat');
    expect(await ended).toBe(1000);
    expect(await member.ask('info')).toMatchObject({ closing: false });
  });

  it('has the same over HTTP, under the guards of the admin listener', async () => {
    const server = await startShared(mode);
    const { line, port } = server;
    const lost = (await statsOf(server)).closeCodes[1006] ?? 0;
    const { admin } = (await line.report()).status;
    const call = async (path: string, body?: object, token = TOKEN): Promise<unknown[]> => {
      const headers = { authorization: `Bearer ${token}` };
      const post = body && { method: 'POST', body: JSON.stringify(body) };
      const response = await fetch(`${admin}/api/${path}`, { headers, ...post });
      return [response.status, await response.json()];
    };
    const totals = async (...names: string[]): Promise<number[]> => {
      const families = (await call('metrics'))[1] as MetricFamily[];
      const samplesOf = (name: string) => families.find((family) => family.name === `tswoole_${name}`)?.samples ?? [];
      return names.map((name) => samplesOf(name).reduce((sum, { value }) => sum + +value, 0));
    };
    const counters = [
      ...['websocket_messages_total', 'websocket_closes_total'],
      ...['room_publications_total', 'room_deliveries_total', 'room_drops_total'],
    ];
    const before = await totals(...counters);
    const member = await Member.open(port);
    await member.join('7');
    const room = { name: '7', members: 1 };
    expect(await call('rooms')).toEqual([200, { total: { rooms: 1, members: 1 }, rooms: [room] }]);
    expect(await call('rooms?count=0')).toMatchObject([400, { error: { code: 'ERR_OPTION_RANGE' } }]);
    expect(await call('publish', { room: '7', text: 'x' }, 'wrong')).toMatchObject([401, {}]);
    expect(await call('publish?room=7&text=x')).toMatchObject([405, {}]);
    expect(await call('publish', { room: 7, text: 'x' })).toMatchObject([400, { error: { code: 'ERR_OPTION_TYPE' } }]);
    expect(await call('publish', { room: '', text: 'x' })).toMatchObject([400, { error: { code: 'ERR_ROOM_NAME' } }]);
    expect(await call('publish', { room: '7', text: 'by HTTP' })).toEqual([200, { members: 1 }]);
    await poll('it has come', () => member.messages.at(-1) === 'by HTTP');

    expect(await totals('websockets', 'rooms', 'room_members')).toEqual([1, 1, 1]);
    const after = await totals(...counters);
    expect(after.map((count, i) => count - (before[i] ?? 0))).toEqual([2, 0, 1, 1, 0]);
    expect(await (await fetch(`${admin}/metrics`)).text()).toContain(
      `\ntswoole_websocket_closes_total{code="1006"} ${lost}\n`,
    );
  });
});

it.each(['drop', 'skipToLatest'])(
  'with %s each message of a room is delivered or dropped, in the end',
  async (slow) => {
    const server = await start('process', '--slow-consumer', slow, '--room-high-watermark', '1k');
    const { port } = server;
    const [publisher, member] = [await Member.open(port), await Member.open(port)];
    await member.join('lobby');
    member.socket.pause();
    const got = (): string | undefined => member.messages.at(-1)?.trim();
    const published = async (from: number, count: number): Promise<ServerStats> => {
      for (let i = from; i < from + count; i++) publisher.socket.send(`publish lobby ${i} 60000`);
      await publisher.ask('pid');
      return poll('all were published', async () => {
        const stats = await statsOf(server);
        return stats.messagesPublished === from + count && stats;
      });
    };
    let stats = await published(0, 20);
    while (stats.roomDrops < 10) stats = await published(stats.messagesPublished, 20);
    member.socket.resume();
    const answers = 1;
    const all = await poll('all are accounted for', async () => {
      const now = await statsOf(server);
      const isComplete = now.roomDeliveries + now.roomDrops === now.messagesPublished;
      return isComplete && member.messages.length - answers === now.roomDeliveries && now;
    });
    expect(all.roomDrops).toBeGreaterThanOrEqual(stats.roomDrops);
    if (slow === 'skipToLatest') expect(got()).toBe(String(all.messagesPublished - 1));
  },
);

it('a room that cannot be is wrong usage, and a server without WebSocket says that it is one', async () => {
  const { line } = await startShared('process');
  expect(await line.run('publish', 'x'.repeat(129), 'y')).toMatchObject({
    ...{ code: 2, stderr: expect.stringContaining('ERR_ROOM_NAME') },
  });
  const other = ownLine();
  const { pid } = await other.daemon();
  for (const command of [['rooms'], ['publish', 'lobby', 'x']]) {
    expect(await other.run(...command)).toMatchObject({ code: 1, stderr: expect.stringContaining('ERR_NO_WEBSOCKET') });
  }
  expect(await other.must('status')).not.toContain('sockets');
  expect((await statsOf({ line: other, pid })).closeCodes).toEqual({});
});
