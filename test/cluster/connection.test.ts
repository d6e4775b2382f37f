/** A link may end, and its owner may stop, between any two steps of connecting. */
import { describe, expect, test } from 'vitest';
import { Connection } from '../../src/cluster/drivers/connection.js';
import type { Engine, Link, LinkEvents } from '../../src/cluster/drivers/engine.js';
import { eventually } from '../helpers/eventually.js';

/** An engine without messages: only what is open, and a link that can be ended at a chosen moment. */
class FakeEngine implements Engine {
  readonly name = 'fake';
  readonly address = 'nowhere';
  readonly usual = { maxPayload: 1, config: false };
  readonly open = new Set<Link>();
  connects = 0;
  /** Called with the events of each new link. */
  connected: (events: LinkEvents, link: Link) => void = () => {};

  async connect(events: LinkEvents): Promise<Link> {
    this.connects++;
    const link = { close: async () => void this.open.delete(link) } as unknown as Link;
    this.open.add(link);
    this.connected(events, link);
    return link;
  }
}

function world(prepare: () => Promise<void> = async () => {}) {
  const engine = new FakeEngine();
  const told: string[] = [];
  const connection = new Connection(engine, 1000, {
    message: () => {},
    dropped: () => {},
    refused: () => {},
    prepare,
    detach: () => told.push('detach'),
    lost: () => told.push('lost'),
    attemptFailed: () => {},
    restored: () => told.push('restored'),
  });
  return { engine, told, connection };
}

async function microtasks(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await undefined;
}

describe('a connection', () => {
  test.each(Array.from({ length: 12 }, (_, i) => i))(
    'whose link ends %i steps after it is there is refused or replaced',
    async (steps) => {
      const { engine, told, connection } = world();
      engine.connected = (events, link) => {
        if (engine.connects > 1) return;
        void microtasks(steps).then(() => {
          engine.open.delete(link);
          events.closed('gone');
        });
      };
      const error = await connection.open().catch((reason: unknown) => reason);
      if (error === undefined) await eventually(() => expect(told).toEqual(['detach', 'lost', 'restored']));
      else expect(error).toMatchObject({ code: 'ERR_CLUSTER_CONNECT', detail: { why: 'gone' } });
      expect(connection.link !== undefined).toBe(error === undefined);
      expect(engine.open.size).toBe(error === undefined ? 1 : 0);
      await connection.close();
      expect(engine.open.size).toBe(0);
    },
  );

  test.each(Array.from({ length: 12 }, (_, i) => i))(
    'that is closed %i steps after the link is there leaves none open',
    async (steps) => {
      const { engine, connection } = world();
      let closing: Promise<void> | undefined;
      engine.connected = () => void microtasks(steps).then(() => (closing = connection.close()));
      await connection.open().catch((error: unknown) => expect(error).toMatchObject({ code: 'ERR_CLUSTER_DOWN' }));
      await microtasks(20);
      await closing;
      expect([connection.link, engine.open.size]).toEqual([undefined, 0]);
    },
  );

  test('replaces a link that its owner finds dead, and one that is lost again at once', async () => {
    const { engine, told, connection } = world();
    await connection.open();
    engine.connected = (events) => {
      if (engine.connects === 2) setImmediate(() => events.closed('again'));
    };
    connection.lose();
    connection.lose();
    await eventually(() => expect(told.filter((line) => line === 'restored')).toHaveLength(2));
    expect(told).toEqual(['detach', 'lost', 'restored', 'detach', 'lost', 'restored']);
    expect([engine.connects, engine.open.size >= 1]).toEqual([3, true]);
    await connection.close();
  });

  test('gives up on a link that is not proven in time', async () => {
    const { engine, connection } = world(() => new Promise(() => {}));
    await expect(connection.open()).rejects.toMatchObject({ detail: { why: expect.stringContaining('1000 ms') } });
    expect(engine.open.size).toBe(0);
  });

  test('ends a pause at once when it is closed', async () => {
    const { engine, connection } = world();
    await connection.open();
    engine.connect = async () => {
      engine.connects++;
      throw new Error('down');
    };
    connection.lose();
    await eventually(() => expect(engine.connects).toBeGreaterThan(3));
    const begun = performance.now();
    await connection.close();
    expect(performance.now() - begun).toBeLessThan(50);
  });
});
