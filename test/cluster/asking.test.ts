import { expect, it, vi } from 'vitest';
import { Cluster } from '../../src/cluster/cluster.js';
import type { ClusterParts } from '../../src/cluster/cluster-parts.js';
import type { ToBroker } from '../../src/cluster/messages.js';

const self = { id: 'a', incarnation: '1-2', address: 'here', version: '1' };

function open(more: Partial<ClusterParts> = {}) {
  const said: ToBroker[] = [];
  const cluster = new Cluster({
    ...{ requestTimeoutMs: 1000, heartbeatMs: 1000, ttlMs: 5000, callbacks: {} },
    self: () => self,
    isBroker: () => false,
    isSilent: () => false,
    mayAsk: () => true,
    known: () => ({ state: 'down', nodes: [] }),
    maxPayload: () => Number.POSITIVE_INFINITY,
    say: (message) => said.push(message),
    passOn: () => {},
    failed: () => {},
    ...more,
  });
  cluster.hear();
  return { cluster, said };
}

it('says of a question without an answer whether the own broker process stands still', async () => {
  vi.useFakeTimers();
  try {
    let isSilent = false;
    const { cluster } = open({ isSilent: () => isSilent });
    const asked = () => cluster.request('b', 1, { timeoutMs: 100 }).catch((error: Error) => error.message);
    const answers: unknown[] = [];
    for (isSilent of [false, true]) {
      const answer = asked();
      await vi.advanceTimersByTimeAsync(600);
      answers.push(await answer);
    }
    expect(answers).toEqual([
      expect.stringMatching(/^Node "b" must answer within 600 ms/),
      expect.stringMatching(/^No answer came within 600 ms: on node "a" the broker process says nothing/),
    ]);
  } finally {
    vi.useRealTimers();
  }
});

it('asks what may be a node only', async () => {
  const { cluster, said } = open();
  said.length = 0;
  for (const node of ['', 'a b', 'x'.repeat(129), undefined, null, Number.NaN, 0, {}, [], Symbol('b'), 'b~1:2']) {
    const expected = typeof node === 'string' ? 'ERR_OPTION_VALUE' : 'ERR_OPTION_TYPE';
    const refused = expect(cluster.request(node as string, 1)).rejects;
    await refused.toMatchObject({ code: expected, detail: { name: 'node' } });
  }
  expect(said).toEqual([]);
});
