import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { deflateRawSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { PACE } from '../helpers/deadline.js';
import { residentMiB } from '../helpers/proc.js';
import { clientFrame, RawWebSocket } from '../helpers/raw-web-socket.js';
import { RoomMember } from '../helpers/room-members.js';
import { endServers, IS_BASE, poll, type ServerProcess, startServer } from '../helpers/server-process.js';
import { sharedServers } from '../helpers/shared-servers.js';

afterEach(endServers);

const MIB = 1 << 20;
const DEFLATE = 'permessage-deflate; client_no_context_takeover; server_no_context_takeover';

async function open(server: ServerProcess, extensions = '', rooms = ''): Promise<RawWebSocket> {
  const socket = await RawWebSocket.open(server.port, `/?name=x&rooms=${rooms}`, extensions);
  expect((await socket.read()).opcode).toBe(1);
  return socket;
}

const treeMiB = (pids: readonly number[]): number => pids.reduce((sum, pid) => sum + residentMiB(pid), 0);
const pidsOf = (server: ServerProcess): number[] => server.tree().map(({ pid }) => pid);

const small = { workerNum: 1, reactorNum: 1 };
const shared = sharedServers();
/** For attacks that need no memory worth speaking of. */
const startShared = (): Promise<ServerProcess> =>
  shared('websocket-rooms.js', { options: { workerNum: 2, reactorNum: 1 } });

/** What the server grows by while `attack` goes on, at most; it must serve another client meanwhile and afterwards. */
async function grownBy(server: ServerProcess, attack: () => Promise<unknown>): Promise<number> {
  const witness = await open(server);
  const pids = pidsOf(server);
  const before = treeMiB(pids);
  let most = before;
  let isOn = true;
  const watch = (async () => {
    for (; isOn; await sleep(20)) {
      most = Math.max(most, treeMiB(pids));
      expect(await witness.send(1, 'echo here').text()).toBe('echo here');
    }
  })();
  try {
    await attack();
  } finally {
    isOn = false;
    await watch;
  }
  await witness.close();
  expect(pidsOf(server)).toEqual(pids); // all that were looked at are those that are there
  return most - before;
}

describe('a message that inflates beyond the limit', () => {
  it('ends its sender with 1009, and what it would have been is never held', async () => {
    const server = await startServer('websocket-rooms.js', { options: { ...small, websocketCompression: true } });
    const bomb = deflateRawSync(Buffer.alloc(512 * MIB)).subarray(0, -5);
    expect(bomb.length).toBeLessThan(MIB);
    const grown = await grownBy(server, async () => {
      for (let i = 0; i < 5; i++) {
        const socket = await open(server, DEFLATE);
        expect(await socket.send(2, bomb, { rsv1: true }).closeCode()).toBe(1009);
        await socket.close();
      }
    });
    expect(grown).toBeLessThan(64);
  });
});

describe('fragments', () => {
  it('10,000 tiny ones are one message', async () => {
    const server = await startShared();
    const socket = await open(server);
    const pieces = [clientFrame(1, 'echo ', { fin: false })];
    for (let i = 0; i < 10_000; i++) pieces.push(clientFrame(0, 'x', { fin: false }));
    socket.client.send(Buffer.concat([...pieces, clientFrame(0, '')]));
    expect(await socket.text()).toBe(`echo ${'x'.repeat(10_000)}`);
  });

  it('a million of one byte, or of none, take no more memory than the message may have', async () => {
    const server = await startServer('websocket-rooms.js', { options: small });
    const ones = Buffer.concat(Array.from({ length: 10_000 }, () => clientFrame(0, 'x', { fin: false })));
    const nothings = Buffer.concat(Array.from({ length: 10_000 }, () => clientFrame(0, '', { fin: false })));
    const grown = await grownBy(server, async () => {
      for (const piece of [ones, nothings]) {
        const socket = await open(server);
        socket.send(2, '', { fin: false });
        for (let i = 0; i < 100; i++) {
          socket.client.send(piece);
          await socket.drained();
        }
        expect((await socket.send(0, 'end').read()).opcode).toBe(2);
        await socket.close();
      }
    });
    expect(grown).toBeLessThan(64);
  });
});

describe('lengths', () => {
  it.each([2n ** 63n, 2n ** 64n - 1n, 2n ** 53n, 2n ** 40n, BigInt(MIB) + 1n])(
    'of %s bytes are refused at the header',
    async (length) => {
      const server = await startShared();
      const socket = await open(server);
      const code = length >= 2n ** 53n ? 1002 : 1009;
      expect(await socket.send(2, '', { length }).closeCode()).toBe(code);
    },
  );
});

describe('pings', () => {
  it('of a client that reads no pongs are answered from a queue that is bounded', async () => {
    const server = await startServer('websocket-rooms.js', { options: small });
    const socket = await open(server);
    const pings = Buffer.concat(Array.from({ length: 2000 }, (_, i) => clientFrame(9, `${i}`.padEnd(125, '.'))));
    socket.client.socket.pause();
    const grown = await grownBy(server, async () => {
      for (let i = 0; i < 200; i++) {
        socket.client.send(pings);
        await Promise.race([socket.drained(), sleep(1000)]);
      }
    });
    expect(grown).toBeLessThan(48);
    socket.client.socket.resume();
    const last = async (): Promise<string> => {
      for (;;) {
        const { opcode, payload } = await socket.read();
        if (opcode === 10) return payload.toString();
      }
    };
    socket.send(9, 'the last');
    while ((await last()) !== 'the last');
  });

  it('find clients that are gone: one that answers nothing is reset after two', async () => {
    const server = await startServer('websocket-rooms.js', {
      options: { ...small, pingIntervalMs: 1000 }, // in two of them the one that answers gets CPU, on a busy machine too
      env: { TELL_CLOSES: '1' },
    });
    const [silent, answering] = [await open(server), await open(server)];
    const begin = performance.now();
    void (async () => {
      while (answering.client.end === undefined) {
        const { opcode, payload } = await answering.read();
        if (opcode === 9) answering.send(10, payload);
      }
    })().catch(() => {});
    expect(await silent.closeCode()).toBe(1006);
    const took = performance.now() - begin;
    expect(took).toBeGreaterThan(2750);
    expect(took).toBeLessThan(10_000 * PACE);
    const { code, initiator } = await server.waitForEvent('close');
    expect([code, initiator]).toEqual([1006, 'timeout']);
    expect(answering.client.end).toBeUndefined();
    await answering.close();
  });
});

describe('clients that come slowly, or all at once', () => {
  it('a header byte by byte is waited for, and costs others nothing', async () => {
    const server = await startShared();
    const socket = await open(server);
    const frame = clientFrame(1, `echo ${'x'.repeat(200)}`);
    const grown = await grownBy(server, async () => {
      for (const byte of frame) {
        socket.client.send(Buffer.from([byte]));
        await sleep(1);
      }
    });
    expect(await socket.text()).toBe(`echo ${'x'.repeat(200)}`);
    expect(grown).toBeLessThan(32);
  });

  it('one that stops in the middle of a frame is ended by the limit of idle connections', async () => {
    const options = { ...small, heartbeatIdleMs: 500, heartbeatCheckMs: 100 };
    const server = await startServer('websocket-rooms.js', { options });
    const socket = await open(server);
    socket.client.send(clientFrame(1, 'echo').subarray(0, 3));
    expect(await socket.closeCode()).toBeGreaterThan(1000);
  });

  it('a flood of handshakes, half of them broken off, leaves nothing behind', async () => {
    const server = await startShared();
    const grown = await grownBy(server, async () => {
      for (let round = 0; round < 10; round++) {
        await Promise.all(Array.from({ length: 100 }, (_, i) => (i % 2 === 0 ? breakOff(server) : comeAndGo(server))));
      }
    });
    expect(grown).toBeLessThan(96);
    const socket = await open(server);
    await poll('nobody is left', async () => (await socket.send(1, 'rooms').text()) === 'rooms 0');
    await socket.close();
  });
});

async function breakOff({ port }: ServerProcess): Promise<void> {
  const socket = connect(port, '127.0.0.1').on('error', () => {});
  await once(socket, 'connect');
  socket.write(
    'GET /?rooms=all HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHN',
  );
  socket.resetAndDestroy();
}

async function comeAndGo(server: ServerProcess): Promise<void> {
  const socket = await open(server, '', 'all,one,two');
  await socket.close();
}

describe('rooms', () => {
  it('of a client’s choosing have names of 1 to 128 bytes, and cannot be more than maxRooms', async () => {
    const maxRooms = 64;
    const server = await startServer('websocket-rooms.js', { options: { ...small, maxRooms } });
    const socket = await open(server);
    const ask = (text: string): Promise<string> => socket.send(1, text).text();
    expect(await ask(`join ${'ä'.repeat(64)}`)).toBe('joined true');
    for (const name of ['', 'x'.repeat(129), 'ä'.repeat(65)])
      expect(await ask(`join ${name}`)).toBe('refused ERR_ROOM_NAME');
    const answers: string[] = [];
    for (let i = 0; i < 200; i++) answers.push(await ask(`join room${i}`));
    expect(answers.slice(0, maxRooms - 1)).toEqual(answers.slice(0, maxRooms - 1).fill('joined true'));
    expect(answers.slice(-100)).toEqual(answers.slice(-100).fill('refused ERR_ROOM_LIMIT'));
    expect(await ask('rooms')).toBe(`rooms ${maxRooms}`);
    expect(await ask('leave room3')).toBe('left');
    await poll('there is room for one', async () => (await ask('join another')) === 'joined true');
    await poll('it counts', async () => (await ask('size another')) === 'size 1');
    expect(await ask('rooms')).toBe(`rooms ${maxRooms}`);
    await socket.close();
  });

  it('of which a reactor is stopped take no more publications than a bound allows, and say so; nothing taken is lost', async () => {
    const server = await startServer('websocket-rooms.js', { options: { sendBufferSize: 4 * MIB, workerNum: 2 } });
    const [member, flooding] = await onTwoWorkers(server);
    const stopped = IS_BASE ? Number((await member.ask('who')).split(' ')[0]) : server.masterPid;
    await flooding.ask('flood all 100000 1000 300', 'soon');
    server.signal('SIGSTOP', stopped);
    await sleep(1500);
    server.signal('SIGCONT', stopped);
    const { taken, code, rss } = await server.waitForEvent('flooded');
    expect(code).toBe('ERR_ROOM_BUFFER_FULL');
    expect(Number(taken)).toBeGreaterThan(3000);
    expect(Number(taken)).toBeLessThan(8000);
    expect(Number(rss)).toBeLessThan(200 * MIB);
    for (const each of [member, flooding]) {
      await each.until('all', () => each.next.get('flood') === taken);
      expect([each.first.get('flood'), each.faults]).toEqual([0, []]);
      each.socket.terminate();
    }
  });
});

/** Members of `all`; the second one belongs to another worker. */
async function onTwoWorkers(server: ServerProcess): Promise<[RoomMember, RoomMember]> {
  const members = await RoomMember.openMany(server.port, { count: 20 });
  const workers = await Promise.all(members.map((each) => each.ask('who')));
  const other = members[workers.findIndex((worker) => worker !== workers[0])];
  const [first] = members as [RoomMember];
  for (const each of members) if (each !== first && each !== other) each.socket.terminate();
  return [first, other as RoomMember];
}
