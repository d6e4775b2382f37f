/** Members of a room that take nothing, beside others that do: what the short form and the long one have in common. */
import { expect } from 'vitest';
import { residentMiB } from './proc.js';
import { RawWebSocket } from './raw-web-socket.js';
import { RoomMember } from './room-members.js';
import { startServer } from './server-process.js';

export interface SlowParts {
  readonly slowConsumer: 'close' | 'drop' | 'skipToLatest';
  readonly fast: number;
  readonly slow: number;
  readonly messages: number;
}

const BURST = 100;
const MESSAGE_BYTES = 2048;
const HIGH_BYTES = 256 * 1024;
/** What the kernel takes for a client that reads nothing, on both sides. */
const KERNEL_BYTES = 8 << 20;

/** Publishes `messages` of 2 KiB. @returns figures, and what went wrong for the fast ones */
export async function serveSlow({ slowConsumer, fast, slow, messages }: SlowParts) {
  // On a busy machine they take nothing for longer than clients usually may.
  const patient = { pingIntervalMs: 0, writeTimeoutMs: 600_000 };
  const options = { slowConsumer, roomHighWatermark: HIGH_BYTES, workerNum: 2, reactorNum: 1, ...patient };
  const server = await startServer('websocket-rooms.js', { options });
  const members = await RoomMember.openMany(server.port, { count: fast });
  const stuck = await openStuck(server.port, slow);
  const [first] = members as [RoomMember];
  const before = server.tree().reduce((sum, { pid }) => sum + residentMiB(pid), 0);
  let most = before;
  const delays: number[] = [];
  const bursts = Math.ceil(messages / BURST);
  for (let i = 0; i < bursts; i++) {
    const begin = performance.now();
    first.socket.send(`burst ${BURST} ${MESSAGE_BYTES}`);
    await Promise.all(
      members.map((member) => member.until(`burst ${i}`, () => (member.next.get('burst') ?? 0) >= (i + 1) * BURST)),
    );
    delays.push(performance.now() - begin);
    most = Math.max(
      most,
      server.tree().reduce((sum, { pid }) => sum + residentMiB(pid), 0),
    );
  }
  const count = bursts * BURST;
  const faults = members.flatMap(({ faults: each }) => each);
  expect(members.filter(({ next, first: begun }) => next.get('burst') !== count || begun.get('burst') !== 0)).toEqual(
    [],
  );
  const ends = await Promise.all(stuck.map((socket) => readOn(socket, slowConsumer, count)));
  for (const { socket } of members) socket.terminate();
  for (const socket of stuck) await socket.close();
  delays.sort((a, b) => a - b);
  const p99 = delays[Math.floor(delays.length * 0.99)] ?? 0;
  // Its queues, and what the fast ones were behind by.
  expect(most - before).toBeLessThan(64 + (slow * HIGH_BYTES * 2) / (1 << 20) + (fast * HIGH_BYTES) / (1 << 20));
  const p50 = delays[delays.length >> 1] ?? 0;
  const grownMiB = Math.round(most - before);
  return { faults, grownMiB, p50Ms: Math.round(p50), p99Ms: Math.round(p99), ends: [...new Set(ends)] };
}

async function openStuck(port: number, count: number): Promise<RawWebSocket[]> {
  const stuck: RawWebSocket[] = [];
  for (let i = 0; i < count; i++) {
    const socket = await RawWebSocket.open(port, `/?name=slow${i}&rooms=all`);
    expect(await socket.text()).toBe('open');
    socket.client.socket.pause();
    stuck.push(socket);
  }
  return stuck;
}

/** It reads again. @returns what came of it */
async function readOn(socket: RawWebSocket, policy: SlowParts['slowConsumer'], count: number): Promise<string> {
  socket.client.socket.resume();
  socket.send(1, 'echo end');
  const numbers: number[] = [];
  for (;;) {
    const { opcode, payload } = await socket.read();
    if (opcode === 8) {
      expect(policy).toBe('close');
      return `closed ${payload.readUInt16BE()}`;
    }
    const text = payload.toString('latin1');
    if (text === 'echo end') {
      if (policy === 'drop') break;
      continue;
    }
    const number = Number(text.split(' ', 3)[2]);
    expect(number).toBeGreaterThan(numbers.at(-1) ?? -1);
    numbers.push(number);
    if (policy === 'skipToLatest' && number + 1 === count) break;
  }
  expect(numbers.length).toBeLessThan(count);
  expect(numbers.length * MESSAGE_BYTES).toBeLessThan(KERNEL_BYTES + HIGH_BYTES + count * 10);
  return policy === 'drop' ? 'missed some' : 'skipped to the latest';
}
