import { expect, test } from 'vitest';
import { EarlyMessages } from '../../src/cluster/early-messages.js';
import type { FromBroker, ToBroker } from '../../src/cluster/messages.js';

const MOST = 10_000;
const publish = (subject: string): ToBroker => ({ say: 'publish', subject, data: new Uint8Array() });

function world() {
  const answers: [FromBroker, number][] = [];
  const taken: [ToBroker, number][] = [];
  const lost: [subjects: string[], publications: number][] = [];
  const early = new EarlyMessages((message, to) => answers.push([message, to]));
  const handOver = () =>
    early.handTo({
      onMessage: (message, from) => taken.push([message, from]),
      lostBefore: (subjects, publications) => lost.push([[...subjects], publications]),
    });
  return { answers, taken, lost, early, handOver };
}

test('what comes early is handed over in order, once', () => {
  const { early, handOver, taken, lost } = world();
  for (let i = 0; i < MOST; i++) early.keep(publish(`s${i}`), i % 3);
  handOver();
  handOver();
  expect(taken).toHaveLength(MOST);
  expect([taken[1], taken.at(-1)]).toEqual([
    [publish('s1'), 1],
    [publish(`s${MOST - 1}`), (MOST - 1) % 3],
  ]);
  expect(lost).toEqual([]);
});

test('beyond the bound each publication is counted, with its subject, and a question is refused at once', () => {
  const { early, handOver, taken, lost, answers } = world();
  for (let i = 0; i < MOST; i++) early.keep(publish('s'), 0);
  for (const subject of ['m:a', 'm:b', 'm:a']) early.keep(publish(subject), 0);
  early.keep({ say: 'room', room: 'lobby', data: 'text' }, 0);
  early.keep({ say: 'notTaken', subjects: ['m:b', 'm:c'], publications: 5 }, 0);
  early.keep({ say: 'ask', id: 7, question: { ask: 'members', room: 'lobby' } }, 2);
  early.keep({ say: 'joined', room: 'lobby' }, 1);
  expect(answers).toEqual([[expect.objectContaining({ say: 'failed', id: 7 }), 2]]);
  expect(answers[0]?.[0]).toMatchObject({ error: { code: 'ERR_CLUSTER_FULL' } });
  handOver();
  handOver();
  expect(taken).toHaveLength(MOST);
  expect(lost).toEqual([[['m:a', 'm:b', 'r:lobby', 'm:c'], 9]]);
});

test('their bytes are bounded too, and those of short ones count again once they were handed over', () => {
  const { early, handOver, taken, lost, answers } = world();
  const long = (subject: string): ToBroker => ({
    say: 'publish',
    subject,
    data: new Uint8Array(8 * 1024 * 1024 - 1000),
  });
  for (let i = 0; i < 10; i++) early.keep(long(`m:${i}`), 0);
  const question = { ask: 'request', node: 'b', data: 'x'.repeat(1000), timeoutMs: 1 } as const;
  early.keep({ say: 'ask', id: 7, question }, 2);
  handOver();
  expect(taken).toHaveLength(8);
  expect(lost).toEqual([[['m:8', 'm:9'], 2]]);
  expect(answers).toMatchObject([[{ say: 'failed', id: 7, error: { code: 'ERR_CLUSTER_FULL' } }, 2]]);
  early.keep(long('m:a'), 0);
  handOver();
  expect(taken).toHaveLength(9);
});
