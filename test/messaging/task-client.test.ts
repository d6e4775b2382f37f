import { AsyncLocalStorage } from 'node:async_hooks';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { TaskClient, type TaskClientParts } from '../../src/messaging/task-client.js';
import type { TaskGiver, TaskOutcome } from '../../src/messaging/task-queue.js';
import { FakeTelemetry } from '../helpers/fake-telemetry.js';

/** A queue that notes; what has ended is told by hand. */
class FakeQueue implements TaskGiver {
  given: [data: unknown, target: number][] = [];
  traces: (string | undefined)[] = [];
  released: number[] = [];
  gaveUp: number[] = [];
  mayGiveUp = true;
  outcomes: [handle: number, outcome: TaskOutcome][] = [];
  hasEnded = false;

  give(data: unknown, target: number, _isJob?: boolean, trace?: string) {
    this.traces.push(trace);
    const handle = this.given.push([data, target]) - 1;
    return { id: 100 + handle, handle };
  }

  giveUp(handle: number): boolean {
    this.gaveUp.push(handle);
    return this.mayGiveUp;
  }

  takeEnded(callback: (handle: number, outcome: TaskOutcome) => void): boolean {
    for (const [handle, outcome] of this.outcomes.splice(0)) callback(handle, outcome);
    return false;
  }

  release(handle: number): void {
    this.released.push(handle);
  }
}

let queue: FakeQueue;
let ended: unknown[][];

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  queue = new FakeQueue();
  ended = [];
});

afterEach(() => {
  vi.useRealTimers();
});

function clientOf(more: Partial<TaskClientParts> = {}): TaskClient {
  return new TaskClient({
    ...{ queue, firstTaskWorker: 2, endTaskWorker: 4, ownTaskWorkerId: undefined, timeoutMs: 500 },
    ended: (...told) => ended.push(told),
    call: (callback) => void callback(),
    ...more,
  });
}

/** A task ends, and the client takes notice. */
function end(client: TaskClient, handle: number, value: unknown, failed = false): void {
  queue.outcomes.push([handle, { failed, value }]);
  client.take();
}

const counts = ({ pending, awaited }: TaskClient): number[] => [pending, awaited];
const failure = (code: string, detail: object) => expect.objectContaining({ code, detail });

it('onFinish finds what was set where the task was given', () => {
  const storage = new AsyncLocalStorage<string>();
  const found: (string | undefined)[] = [];
  const client = clientOf();
  storage.run('of the giver', () => client.give('a', undefined, () => found.push(storage.getStore())));
  end(client, 0, 'result');
  expect(found).toEqual(['of the giver']);
});

describe('a durable job', () => {
  it('ends with its result or its error, however long that takes', async () => {
    const client = clientOf();
    const jobs = [0, 1].map((data) => client.askJob(data, new AbortController().signal));
    expect([queue.given, counts(client)]).toEqual([
      [
        [0, -1],
        [1, -1],
      ],
      [2, 2],
    ]);
    vi.advanceTimersByTime(1e9);
    end(client, 0, 'result');
    end(client, 1, new Error('failed'), true);
    expect(await jobs[0]).toBe('result');
    await expect(jobs[1]).rejects.toThrow('failed');
    expect([queue.gaveUp, counts(client)]).toEqual([[], [0, 0]]);
  });

  it('is given up by its signal, once, and not after its end', async () => {
    const client = clientOf();
    const [lost, done] = [new AbortController(), new AbortController()];
    const job = client.askJob('lost', lost.signal);
    const other = client.askJob('done', done.signal);
    end(client, 1, 'result');
    await other;
    for (const { signal } of [lost, done]) expect(signal.aborted).toBe(false);
    lost.abort(new Error('lease lost'));
    done.abort();
    await expect(job).rejects.toThrow('lease lost');
    expect([queue.gaveUp, counts(client)]).toEqual([[0], [0, 0]]);
  });

  it('that was given up already is not given', async () => {
    const client = clientOf();
    await expect(client.askJob('data', AbortSignal.abort(new Error('gone')))).rejects.toThrow('gone');
    expect(queue.given).toEqual([]);
  });
});

describe('a task that is given', () => {
  it('has an id, and tells its end to its callback', () => {
    const client = clientOf();
    const told: unknown[][] = [];
    expect(client.give('data', undefined, (...all) => told.push(all))).toBe(100);
    expect([queue.given, counts(client)]).toEqual([[['data', -1]], [1, 0]]);
    end(client, 0, 'result');
    expect([told, ended, queue.released, counts(client)]).toEqual([[[100, 'result', undefined]], [], [0], [0, 0]]);
  });

  it('that fails tells the error, and no result', () => {
    const client = clientOf();
    const told: unknown[][] = [];
    client.give('data', 2, (...all) => told.push(all));
    const error = new Error('failed');
    end(client, 0, error, true);
    expect(told).toEqual([[100, undefined, error]]);
  });

  it('without a callback tells its end to all', () => {
    const client = clientOf();
    const error = new Error('failed');
    for (let i = 0; i < 2; i++) client.give(i, undefined, undefined);
    end(client, 0, 'result');
    end(client, 1, error, true);
    expect(ended).toEqual([
      [100, 'result', undefined],
      [101, undefined, error],
    ]);
  });

  it('by a process that has died is told to nobody, and its handle is free', () => {
    const client = clientOf();
    end(client, 7, 'result');
    expect([ended, queue.released, counts(client)]).toEqual([[], [7], [0, 0]]);
  });

  it('with a large result ends when that is read, and is failed when it cannot be', async () => {
    const client = clientOf();
    for (let i = 0; i < 2; i++) client.give(i, undefined, undefined);
    const error = new Error('unreadable');
    end(client, 0, Promise.resolve('large'));
    end(client, 1, Promise.reject(error));
    expect([ended, queue.released, client.pending]).toEqual([[], [], 2]);
    await new Promise(setImmediate);
    expect(ended).toEqual([
      [100, 'large', undefined],
      [101, undefined, error],
    ]);
    expect([queue.released, client.pending]).toEqual([[0, 1], 0]);
  });
});

describe('a task that is awaited', () => {
  it('resolves to its result', async () => {
    const client = clientOf();
    const result = client.ask('data', 3);
    expect([queue.given, counts(client)]).toEqual([[['data', 3]], [1, 1]]);
    end(client, 0, { n: 1 });
    expect(await result).toEqual({ n: 1 });
    expect([counts(client), vi.getTimerCount()]).toEqual([[0, 0], 0]);
  });

  it('rejects with what it has thrown', async () => {
    const client = clientOf();
    const result = client.ask('data', undefined);
    const error = new Error('failed');
    end(client, 0, error, true);
    await expect(result).rejects.toBe(error);
    expect(ended).toEqual([]);
  });

  it('is given up when its time is over, not before', async () => {
    const client = clientOf();
    const result = client.ask('data', undefined);
    const failed = expect(result).rejects.toEqual(failure('ERR_TASK_TIMEOUT', { taskId: 100, timeoutMs: 500 }));
    vi.advanceTimersByTime(499);
    expect([queue.gaveUp, counts(client)]).toEqual([[], [1, 1]]);
    vi.advanceTimersByTime(1);
    await failed;
    expect([queue.gaveUp, counts(client)]).toEqual([[0], [0, 0]]);
  });

  it('that has ended just when its time is over has its result', async () => {
    const client = clientOf();
    queue.mayGiveUp = false;
    const result = client.ask('data', undefined, 20);
    vi.advanceTimersByTime(20);
    end(client, 0, 'in time');
    expect(await result).toBe('in time');
    expect(counts(client)).toEqual([0, 0]);
  });

  it('has time to read its large result', async () => {
    const client = clientOf();
    const result = client.ask('data', undefined, 20);
    let read: (value: unknown) => void = () => {};
    end(client, 0, new Promise((resolve) => (read = resolve)));
    vi.advanceTimersByTime(1000);
    read('large');
    expect([await result, queue.gaveUp]).toEqual(['large', []]);
  });

  it('for longer than a timer can be set waits as long as that', () => {
    const client = clientOf();
    void client.ask('data', undefined, Number.POSITIVE_INFINITY).catch(() => {});
    vi.advanceTimersByTime(0x7fffffff - 1);
    expect(queue.gaveUp).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(queue.gaveUp).toEqual([0]);
  });

  it.each([
    [0, 'number 0'],
    [-1, 'number -1'],
    [Number.NaN, 'number NaN'],
    ['5', 'string "5"'],
  ])('has more than no time: %s', async (timeoutMs, received) => {
    const client = clientOf();
    const result = client.ask('data', undefined, timeoutMs as number);
    await expect(result).rejects.toEqual(failure('ERR_TASK_TIMEOUT_VALUE', { received }));
    expect(queue.given).toEqual([]);
  });
});

describe('who runs a task', () => {
  it.each([undefined, -1])('is whoever is free: %s', (target) => {
    clientOf().give('data', target, undefined);
    expect(queue.given).toEqual([['data', -1]]);
  });

  it.each([2, 3])('is the task worker that was named: %i', (target) => {
    clientOf().give('data', target, undefined);
    expect(queue.given).toEqual([['data', target]]);
  });

  it.each([
    [1, 'number 1'],
    [4, 'number 4'],
    [2.5, 'number 2.5'],
    [-2, 'number -2'],
    ['2', 'string "2"'],
  ])('is no other process: %s', async (target, received) => {
    const error = failure('ERR_TASK_WORKER_ID', { received, first: 2, last: 3 });
    expect(() => clientOf().give('data', target as number, undefined)).toThrowError(error);
    await expect(clientOf().ask('data', target as number)).rejects.toEqual(error);
    expect(queue.given).toEqual([]);
  });

  it('is nobody where there are no task workers', () => {
    const client = clientOf({ endTaskWorker: 2 });
    expect(() => client.give('data', undefined, undefined)).toThrowError(failure('ERR_NO_TASK_WORKERS', {}));
  });

  it('is another task worker, by its name, where a task worker asks', () => {
    const client = clientOf({ ownTaskWorkerId: 2 });
    const own = failure('ERR_TASK_IN_TASK_WORKER', { workerId: 2 });
    for (const target of [undefined, -1, 2]) expect(() => client.give('data', target, undefined)).toThrowError(own);
    client.give('data', 3, undefined);
    expect(queue.given).toEqual([['data', 3]]);
  });
});

describe('where an SDK of OpenTelemetry is registered', () => {
  const sdk = new FakeTelemetry();
  afterEach(() => sdk.unregister());

  it('a task goes with the context of the span that sends it', async () => {
    const client = clientOf();
    sdk.register();
    client.give('a', undefined, undefined);
    const asked = client.ask('b', undefined);
    void client.askJob('c', new AbortController().signal);
    end(client, 1, 'result');
    await expect(asked).resolves.toBe('result');
    expect(queue.traces).toEqual(['{"traceparent":"send task"}', '{"traceparent":"send task"}', undefined]);
    expect(sdk.spans.map(({ kind, ends }) => [kind, ends])).toEqual([
      [3, 1],
      [3, 1],
    ]);
    expect(sdk.spans[0]?.attributes['messaging.message.id']).toBe('100');
  });

  it('a task that the queue refuses is an error of that span', () => {
    sdk.register();
    queue.give = () => {
      throw new Error('full');
    };
    expect(() => clientOf().give('a', undefined, undefined)).toThrow('full');
    expect(sdk.spans.at(-1)).toMatchObject({ thrown: ['full'], ends: 1 });
  });
});
