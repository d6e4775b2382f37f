import { beforeEach, expect, it } from 'vitest';
import { type Lease, Leases } from '../../src/cluster/jobs/leases.js';
import { FakeClock } from '../helpers/fake-clock.js';

const LEASE_MS = 6_000;
let clock: FakeClock;
let leases: Leases;
let asked: string[][];
let lost: Lease[];
let problems: unknown[];
let answer: (ids: string[]) => Promise<string[]>;

beforeEach(() => {
  clock = new FakeClock();
  asked = [];
  lost = [];
  problems = [];
  answer = async () => [];
  leases = new Leases({
    leaseMs: LEASE_MS,
    clock,
    renew: (ids, tokens) => {
      asked.push(ids.map((id, nth) => `${id}/${tokens[nth]}`));
      return answer(ids);
    },
    onLost: (lease) => lost.push(lease),
    onProblem: (error) => problems.push(error),
  });
});

/** In steps, so that the answers of the engine come in between. */
async function pass(ms: number): Promise<void> {
  for (let at = 0; at < ms; at += 500) {
    clock.advance(500);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

it('renews each lease at a third of its time, for as long as it is held', async () => {
  const lease = leases.take('a', 't');
  await pass(10 * LEASE_MS);
  expect(asked.length).toBe(30);
  expect(lost).toEqual([]);
  leases.drop(lease);
  await pass(LEASE_MS);
  expect(asked.length).toBe(30);
  expect(lease.signal.aborted).toBe(false);
});

it('a refused lease is lost: told once, and never renewed again', async () => {
  answer = async (ids) => ids.filter((id) => id === 'b');
  const [a, b] = [leases.take('a', '1'), leases.take('b', '2')];
  await pass(LEASE_MS);
  expect(lost).toEqual([b]);
  expect(b.signal.reason).toMatchObject({ code: 'ERR_JOB_LEASE_LOST', detail: { id: 'b' } });
  expect([a.ended, b.ended]).toEqual([undefined, 'lost']);
  expect(asked).toEqual([['a/1', 'b/2'], ['a/1'], ['a/1']]);
});

it('a lease that could not be renewed is lost when its time is up, not before', async () => {
  answer = () => Promise.reject(new Error('down'));
  const lease = leases.take('a', '1');
  await pass(LEASE_MS - 500);
  expect(lost).toEqual([]);
  await pass(500);
  expect(lost).toEqual([lease]);
  expect(problems.length).toBeGreaterThan(1);
});

it('asks no second time for a third of the lease while an answer is awaited; one that is late saves nothing', async () => {
  let reply: ((refused: string[]) => void) | undefined;
  answer = () =>
    new Promise((resolve) => {
      reply ??= resolve;
    });
  const lease = leases.take('a', '1');
  await pass((LEASE_MS * 2) / 3 - 500);
  expect(asked.length).toBe(1);
  await pass(LEASE_MS / 3 + 500);
  expect(asked.length).toBe(2);
  expect(lost).toEqual([lease]);
  reply?.([]);
  await pass(LEASE_MS);
  expect(lost.length).toBe(1);
});

it('a renewal that is never answered is told, and keeps neither it nor leases taken later from being renewed', async () => {
  const never = new Promise<string[]>(() => {});
  answer = () => (asked.length === 1 ? never : Promise.resolve([]));
  leases.take('a', '1');
  await pass(1_000);
  leases.take('b', '2');
  await pass(10 * LEASE_MS);
  expect(lost).toEqual([]);
  expect(problems).toEqual([new Error('Leases were not renewed within 2000 ms')]);
});

it('a job that ended while the engine was asked is not lost by its refusal', async () => {
  const lease = leases.take('a', '1');
  answer = async (ids) => {
    leases.drop(lease);
    return ids;
  };
  await pass(LEASE_MS);
  expect(lost).toEqual([]);
});

it('a job that comes again has lost its former lease, which no longer ends the new one', () => {
  const [former, next] = [leases.take('a', '1'), leases.take('a', '2')];
  expect(lost).toEqual([former]);
  leases.drop(former);
  leases.giveBackAll();
  expect(next.ended).toBe('given back');
  expect(former.ended).toBe('lost');
});

it('an end that the engine refuses to record is a lost lease, once', () => {
  const lease = leases.take('a', '1');
  leases.drop(lease);
  leases.lose(lease);
  leases.lose(lease);
  expect(lost).toEqual([lease]);
});

it('ten thousand are renewed in commands of a thousand', async () => {
  for (let at = 0; at < 10_000; at++) leases.take(`${at}`, 't');
  await pass(LEASE_MS / 2);
  expect(asked.map(({ length }) => length)).toEqual(Array(10).fill(1_000));
});

it('leaves no timer when it is closed', () => {
  expect(clock.pending).toBe(1);
  leases.close();
  expect(clock.pending).toBe(0);
});
