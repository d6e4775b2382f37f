/** An engine that is killed, restarted and stopped at random, and nodes that compute for long: the promises hold all along. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { kinds, Nodes, type TestEngine, type TestNode } from '../cluster/world.js';
import { DEADLINE_MS } from '../helpers/deadline.js';

const DURATION_MS = Number(process.env['SOAK_MS'] ?? 60_000);
const REQUEST_MS = 1000;
/** A request may be late by what this process computes meanwhile. */
const LONGEST_BLOCK_MS = 900;

/** One node that publishes numbers, and checks those of all others. */
class Talker {
  readonly faults: string[] = [];
  readonly last = new Map<string, number>();
  readonly node: TestNode;
  sequence = 0;
  answered = 0;
  refused = 0;

  constructor(node: TestNode) {
    this.node = node;
  }

  readonly hear = (data: Uint8Array, from: string): void => {
    const number = Number(Buffer.from(data).toString());
    const last = this.last.get(from) ?? 0;
    if (number <= last) this.faults.push(`${this.node.id} got ${number} of ${from} after ${last}`);
    this.last.set(from, number);
  };

  publish(): void {
    if (this.node.driver.publish('s', Buffer.from(String(this.sequence + 1)))) this.sequence++;
  }

  async ask(id: string): Promise<void> {
    const begun = performance.now();
    try {
      await this.node.driver.request(id, Buffer.from('x'), { timeoutMs: REQUEST_MS });
      this.answered++;
    } catch (error) {
      const { code } = error as { code?: string };
      if (!/^ERR_(CLUSTER_(DOWN|TIMEOUT|FULL)|NODE_LOST)$/.test(String(code))) this.faults.push(String(error));
      this.refused++;
    }
    const tookMs = performance.now() - begun;
    if (tookMs > REQUEST_MS + LONGEST_BLOCK_MS + 500) this.faults.push(`a request took ${tookMs} ms`);
  }
}

for (const kind of kinds) {
  describe.skipIf(!kind.isHere)(`driver ${kind.name}`, () => {
    const nodes = new Nodes();
    let engine: TestEngine;
    afterEach(async () => {
      await nodes.stop();
      await engine.stop();
    });

    test('nothing comes twice or out of order, every request ends in time, and all nodes find each other again', async () => {
      engine = await kind.start();
      const talkers = await Promise.all(['a', 'b', 'c'].map(async (id) => new Talker(await nodes.start(engine, id))));
      await Promise.all(talkers.map(({ node, hear }) => node.driver.subscribe('s', hear).ready));
      const end = performance.now() + DURATION_MS;
      const talking = talk(talkers, end);
      while (performance.now() < end) await disturb(engine);
      await talking;
      await settle(talkers);
      for (const { faults, last, node } of talkers) {
        expect(faults).toEqual([]);
        expect(Object.fromEntries(last)).toEqual(
          Object.fromEntries(talkers.map((other) => [other.node.id, other.sequence])),
        );
        const states = node.told.filter((line) => line.startsWith('state'));
        expect(states.filter((state, i) => state === states[i - 1])).toEqual([]);
        expect(node.driver.stats().reconnects).toBe(node.told.filter((line) => line === 'gap s').length);
      }
      expect(talkers.every(({ answered, refused }) => answered > 100 && refused > 0)).toBe(true);
    });
  });
}

async function talk(talkers: readonly Talker[], end: number): Promise<void> {
  while (performance.now() < end) {
    for (const talker of talkers) {
      talker.publish();
      void talker.ask('b');
    }
    await sleep(2);
  }
}

async function disturb(engine: TestEngine): Promise<void> {
  await sleep(300 + Math.random() * 700);
  const choice = Math.random();
  if (choice < 0.4) {
    await engine.kill();
    await sleep(Math.random() * 500);
    await engine.restart();
  } else if (choice < 0.8) {
    await engine.freeze();
    await sleep(Math.random() * 900);
    await engine.thaw();
  } else {
    const until = performance.now() + Math.random() * LONGEST_BLOCK_MS;
    while (performance.now() < until);
  }
}

/** All are up and know each other; then each says some more, which all must hear. */
async function settle(talkers: readonly Talker[]): Promise<void> {
  const until = performance.now() + DEADLINE_MS;
  const isWhole = () =>
    talkers.every(({ node: { driver } }) => driver.state === 'up' && driver.nodes().length === talkers.length);
  while (!isWhole() && performance.now() < until) await sleep(10);
  await sleep(REQUEST_MS * 2);
  for (let i = 0; i < 100; i++) for (const talker of talkers) talker.publish();
  await sleep(1000);
}
