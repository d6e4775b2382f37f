import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Present } from '../../src/cluster/broker/present.js';
import type { FromBroker, KeptMember, PresentChange } from '../../src/cluster/messages.js';
import { PresentCopy } from '../../src/server/present-copy.js';

const of = (member: string, meta: unknown = null) => ({ key: 'lobby', member, meta, ttlMs: 400 });
const kept = (member: string, keeper: number, meta: unknown = null): KeptMember => ({ ...of(member, meta), keeper });

let sent: [FromBroker, number][];
let gone: string[];
let changes: PresentChange[];
let workers: number;
/** The master's. */
let copy: PresentCopy;

beforeEach(() => {
  vi.useFakeTimers();
  [sent, gone, changes, workers] = [[], [], [], 3];
  copy = new PresentCopy({ warn: () => {} });
});
afterEach(() => {
  vi.useRealTimers();
});

function open(isSuccessor: boolean): Present {
  return new Present({
    send: (message, id) => sent.push([message, id]),
    tell: (some) => {
      changes.push(...some);
      copy.take(some);
    },
    gone: ({ member }) => gone.push(member),
    workerNum: () => workers,
    maxWorkerNum: 3,
    isSuccessor,
  });
}

/** A broker process that has ended had these members. */
function earlier(...members: KeptMember[]): void {
  copy.take(members);
}
const restore = (present: Present): void => present.restore(copy.page(0).members);
const names = (present: Present): string[] => [...present.all()].map(({ member }) => member).sort();
const copied = (): KeptMember[] => [...copy.page(0).members];
const settle = (): unknown => vi.advanceTimersByTime(100);
const keeps = () =>
  sent.flatMap(([message, id]) =>
    message.say === 'keep' ? message.members.map(({ member }) => `${member} to ${id}`) : [],
  );

describe('the master', () => {
  it('is told what changes, of each member the last, and its keeper', () => {
    const present = open(false);
    present.put(of('ann', 1), 0);
    present.put(of('ann', 2), 1);
    present.put(of('bob'), 0);
    present.drop(of('bob'), 1);
    expect(changes).toEqual([]);
    settle();
    expect(changes).toEqual([kept('ann', 1, 2), { key: 'lobby', member: 'bob' }]);
    expect(copied()).toEqual([kept('ann', 1, 2)]);
  });

  it('is told nothing that it knows, and at once what is left when the process ends', () => {
    const present = open(false);
    present.put(of('ann', [1]), 0);
    settle();
    present.put(of('ann', [1]), 0);
    settle();
    expect(changes).toHaveLength(1);
    present.put(of('bob'), 0);
    present.close();
    expect(changes).toHaveLength(2);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('gets messages far below 1 MiB', () => {
    const messages: number[] = [];
    const present = new Present({
      ...{ send: () => {}, gone: () => {}, workerNum: () => 1, maxWorkerNum: 1, isSuccessor: false },
      tell: (some) => messages.push(JSON.stringify(some).length),
    });
    for (let i = 0; i < 120; i++) present.put(of(`${'\u0001'.repeat(120)}${i}`, 'x'.repeat(16_300)), 0);
    settle();
    expect(messages).toHaveLength(3);
    expect(Math.max(...messages)).toBeLessThan(1_000_000);
  });
});

describe('what was present with a killed broker process', () => {
  it('goes to the successor of the process that has put it', () => {
    earlier(kept('ann', 0), kept('bob', 1));
    const present = open(true);
    restore(present);
    present.restored();
    expect(names(present)).toEqual(['ann', 'bob']);
    present.sendKept(0);
    expect(keeps()).toEqual(['ann to 0']);
    settle();
    expect(changes).toEqual([]); // the master knows all of it
  });

  it.each(['before', 'after'])(
    'does not have what a living process has dropped, which says so %s the copy comes',
    (when) => {
      earlier(kept('ann', 0), kept('bob', 0), kept('cy', 1));
      const present = open(true);
      const says = (): void => {
        present.put(of('ann'), 0);
        present.saidAll(0);
      };
      if (when === 'before') says();
      restore(present);
      present.restored();
      if (when === 'after') says();
      expect(names(present)).toEqual(['ann', 'cy']);
      expect(gone).toEqual(['bob']);
      settle();
      expect(changes).toEqual([{ key: 'lobby', member: 'bob' }]);
      expect(copied()).toEqual([kept('ann', 0), kept('cy', 1)]);
    },
  );

  it('stays with a successor that has got it, whatever that says later', () => {
    earlier(kept('ann', 0));
    const present = open(true);
    restore(present);
    present.restored();
    present.sendKept(0);
    present.saidAll(0); // its `presentAgain` was on its way
    expect(names(present)).toEqual(['ann']);
  });

  it('is older than what processes have put and dropped meanwhile', () => {
    earlier(kept('ann', 0, 'old'), kept('bob', 0), kept('cy', 0));
    const present = open(true);
    present.put(of('ann', 'new'), 1);
    present.drop(of('bob'), 1);
    present.drop(of('cy'), 1);
    present.put(of('cy', 'again'), 0);
    restore(present);
    present.restored();
    expect([...present.all()]).toEqual([kept('ann', 1, 'new'), kept('cy', 0, 'again')]);
    settle();
    expect(copied()).toEqual(expect.arrayContaining([kept('ann', 1, 'new'), kept('cy', 0, 'again')]));
    expect(copied()).toHaveLength(2);
  });

  it('can be dropped by any process once it is there', () => {
    earlier(kept('ann', 0));
    const present = open(true);
    restore(present);
    present.restored();
    present.drop(of('ann'), 1);
    expect(sent).toEqual([[{ say: 'forget', key: 'lobby', member: 'ann' }, 0]]);
    settle();
    expect([names(present), copied()]).toEqual([[], []]);
  });

  it('is older than what another process has put and dropped since, also when its keeper says it again after that', () => {
    const present = open(true);
    restore(present);
    present.restored();
    present.drop(of('ann'), 1);
    present.put(of('bob', 'new'), 1);
    present.put(of('cy', 'new'), 0);
    expect(['ann', 'bob', 'cy', 'dan'].map((member) => present.again(of(member), 0))).toEqual([
      false,
      false,
      true,
      true,
    ]);
    expect(sent).toEqual(['ann', 'bob'].map((member) => [{ say: 'forget', key: 'lobby', member }, 0]));
    expect([names(present), copied().length]).toEqual([['bob', 'cy', 'dan'], 0]);
    settle();
    expect(copied()).toContainEqual(kept('bob', 1, 'new'));
  });

  it('goes to worker 0 where the worker was scaled away, also when that lives', () => {
    earlier(kept('ann', 2), kept('bob', 0));
    workers = 2;
    const present = open(true);
    present.put(of('bob'), 0);
    present.saidAll(0);
    restore(present);
    present.restored();
    expect([names(present), keeps()]).toEqual([['ann', 'bob'], ['ann to 0']]);
    present.saidAll(0);
    expect(names(present)).toEqual(['ann', 'bob']);
    settle();
    expect(copied()).toContainEqual(kept('ann', 0));
  });
});
