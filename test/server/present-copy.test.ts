import { beforeEach, expect, it } from 'vitest';
import type { KeptMember } from '../../src/cluster/messages.js';
import { PresentCopy } from '../../src/server/present-copy.js';

const kept = (member: string, meta: unknown = null): KeptMember => ({
  ...{ key: 'lobby', member, meta, ttlMs: 400, keeper: 1 },
});

let logged: unknown[][];
const open = (mostBytes?: number): PresentCopy =>
  new PresentCopy({ warn: (...line: unknown[]) => logged.push(line) }, mostBytes);

beforeEach(() => {
  logged = [];
});

it('has what was put last and not dropped', () => {
  const copy = open();
  copy.take([kept('ann'), kept('bob'), kept('cy')]);
  copy.take([kept('ann', 2), { key: 'lobby', member: 'bob' }, { key: 'elsewhere', member: 'cy' }]);
  expect(copy.page(0)).toEqual({ members: [kept('cy'), kept('ann', 2)], next: 0 });
});

it('is read in pages, as it was when the first one was asked for', () => {
  const copy = open();
  const all = Array.from({ length: 100 }, (_, i) => kept(`m${i}`, 'x'.repeat(10_000)));
  copy.take(all);
  const members: KeptMember[] = [];
  let page = 0;
  do {
    const { members: some, next } = copy.page(page);
    expect(JSON.stringify(some).length).toBeLessThan(300_000);
    members.push(...some);
    if (page === 0) copy.take([kept('late'), { key: 'lobby', member: 'm99' }]);
    page = next;
  } while (page > 0);
  expect(members).toEqual(all);
  expect(copy.page(3)).toEqual({ members: [], next: 0 }); // they are read once
});

it('keeps no more than its bound, and says so once', () => {
  const copy = open(JSON.stringify(kept('ann')).length * 2);
  copy.take([kept('ann'), kept('bob'), kept('eve'), kept('dan')]);
  expect(copy.page(0).members).toEqual([kept('ann'), kept('bob')]);
  expect(logged).toEqual([[expect.stringContaining('too many'), expect.objectContaining({ kept: 2 })]]);
  copy.take([{ key: 'lobby', member: 'ann' }, kept('eve')]);
  expect(copy.page(0).members).toEqual([kept('bob'), kept('eve')]);
});
