import { expect, it } from 'vitest';
import { Lists } from '../../src/cluster/lists.js';
import type { Question } from '../../src/cluster/messages.js';
import { ServerError } from '../../src/errors/index.js';
import { type Deferred, deferred } from '../../src/util/deferred.js';
import { eventually } from '../helpers/eventually.js';

function open(most = 10) {
  const asked: ({ question: Question; timeoutMs: number } & Deferred<unknown>)[] = [];
  const ask = (question: Question, timeoutMs: number): Promise<unknown> => {
    const answer = deferred<unknown>();
    asked.push({ question, timeoutMs, ...answer });
    return answer.promise;
  };
  return { lists: new Lists({ heartbeatMs: 60_000, ttlMs: 300_000, most, ask }), asked };
}

const presence = { ask: 'presence', key: 'lobby' } as const;
const ofAnn = () =>
  Object.assign([{ member: 'ann', node: 'b', meta: { mood: ['good'] }, stale: false }], { silent: ['c'] });

it('asks once for equal lists at the same time: those that come later share the next question', async () => {
  const { lists, asked } = open();
  const all = Array.from({ length: 9 }, () => lists.ask(presence));
  const room = lists.ask({ ask: 'members', room: 'lobby' });
  expect(asked.map(({ question }) => question)).toEqual([presence, { ask: 'members', room: 'lobby' }]);
  await expect(lists.ask(presence)).rejects.toMatchObject({ code: 'ERR_CLUSTER_FULL' });
  asked[0]?.resolve(ofAnn());
  asked[1]?.resolve([{ node: 'b', members: 1 }]);
  await eventually(() => expect(asked.length).toBe(3));
  asked[2]?.resolve(Object.assign([], { silent: ['d'] }));
  const [first, ...later] = await Promise.all(all);
  expect(first).toEqual(ofAnn());
  for (const each of later) expect(each).toEqual(Object.assign([], { silent: ['d'] }));
  expect(await room).toEqual([{ node: 'b', members: 1 }]);
  expect(asked.length).toBe(3);
  void lists.ask(presence);
  await eventually(() => expect(asked.length).toBe(4));
});

it('gives each asker an array of its own, of what nobody can change', async () => {
  const { lists, asked } = open();
  const all = [lists.ask(presence), lists.ask(presence), lists.ask(presence)];
  asked[0]?.resolve([]);
  await eventually(() => expect(asked.length).toBe(2));
  asked[1]?.resolve(ofAnn());
  const [, one, other] = await Promise.all(all);
  one?.splice(0);
  expect(other).toEqual(ofAnn());
  const { meta } = (other ?? [])[0] as { meta: { mood: string[] } };
  expect(() => meta.mood.push('bad')).toThrow(TypeError);
});

it('fails for all that have asked, and asks again afterwards', async () => {
  const { lists, asked } = open();
  const failing = [lists.ask(presence), lists.ask(presence)];
  asked[0]?.reject(new ServerError('ERR_CLUSTER_DOWN', { engine: 'Redis', state: 'lost' }));
  for (const each of failing) await expect(each).rejects.toMatchObject({ code: 'ERR_CLUSTER_DOWN' });
  expect(asked.length).toBe(1);
  const again = lists.ask(presence);
  asked[1]?.resolve(ofAnn());
  expect(await again).toEqual(ofAnn());
});
