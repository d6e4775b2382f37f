import { AsyncLocalStorage } from 'node:async_hooks';
import { closeSync } from 'node:fs';
import { serialize } from 'node:v8';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Arena } from '../../src/shared/arena.js';
import { reportTo } from '../../src/shared/report.js';
import { MessageRing } from '../../src/shared/topic/message-ring.js';
import { type Subscription, Subscriptions } from '../../src/shared/topic/subscriptions.js';
import { settleDeadTopic, Topic, topicFigures } from '../../src/shared/topic.js';
import { Waiting } from '../../src/shared/waiting/waiting.js';
import { FakeClock } from '../helpers/fake-clock.js';

const arenas: Arena[] = [];
afterEach(() => {
  for (const { descriptor } of arenas.splice(0)) closeSync(descriptor);
});

interface Opened {
  readonly bell?: number;
  readonly ring?: (bell: number) => void;
  readonly atStep?: () => void;
  readonly batchBytes?: number;
  readonly failed?: (error: unknown) => void;
}

/** Several processes, made up, over one topic of 256 bytes: up to 8 small messages. */
function processes() {
  const dead = new Set<number>();
  const clock = new FakeClock();
  const kernel = { isRunning: (pid: number) => !dead.has(pid), startTimeOf: () => '1' };
  const arena = Arena.create({ pid: 1, ...kernel });
  arenas.push(arena);
  const schema = 'a topic of 256 bytes, values of 100 bytes, for 3 subscribers';
  const object = (pid: number) =>
    Arena.open(arena.descriptor, { pid, ...kernel }).attach({ kind: 'topic', name: 'it', schema, bytes: 4096 });
  const open = (pid: number, { bell, ring = () => {}, failed = () => {}, ...parts }: Opened = {}) => {
    const waiting = new Waiting({ clock, soon: (callback) => void clock.setTimeout(callback, 0) });
    if (bell !== undefined) waiting.setRinger(ring, bell);
    const messages = new MessageRing(object(pid), { patienceMs: 20, ...parts });
    const subscriptions = new Subscriptions<unknown>(messages, { waiting, failed });
    const publish = (value: unknown) => {
      for (const word of messages.publish(serialize(value))) waiting.ring(messages.object.owners, word);
    };
    const subscribe = (call: (value: unknown) => unknown, onGap?: Subscription<unknown>['onGap']) =>
      subscriptions.add({ call, onGap });
    const collect = () => {
      const got: unknown[] = [];
      subscribe(
        (value) => got.push(value),
        ({ missed }) => got.push({ missed }),
      );
      return got;
    };
    return { waiting, messages, publish, subscribe, collect };
  };
  const pass = (ms = 30) => clock.advance(ms);
  return { dead, arena, object, open, pass };
}

describe('a topic', () => {
  it('gives each value to the subscribers of all processes, the publisher too, in one order', () => {
    const { object, open, pass } = processes();
    const [one, two, three] = [open(10), open(11), open(12)];
    const got = [one.collect(), two.collect(), two.collect()];
    one.publish({ n: 1 });
    three.publish('two');
    two.publish(undefined);
    pass();
    expect(got).toEqual(Array(3).fill([{ n: 1 }, 'two', undefined]));
    expect(topicFigures(object(1))).toEqual({ bytes: 4096, published: 3, gaps: 0, unreadable: 0, subscribers: 2 });
  });

  it('gives a subscriber what is published afterwards, also where another one of its process has yet to read', () => {
    const { open, pass } = processes();
    const one = open(10);
    open(11).publish(0);
    const early = one.collect();
    open(11).publish(1);
    const late = one.collect();
    open(11).publish(2);
    pass();
    expect([early, late]).toEqual([[1, 2], [2]]);
  });

  it('goes over the end of its ring with values of all lengths', () => {
    const { open, pass } = processes();
    const publisher = open(10);
    const got = open(11).collect();
    const values = Array.from({ length: 300 }, (_, index) => 'x'.repeat(index % 97));
    for (const value of values) {
      publisher.publish(value);
      pass();
    }
    expect(got).toEqual(values);
  });

  it('tells one that was overtaken how many it has missed, and goes on with the oldest there is', () => {
    const { object, open, pass } = processes();
    const slow = open(10);
    const got = slow.collect();
    for (let n = 0; n < 20; n++) open(11).publish(n);
    pass();
    expect(got).toEqual([{ missed: 12 }, 12, 13, 14, 15, 16, 17, 18, 19]);
    expect(topicFigures(object(1))).toMatchObject({ published: 20, gaps: 1 });
  });

  it('tells each subscription only of what it would have got', () => {
    const { open, pass } = processes();
    const slow = open(10);
    const early = slow.collect();
    for (let n = 0; n < 4; n++) open(11).publish(n);
    const late = slow.collect();
    for (let n = 4; n < 20; n++) open(11).publish(n);
    const latest = slow.collect();
    pass();
    expect([early[0], late[0], latest]).toEqual([{ missed: 12 }, { missed: 8 }, []]);
  });

  it('rings a subscriber once until it has read', () => {
    const { open, pass } = processes();
    const rung: number[] = [];
    const publisher = open(10, { bell: 1, ring: (bell) => rung.push(bell) });
    const subscriber = open(11, { bell: 2 });
    const got = subscriber.collect();
    for (let n = 0; n < 3; n++) publisher.publish(n);
    expect(rung).toEqual([2]);
    subscriber.waiting.look();
    expect(got).toEqual([0, 1, 2]);
    publisher.publish(3);
    expect(rung).toEqual([2, 2]);
    pass(60);
    expect(got).toEqual([0, 1, 2, 3]);
  });

  it('rings one that has subscribed before it got its doorbell', () => {
    const { open } = processes();
    const rung: number[] = [];
    const subscriber = open(11);
    subscriber.collect();
    subscriber.waiting.setRinger(() => {}, 5);
    open(10, { bell: 1, ring: (bell) => rung.push(bell) }).publish(0);
    expect(rung).toEqual([5]);
  });

  it('calls each in a context of its own', () => {
    const { open, pass } = processes();
    const { subscribe, publish } = open(1);
    const storage = new AsyncLocalStorage<string>();
    const found: (string | undefined)[] = [];
    const note = () => {
      found.push(storage.getStore());
      storage.enterWith('left by another');
    };
    for (const call of [note, note]) subscribe(call);
    for (const value of ['a', 'b']) publish(value);
    pass();
    expect(found).toEqual([undefined, undefined, undefined, undefined]);
  });

  it('calls the others when a callback throws', () => {
    const { open, pass } = processes();
    const failed: unknown[] = [];
    const one = open(10, { failed: (error) => failed.push(error) });
    one.subscribe(() => {
      throw new Error('broken');
    });
    const got = one.collect();
    for (const n of [1, 2]) open(11).publish(n);
    pass();
    expect([got, failed.map(String)]).toEqual([[1, 2], Array(2).fill('Error: broken')]);
  });

  it('calls nobody who has unsubscribed, in a callback too, and frees the place of its process', () => {
    const { object, open, pass } = processes();
    const one = open(10);
    const got: unknown[] = [];
    const end = one.subscribe((value) => {
      got.push(value);
      end();
      end();
      endOther();
    });
    const endOther = one.subscribe((value) => got.push(value));
    for (const n of [1, 2]) open(11).publish(n);
    pass();
    expect([got, one.waiting.size]).toEqual([[1], 0]);
    expect(topicFigures(object(1))['subscribers']).toBe(0);
    const again = one.collect();
    open(11).publish(3);
    pass();
    expect(again).toEqual([3]);
  });

  it('lets a callback publish and subscribe', () => {
    const { open, pass } = processes();
    const one = open(10);
    let inner: unknown[] | undefined;
    one.subscribe((value) => {
      if (value !== 1) return;
      one.publish(2);
      inner ??= one.collect();
    });
    open(11).publish(1);
    pass();
    expect(inner).toEqual([]);
    open(11).publish(3);
    pass();
    expect(inner).toEqual([3]);
  });

  it('reads on in a later turn when there is more than a batch', () => {
    const { open, pass } = processes();
    const one = open(10, { batchBytes: 64 });
    const got = one.collect();
    for (let n = 0; n < 8; n++) open(11).publish(n);
    one.waiting.look();
    expect(got).toEqual([0, 1]);
    pass(0);
    expect(got).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  it('passes over what cannot be read, counts it, and says so once', () => {
    const { object, open, pass } = processes();
    const reported = vi.fn();
    reportTo(reported);
    const got = [open(10).collect(), open(11).collect()];
    const publisher = open(12);
    publisher.publish(1);
    for (const bad of [Buffer.from('7e7e', 'hex'), Buffer.alloc(0), Buffer.from('ff0f', 'hex')]) {
      publisher.messages.publish(bad);
      pass();
    }
    publisher.publish(2);
    pass();
    expect(got).toEqual([
      [1, 2],
      [1, 2],
    ]);
    expect(topicFigures(object(1))).toMatchObject({ published: 5, unreadable: 6 });
    expect(reported.mock.calls.map(([, { topic }]) => topic)).toEqual(['it', 'it']);
  });

  it('has no place for one process too many, until one of them has died', () => {
    const { dead, arena, object, open } = processes();
    for (const pid of [10, 11, 12]) open(pid).collect();
    expect(() => open(13).collect()).toThrow(/has room for 3 subscribers, and all are in use/);
    open(14).publish(1);
    dead.add(11);
    expect(topicFigures(object(1))['subscribers']).toBe(2);
    open(13).collect();
    arena.owners.markDead(12);
    settleDeadTopic(object(1));
    open(14).collect();
    expect(topicFigures(object(1))['subscribers']).toBe(3);
  });

  it('says which bound is too low, and publishes nothing', () => {
    const { object, open } = processes();
    expect(() => open(10).publish('x'.repeat(100))).toThrow(/takes a value of at most 100 bytes \("maxValueBytes"\)/);
    expect(topicFigures(object(1))['published']).toBe(0);
  });

  it('is free again where publishing or reading throws in the midst of it', () => {
    const { open, pass } = processes();
    const one = open(10);
    const got = one.collect();
    const wrong = new Proxy(Buffer.from('x'), {
      get: (target, name) => {
        if (name === 'copy') throw new Error('no memory');
        return Reflect.get(target, name);
      },
    });
    expect(() => open(11).messages.publish(wrong)).toThrow('no memory');
    expect(() => one.messages.read(0, undefined as never)).toThrow(TypeError);
    open(12).publish(1);
    pass();
    expect(got).toEqual([1]);
  });

  it('fails to publish while a process is stopped in the midst of it, and does not hold up subscribers', () => {
    const { open, pass } = processes();
    const one = open(10);
    const got = one.collect();
    const stopped = open(11, { atStep: dyingAt(8) });
    expect(() => stopped.publish(1)).toThrow(Death);
    expect(() => open(12).publish(2)).toThrow(/was not changed: a process that is stopped/);
    pass(100);
    expect(got).toEqual([]);
  });
});

class Death extends Error {}

/** Dies at the n-th step of all that it does. */
function dyingAt(step: number, onDeath: () => void = () => {}): () => void {
  let left = step;
  return () => {
    if (left-- > 0) return;
    onDeath();
    throw new Death();
  };
}

describe('a process that dies at any step', () => {
  it('of publishing leaves its whole message or none, and the others go on', () => {
    let steps = 0;
    while (dieAt(steps)) steps++;
    expect(steps).toBeGreaterThan(15);
  });

  /** Its message needs the room of two, and goes over the end of the ring. @returns false: it was through before that step */
  function dieAt(step: number): boolean {
    const { dead, object, open, pass } = processes();
    const got = open(10).collect();
    for (let n = 0; n < 14; n++) {
      open(11).publish(n);
      pass();
    }
    const unread = open(12);
    const late = unread.collect();
    const value = 'x'.repeat(60);
    const dies = open(13, { atStep: dyingAt(step, () => dead.add(13)) });
    const isThrough = tries(() => dies.publish(value));
    pass(300);
    open(11).publish('after');
    pass(300);
    const isThere = got.length === 16;
    expect(got.slice(0, 14), `step ${step}`).toEqual(Array.from({ length: 14 }, (_, n) => n));
    expect(got.slice(14), `step ${step}`).toEqual(isThere ? [value, 'after'] : ['after']);
    expect(late, `step ${step}`).toEqual(isThere ? [value, 'after'] : ['after']);
    if (isThrough) expect(isThere).toBe(true);
    expect(topicFigures(object(1)), `step ${step}`).toMatchObject({ published: isThere ? 16 : 15, gaps: 0 });
    for (const { descriptor } of arenas.splice(0)) closeSync(descriptor);
    return !isThrough;
  }

  it('of publishing has its message read at once when the one who reaped it says so', () => {
    let whole = 0;
    for (let step = 0; step < 15; step++) {
      const { dead, arena, object, open } = processes();
      const subscriber = open(11, { bell: 2 });
      const got = subscriber.collect();
      const manager = open(1, { bell: 1, ring: (bell) => bell === 2 && subscriber.waiting.look() });
      const dies = open(13, { bell: 3, atStep: dyingAt(step, () => dead.add(13)) });
      tries(() => dies.publish('last'));
      expect(got).toEqual([]);
      dead.add(13);
      arena.owners.markDead(13);
      settleDeadTopic(object(1), manager.waiting);
      expect(got, `step ${step}`).toEqual(dies.messages.published === 1 ? ['last'] : []);
      whole += got.length;
      for (const { descriptor } of arenas.splice(0)) closeSync(descriptor);
    }
    expect(whole).toBeGreaterThan(1);
  });

  it('of subscribing and reading keeps nobody from going on', () => {
    for (let step = 0; step < 6; step++) {
      const { dead, open } = processes();
      const one = open(10);
      const got = one.collect();
      const dies = open(11, { atStep: dyingAt(step, () => dead.add(11)) });
      tries(() => dies.collect());
      open(12).publish(1);
      tries(() => dies.waiting.look());
      open(12).publish(2);
      one.waiting.look();
      expect(got, `step ${step}`).toEqual([1, 2]);
    }
  });

  it('tells those that have not read of the room it had made', () => {
    const { dead, open, pass } = processes();
    const got = open(10).collect();
    for (let n = 0; n < 8; n++) open(11).publish(n);
    // The four words of the state, the version, and the first of the message.
    const dies = open(13, { atStep: dyingAt(6, () => dead.add(13)) });
    expect(() => dies.publish('x'.repeat(60))).toThrow(Death);
    pass(300);
    expect(got).toEqual([{ missed: 3 }, 3, 4, 5, 6, 7]);
  });

  function tries(work: () => void): boolean {
    try {
      work();
      return true;
    } catch (error) {
      if (error instanceof Death) return false;
      throw error;
    }
  }
});

describe('the declaration of a topic', () => {
  const coded = (code: string) => expect.objectContaining({ code });

  it('refuses what it cannot use', () => {
    for (const options of [
      { bytes: 4095 },
      { bytes: 4100 },
      { bytes: 8192, maxValueBytes: 4097 },
      { subscribers: 0 },
    ]) {
      expect(() => new Topic(options), JSON.stringify(options)).toThrow(coded('ERR_OPTION_RANGE'));
    }
    expect(() => new Topic(null as never)).toThrow(coded('ERR_OPTION_TYPE'));
    expect(() => new Topic({ name: 1 as never })).toThrow(coded('ERR_SHARED_NAME'));
    const topic = new Topic();
    expect(() => topic.subscribe(1 as never)).toThrow(coded('ERR_OPTION_TYPE'));
    expect(() => topic.subscribe(() => {}, { onGap: 1 as never })).toThrow(coded('ERR_OPTION_TYPE'));
    expect(() => topic.subscribe(() => {}, null as never)).toThrow(coded('ERR_OPTION_TYPE'));
    expect(() => topic.publish(() => {})).toThrow(/could not be cloned/);
  });

  it('makes one that its own process can use', async () => {
    const topic = new Topic<{ n: number }>({ name: 'own' });
    const got: number[] = [];
    let end = (): void => {};
    const all = new Promise<void>((resolve) => {
      end = topic.subscribe(({ n }) => {
        got.push(n);
        if (n === 2) resolve();
      });
    });
    topic.publish({ n: 1 });
    expect(got).toEqual([]);
    new Topic<{ n: number }>({ name: 'own' }).publish({ n: 2 });
    await all;
    end();
    expect(got).toEqual([1, 2]);
  });
});
