import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { certificateFor } from '../helpers/certificates.js';
import {
  expectAllCame,
  expectAllPublished,
  expectIntact,
  expectSizes,
  killWorker,
  last,
  openMembers,
  reload,
  scale,
  sourcesOf,
} from '../helpers/lasting-sockets.js';
import { clientFrame, RawWebSocket } from '../helpers/raw-web-socket.js';
import { RoomMember } from '../helpers/room-members.js';
import { endServers, IS_BASE, poll, type ServerProcess, startServer } from '../helpers/server-process.js';
import { sharedServers } from '../helpers/shared-servers.js';

afterEach(endServers);

const COUNT = 60;
const tlsOptions = { tls: certificateFor('server.test') };
const transports = IS_BASE ? [false] : [false, true];

function end(members: readonly RoomMember[]): void {
  for (const { socket } of members) socket.terminate();
}

describe.each(transports)('sockets in rooms (TLS: %s)', (tls) => {
  it('outlive reloads and killed workers: none is closed, and no message of a room is lost, doubled or out of order', async () => {
    const server = await startServer('websocket-rooms.js', { options: tls ? tlsOptions : {}, env: { PUBLISHER: '1' } });
    const members = await last(server, { count: COUNT, tls, reloads: 2, kills: IS_BASE ? 0 : 2 });
    end(members);
  });

  it('get all that workers have published that a reload replaces', async () => {
    const options = { ...(tls && tlsOptions) };
    const server = await startServer('websocket-rooms.js', { options, env: { WORKERS_PUBLISH: '1' } });
    const members = await openMembers(server, { count: 20, tls, reloads: 2, kills: 0 });
    const old = await sourcesOf(members, 2);
    for (let i = 0; i < 2; i++) await reload(server);
    expect(server.events('published')).toHaveLength(4);
    await expectAllPublished(server, members, old);
    end(members);
  });
});

const LONG = 1 << 20;
const half = (bytes: Buffer): [Buffer, Buffer] => [
  bytes.subarray(0, bytes.length >> 1),
  bytes.subarray(bytes.length >> 1),
];
const workerOf = async (socket: RawWebSocket): Promise<number> =>
  Number((await socket.send(1, 'who').text()).split(' ')[2]);

async function openRaw(server: ServerProcess, name = 'raw'): Promise<RawWebSocket> {
  const socket = await RawWebSocket.open(server.port, `/?name=${name}&rooms=all`);
  expect(await socket.text()).toBe('open');
  return socket;
}

/** What is done between the two halves of what a client sends. */
const steps: [string, (server: ServerProcess, socket: RawWebSocket) => Promise<unknown>][] = [
  ['a reload', (server) => reload(server)],
];
if (!IS_BASE) steps.push(['a killed worker', async (server, socket) => killWorker(server, await workerOf(socket))]);

describe.each(steps)('what a client has begun before %s', (_name, step) => {
  const shared = sharedServers();
  /** With one worker: the one that is replaced is that of each client. */
  const start = (): Promise<ServerProcess> =>
    shared('websocket-rooms.js', { options: { workerNum: 1, reactorNum: 1 } });

  it('goes on behind it: a frame of 1 MiB, a message in fragments, a header, and data', async () => {
    const server = await start();
    const bytes = Buffer.alloc(LONG, 'abcdefg');
    const whole = clientFrame(2, bytes);
    const begun: [Buffer, Buffer][] = [
      half(whole),
      [clientFrame(2, bytes.subarray(0, 300_000), { fin: false }), clientFrame(0, bytes.subarray(300_000))],
      [whole.subarray(0, 3), whole.subarray(3)],
    ];
    const other = await openRaw(server);
    const sockets = await Promise.all(begun.map(() => openRaw(server)));
    for (const [i, [first]] of begun.entries()) sockets[i]?.client.send(first);
    await Promise.all(sockets.map((socket) => socket.drained()));
    await poll('the reactor has it', async () => (await other.send(1, 'who').text()) !== '');
    await step(server, other);
    for (const [i, [, second]] of begun.entries()) sockets[i]?.client.send(second);
    for (const socket of sockets) {
      expect((await socket.read()).payload.equals(bytes)).toBe(true);
      expect(await socket.send(1, 'data').text()).toBe('data {"name":"raw"}');
    }
    await Promise.all([...sockets, other].map((socket) => socket.close()));
  });

  it('goes on behind it: a text of which a character is cut', async () => {
    const server = await start();
    const text = Buffer.from('echo ä€😀');
    const cuts = Array.from({ length: text.length - 6 }, (_, i) => 6 + i);
    const other = await openRaw(server);
    const sockets = await Promise.all(cuts.map(() => openRaw(server)));
    for (const [i, cut] of cuts.entries()) {
      sockets[i]?.client.send(clientFrame(1, text.subarray(0, cut), { fin: false }));
    }
    await Promise.all(sockets.map((socket) => socket.drained()));
    await step(server, other);
    for (const [i, cut] of cuts.entries()) sockets[i]?.send(0, text.subarray(cut));
    for (const socket of sockets) expect(await socket.text()).toBe('echo ä€😀');
    await Promise.all([...sockets, other].map((socket) => socket.close()));
  });
});

describe('a close that a client has begun', () => {
  it('is answered, and told with its code, though the worker is replaced meanwhile', async () => {
    const server = await startServer('websocket-rooms.js', {
      options: { workerNum: 1, reactorNum: 1 },
      env: { TELL_CLOSES: '1' },
    });
    const sockets: RawWebSocket[] = [];
    for (let i = 0; i < 40; i++) sockets.push(await openRaw(server, `c${i}`));
    const reloading = reload(server);
    for (const [i, socket] of sockets.entries()) {
      socket.send(8, Buffer.from([0x0f, 0xa0 + i])); // 4000 + i
      await sleep(15);
    }
    await reloading;
    const codes = sockets.map((_, i) => 4000 + i);
    expect(await Promise.all(sockets.map((socket) => socket.closeCode()))).toEqual(codes);
    await server.waitFor('all closes', () => server.events('close').length === sockets.length);
    const told = server.events('close').sort((a, b) => Number(a['code']) - Number(b['code']));
    expect(told.map(({ code, initiator, name }) => [code, initiator, name])).toEqual(
      codes.map((code, i) => [code, 'client', `c${i}`]),
    );
  });
});

describe('an orderly shutdown', () => {
  it.each(transports)('tells every client 1012 (TLS: %s)', async (tls) => {
    const server = await startServer('websocket-rooms.js', { options: tls ? tlsOptions : {} });
    const members = await openMembers(server, { count: 20, tls, reloads: 0, kills: 0 });
    server.signal('SIGTERM');
    expect(await Promise.all(members.map(({ closed }) => closed))).toEqual(members.map(() => 1012));
    expect(await server.exited).toEqual({ code: 0, signal: null });
  });
});

describe.runIf(IS_BASE)('in BASE mode', () => {
  it('a reload over TLS ends sockets with 1012', async () => {
    const server = await startServer('websocket-rooms.js', { options: tlsOptions });
    const members = await openMembers(server, { count: 20, tls: true, reloads: 0, kills: 0 });
    await reload(server);
    expect(await Promise.all(members.map(({ closed }) => closed))).toEqual(members.map(() => 1012));
    const again = await openMembers(server, { count: 20, tls: true, reloads: 0, kills: 0 });
    end(again);
  });

  it('a killed worker takes its sockets along (1006): rooms count right again, and members of others get all', async () => {
    // The kernel spreads them: of workers that share a socket, one may take all.
    const options = { reusePort: true };
    const server = await startServer('websocket-rooms.js', { options, env: { WORKERS_PUBLISH: '1' } });
    const members = await openMembers(server, { count: 40, tls: false, reloads: 0, kills: 0 });
    await sourcesOf(members, 2);
    const ids = await Promise.all(members.map(async (member) => Number((await member.ask('who')).split(' ')[1])));
    const dying = members.filter((_, i) => ids[i] === 0);
    const staying = members.filter((_, i) => ids[i] !== 0);
    expect(dying.length).toBeGreaterThan(0);
    await killWorker(server, 0);
    expect(await Promise.all(dying.map(({ closed }) => closed))).toEqual(dying.map(() => 1006));
    const [first] = staying as [RoomMember];
    const third = staying.filter((member) => members.indexOf(member) % 3 === 0).length;
    await expectSizes(first, { all: staying.length, third });
    await expectIntact(staying);
    const source = `worker-${server.worker(1)?.pid}`;
    await reload(server);
    const told = server.events('published').find((line) => line['source'] === source);
    await expectAllCame(staying, { source, count: Number(told?.['count']) }, false);
    expect(Number(told?.['count'])).toBeGreaterThan(0);
    const more = await openMembersBeside(server, staying.length, 10);
    end([...staying, ...more]);
  });
});

/** New ones come to the successor too, and are counted with those that have stayed. */
async function openMembersBeside(server: ServerProcess, there: number, count: number): Promise<RoomMember[]> {
  const members = await RoomMember.openMany(server.port, { count });
  await expectSizes(members[0] as RoomMember, { all: there + count });
  return members;
}

describe.runIf(!IS_BASE)('another number of workers', () => {
  it('closes no socket, and loses no message of a room', async () => {
    const options = { workerNum: 2, maxWorkerNum: 4 };
    const server = await startServer('websocket-rooms.js', { options, env: { PUBLISHER: '1' } });
    const members = await openMembers(server, { count: 40, tls: false, reloads: 0, kills: 0 });
    const old = await sourcesOf(members, 1);
    for (const workerNum of [4, 1, 3]) {
      await scale(server, workerNum);
      await expectIntact(members);
      await expectSizes(members[0] as RoomMember, { all: 40 });
    }
    members[0]?.socket.send('end');
    await server.waitForEvent('published');
    await expectAllPublished(server, members, old);
    end(members);
  });
});
