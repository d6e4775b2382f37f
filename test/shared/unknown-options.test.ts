import { describe, expect, it } from 'vitest';
import { Atomic } from '../../src/shared/atomic.js';
import { Lock } from '../../src/shared/lock.js';
import { Once } from '../../src/shared/once.js';
import { RateLimiter } from '../../src/shared/rate-limiter.js';
import { Semaphore } from '../../src/shared/semaphore.js';
import { Topic } from '../../src/shared/topic.js';

const mistyped = { timeoutMS: 5, waiter: 5, subscriber: 5, keyByte: 5, onGaps: () => {}, bursts: 1 };

/** Only that one is given. */
const only = (name: keyof typeof mistyped): never => ({ [name]: mistyped[name] }) as never;

const lock = new Lock();
const semaphore = new Semaphore(1);

describe('an option whose name is mistyped', () => {
  it.each<[what: string, call: () => unknown, unknown: string, known: string]>([
    ['new Lock', () => new Lock(only('waiter')), 'waiter', 'name, waiters'],
    ['lock.acquire', () => lock.acquire(only('timeoutMS')), 'timeoutMS', 'shared, timeoutMs, signal'],
    ['lock.tryAcquire', () => lock.tryAcquire(only('timeoutMS')), 'timeoutMS', 'shared'],
    ['lock.with', () => lock.with(() => {}, only('timeoutMS')), 'timeoutMS', 'shared, timeoutMs, signal'],
    ['new Semaphore', () => new Semaphore(1, only('waiter')), 'waiter', 'name, waiters'],
    ['semaphore.acquire', () => semaphore.acquire(1, only('timeoutMS')), 'timeoutMS', 'timeoutMs, signal'],
    ['new Atomic', () => new Atomic(0, only('waiter')), 'waiter', 'name, waiters'],
    ['Atomic.big', () => Atomic.big(0n, only('waiter')), 'waiter', 'name, waiters'],
    ['atomic.wait', () => new Atomic().wait(0, only('timeoutMS')), 'timeoutMS', 'timeoutMs, signal'],
    ['new Once', () => new Once(only('keyByte')), 'keyByte', 'name, keys, keyBytes, valueBytes, waiters'],
    ['once.run', () => new Once().run('a', () => 1, only('timeoutMS')), 'timeoutMS', 'leaseMs, timeoutMs, signal'],
    ['new Topic', () => new Topic(only('subscriber')), 'subscriber', 'name, bytes, maxValueBytes, subscribers'],
    ['topic.subscribe', () => new Topic().subscribe(() => {}, only('onGaps')), 'onGaps', 'onGap'],
    [
      'new RateLimiter',
      () => new RateLimiter(only('bursts')),
      'bursts',
      'name, keys, perSecond, burst, limit, windowMs',
    ],
  ])('is refused by %s, with those that there are', async (_, call, unknown, known) => {
    const refusal = await (async () => call())().then(
      () => undefined,
      (error: unknown) => error,
    );
    const name = `options.${unknown}`;
    expect(refusal).toMatchObject({ code: 'ERR_OPTION_UNKNOWN', detail: { name, known } });
    expect(String(refusal)).toContain(`There is no option "${name}"`);
    expect(String(refusal)).toContain(`There are: ${known}.`);
  });
});
