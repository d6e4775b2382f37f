import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Overflow } from '../../src/messaging/overflow.js';
import { Purpose } from '../../src/messaging/record.js';
import { eventually } from '../helpers/eventually.js';
import { type Member, MessagingWorld } from '../helpers/messaging-world.js';
import { deep } from '../helpers/unreadable.js';

const always = (): boolean => true;

describe('messages', () => {
  let world: MessagingWorld;
  let sender: Member;
  let receiver: Member;
  let got: [unknown, number][];

  beforeEach(() => {
    world = new MessagingWorld({ shape: { messageSlots: 2000 } });
    [sender, receiver, got] = [world.member(0), world.member(1), []];
    receiver.messenger.receive(1, (data, from) => got.push([data, from]));
  });
  afterEach(() => world.close());

  const drain = (): void => {
    for (let i = 0; i < 100; i++) {
      receiver.messenger.take(always);
      sender.queue.takeEnded(() => {});
      sender.messenger.flush();
    }
  };

  it('arrive in the order of their sender, with who sent them', async () => {
    await sender.messenger.send({ n: 1 }, 1);
    await world.manager().messenger.send('from the manager', 1);
    await sender.messenger.send('second', 1);
    drain();
    expect(got).toEqual([
      [{ n: 1 }, 0],
      ['second', 0],
      ['from the manager', -1],
    ]);
  });

  it('of more than 512 KiB are owed until they were delivered, also where the process takes no more', async () => {
    const whenDelivered = vi.fn(() => expect(got).toHaveLength(1));
    await sender.messenger.send('x'.repeat(600_000), 1);
    await sender.messenger.send('behind it', 1);
    expect(receiver.messenger.reading).toBe(0);
    drain();
    receiver.messenger.stopReceiving();
    receiver.messenger.whenDelivered(whenDelivered);
    expect([receiver.messenger.reading, got.length]).toEqual([1, 0]);
    await eventually(() => expect(whenDelivered).toHaveBeenCalledOnce());
    expect(receiver.messenger.reading).toBe(0);
    receiver.messenger.receive(1, (data, from) => got.push([data, from]));
    drain();
    expect(got.map(([data]) => (data as string).length)).toEqual([600_000, 9]);
  });

  it('that the shared memory does not take say what the kernel has said', async () => {
    const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    const write = vi.spyOn(Overflow.prototype, 'write').mockImplementation(() => {
      throw full;
    });
    const sending = async (): Promise<void> => sender.messenger.send('x'.repeat(900), 1);
    await expect(sending()).rejects.toMatchObject({
      code: 'ERR_DATA_STORE',
      message: expect.stringMatching(/9\d\d bytes .*: ENOSPC: no space left on device, write/),
      cause: full,
    });
    write.mockRestore();
    await sender.messenger.send('y', 1);
    drain();
    expect(got).toEqual([['y', 0]]);
  });

  it('beyond what the queue holds wait with the sender, up to a limit, and still arrive in order', async () => {
    const sent = Array.from({ length: 1024 }, (_, i) => sender.messenger.send(i, 1));
    await Promise.all(sent);
    let taken = false;
    const held = sender.messenger.send(1024, 1);
    void held.then(() => (taken = true));
    await sender.messenger.send('another way', 2);
    expect(sender.messenger.holding).toBe(1);
    expect(taken).toBe(false);
    expect(() => sender.messenger.send('x'.repeat(1000), 1)).toThrow(
      expect.objectContaining({ code: 'ERR_MESSAGE_QUEUE_FULL' }),
    );
    drain();
    await held;
    expect(sender.messenger.holding).toBe(0);
    expect(got.map(([data]) => data)).toEqual(Array.from({ length: 1025 }, (_, i) => i));
  });

  describe('for a receiver that takes them', () => {
    const standing = [1, 2, 4, 5];
    beforeEach(() => {
      world.close();
      world = new MessagingWorld({ shape: { userProcessNum: 2, messageSlots: 3072 }, limitBytes: 100_000 });
      [sender, receiver] = [world.member(0), world.member(3)];
      receiver.messenger.receive(3, (data, from) => got.push([data, from]));
    });
    const fill = (): void => {
      for (const id of standing) {
        expect(() => {
          for (let i = 0; i < 5000; i++) void sender.messenger.send(i, id);
        }).toThrow(expect.objectContaining({ code: 'ERR_MESSAGE_QUEUE_FULL' }));
      }
    };

    it('find room while others take none, and all their room is full', () => {
      fill();
      const holding = sender.messenger.holding;
      for (let i = 0; i < 5000; i++) {
        void sender.messenger.send(i, 3);
        expect(sender.messenger.holding).toBe(holding);
        receiver.messenger.take(always);
        sender.queue.takeEnded(() => {});
      }
      expect(got).toHaveLength(5000);
    });

    it('may be held meanwhile', () => {
      fill();
      const holding = sender.messenger.holding;
      for (let i = 0; i < 200; i++) void sender.messenger.send(i, 3);
      expect(sender.messenger.holding).toBeGreaterThan(holding);
      drain();
      expect(sender.messenger.holding).toBe(holding);
      expect(got.map(([data]) => data)).toEqual(Array.from({ length: 200 }, (_, i) => i));
    });

    it('find room also for the successor of a sender that left all of that', () => {
      fill();
      world.manager().keeper.recover({ peer: sender.peer, workerId: 0, exitCode: 1, signal: '', why: '' });
      sender = world.member(0);
      fill();
      const holding = sender.messenger.holding;
      void sender.messenger.send('first words', 3);
      expect(sender.messenger.holding).toBe(holding);
      drain();
      expect(got).toEqual([['first words', 0]]);
    });
  });

  it('ask for a turn when all places of the sender are taken by messages that have arrived', () => {
    let asked = 0;
    sender.messenger.wantsTurn = () => asked++;
    for (let i = 0; i < 2000; i++) {
      void sender.messenger.send(i, 1);
      receiver.messenger.take(always);
    }
    void sender.messenger.send('one more', 1);
    expect([asked, sender.messenger.holding]).toEqual([1, 1]);
    drain();
    expect(got).toHaveLength(2001);
  });

  it('that are large do not let later ones of the same sender pass, but those of others', async () => {
    const large = Buffer.alloc(2_000_000, 3);
    void sender.messenger.send(large, 1);
    void sender.messenger.send('behind', 1);
    void world.member(2).messenger.send('other', 1);
    receiver.messenger.take(always);
    receiver.messenger.take(always);
    expect(got).toEqual([['other', 2]]);
    await new Promise<void>((resolve) => (receiver.messenger.wantsTurn = resolve));
    receiver.messenger.take(always);
    expect(large.equals(got[1]?.[0] as Buffer)).toBe(true);
    expect(got[2]).toEqual(['behind', 0]);
  });

  it('wait for the successor of a receiver that has gone; the one in its hand goes with it', async () => {
    for (const text of ['in its hand', 'first', 'second']) void sender.messenger.send(text, 1);
    const dying = world.member(1);
    dying.messenger.receive(1, () => {
      throw new Error('it dies here');
    });
    expect(() => dying.messenger.take(always)).toThrow('it dies here');
    world.manager().keeper.recover({ peer: dying.peer, workerId: 1, exitCode: 1, signal: '', why: '' });
    drain();
    expect(got.map(([data]) => data)).toEqual(['first', 'second']);
  });

  it('of a sender that has gone still arrive', () => {
    void sender.messenger.send('last words', 1);
    void sender.messenger.send(Buffer.alloc(10_000), 1);
    world.manager().keeper.recover({ peer: sender.peer, workerId: 0, exitCode: 1, signal: '', why: '' });
    drain();
    expect(got).toHaveLength(2);
    const successor = world.member(0);
    void successor.messenger.send('first words', 1);
    drain();
    expect(got[2]).toEqual(['first words', 0]);
  });

  it('that cannot be cloned are refused at once', () => {
    expect(() => sender.messenger.send({ f() {} }, 1)).toThrow(
      expect.objectContaining({ code: 'ERR_DATA_NOT_CLONEABLE' }),
    );
  });

  it('of the server hold whatever a user may send', () => {
    const refused = expect.objectContaining({ code: 'ERR_DATA_NOT_CLONEABLE' });
    const held: unknown[] = [];
    receiver.messenger.service = (data) => held.push(data);
    const message = { say: 'ask', question: { ask: 'request', data: deep(1000) } };
    void sender.messenger.send(message, 1, Purpose.service);
    drain();
    expect(held).toEqual([message]);
    expect(() => sender.messenger.send(message, 1)).toThrow(refused);
    expect(() => sender.messenger.send(deep(1050), 1, Purpose.service)).toThrow(refused);
  });

  it('are not counted among tasks', () => {
    void sender.messenger.send('m', 1);
    expect(world.manager().queue.counts()).toMatchObject({ submitted: 0, queued: 0 });
  });
});
