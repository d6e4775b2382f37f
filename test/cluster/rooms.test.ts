import { expect, it } from 'vitest';
import { BrokerRooms } from '../../src/cluster/broker/rooms.js';
import { type ClusterDriver, withSilent } from '../../src/cluster/driver.js';

it('the members of a room on nodes that do not answer are marked, and those that nobody knows are named', async () => {
  const own = { member: 'a', node: 'a', meta: 3, stale: false };
  const list = async () => withSilent([own, { member: 'b', node: 'b', meta: 2, stale: true }], ['c']);
  const rooms = new BrokerRooms({
    driver: { presence: { list } } as unknown as ClusterDriver,
    ...{ self: 'a', ttlMs: 1000, missed: () => {} },
    local: { publish: () => true, size: () => 0, list: () => [] },
  });
  const members = await rooms.members('lobby');
  rooms.close();
  expect([...members]).toEqual([
    { node: 'a', members: 3 },
    { node: 'b', members: 2, stale: true },
  ]);
  expect(members.silent).toEqual(['c']);
});
