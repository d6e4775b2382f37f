import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { ToBroker } from '../../src/cluster/messages.js';
import { WayToBroker } from '../../src/cluster/way-to-broker.js';
import { ServerError } from '../../src/errors/index.js';

let isFull: boolean;
let said: ToBroker[];
let way: WayToBroker;

beforeEach(() => {
  vi.useFakeTimers();
  [isFull, said] = [true, []];
  way = new WayToBroker((message) => {
    if (isFull) throw new ServerError('ERR_MESSAGE_QUEUE_FULL', { workerId: 4, limitBytes: 1000 });
    said.push(message);
  });
});
afterEach(() => {
  vi.useRealTimers();
});

const news = { say: 'publish', subject: 'm:news', data: new Uint8Array(1) } as const;
const room = { say: 'room', room: 'lobby', data: 'x' } as const;
const full = (cluster: string) =>
  expect.objectContaining({
    code: 'ERR_MESSAGE_QUEUE_FULL',
    detail: { workerId: 4, limitBytes: 1000, cluster },
  });

it('tells of the publications that were not taken, each room and subject once, as soon as there is room', async () => {
  for (const message of [news, room, news, room]) expect(() => way.say(message)).toThrow(full('publication'));
  await vi.advanceTimersByTimeAsync(1_000);
  expect(said).toEqual([]);
  isFull = false;
  await vi.advanceTimersByTimeAsync(100);
  expect(said).toEqual([{ say: 'notTaken', subjects: ['m:news', 'r:lobby'], publications: 4 }]);
  await vi.advanceTimersByTimeAsync(1_000);
  expect([said.length, vi.getTimerCount()]).toEqual([1, 0]);
  way.notTaken(news); // it had no place later
  await vi.advanceTimersByTimeAsync(100);
  expect(said[1]).toEqual({ say: 'notTaken', subjects: ['m:news'], publications: 1 });
});

it('says nothing later of what is no publication: who says it is told, or says it again', async () => {
  for (const message of [
    { say: 'joined', room: 'lobby' },
    { say: 'hello', subjects: [] },
  ] as const) {
    expect(() => way.say(message)).toThrow(full('message'));
  }
  isFull = false;
  await vi.advanceTimersByTimeAsync(1_000);
  expect([said, vi.getTimerCount()]).toEqual([[], 0]);
});

it('keeps no more than a bound of subjects: beyond it the gap is one of all', async () => {
  for (let i = 0; i <= 100_000; i++) way.notTaken({ say: 'room', room: `r${i}`, data: '' });
  isFull = false;
  await vi.advanceTimersByTimeAsync(100);
  expect(said).toEqual([{ say: 'notTaken', subjects: [''], publications: 100_001 }]);
});

it('tells of many in messages of moderate length, and of each once where the room ends in between', async () => {
  let left = 2;
  const some = new WayToBroker((message) => {
    if (left-- <= 0) throw new ServerError('ERR_MESSAGE_QUEUE_FULL', { workerId: 4, limitBytes: 1000 });
    said.push(message);
  });
  for (let i = 0; i < 1_200; i++) some.notTaken({ say: 'room', room: `r${i}`, data: '' });
  await vi.advanceTimersByTimeAsync(100);
  left = 10;
  await vi.advanceTimersByTimeAsync(100);
  const all = said as Extract<ToBroker, { say: 'notTaken' }>[];
  expect(all.map(({ subjects, publications }) => [subjects.length, publications])).toEqual([
    [500, 1200],
    [500, 0],
    [200, 0],
  ]);
  expect(new Set(all.flatMap(({ subjects }) => subjects)).size).toBe(1200);
});
