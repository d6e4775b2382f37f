import { randomUUID } from 'node:crypto';
import { afterEach, expect, it } from 'vitest';
import { packUserAnswer, packUserRequest, packValue } from '../../src/cluster/broker/node-messages.js';
import { packRoomData } from '../../src/cluster/broker/room-data.js';
import { createDriver } from '../../src/cluster/create-driver.js';
import type { ClusterDriver } from '../../src/cluster/driver.js';
import { mostUserBytes } from '../../src/cluster/user-bytes.js';
import { MIB } from '../../src/options/size.js';

let driver: ClusterDriver | undefined;
afterEach(() => driver?.stop(false));

it('8 MiB less 256 bytes are what a user may send at once, and what then fits, to a room, in a request and an answer', () => {
  driver = createDriver('memory', { url: `memory://${randomUUID()}` });
  const { maxPayload } = driver.capabilities;
  const most = mostUserBytes(maxPayload);
  expect(most).toBe(8 * MIB - 256);
  expect(packRoomData('x'.repeat(most)).length).toBeLessThanOrEqual(maxPayload);
  const overhead = packValue('x'.repeat(most)).length - most;
  const fitting = 'x'.repeat(most - overhead);
  expect(packUserAnswer(fitting, maxPayload).length).toBe(most);
  expect(packUserRequest(fitting, maxPayload).length).toBeLessThanOrEqual(maxPayload);
  const tooLong = `${fitting}x`;
  const refused = expect.objectContaining({ code: 'ERR_CLUSTER_PAYLOAD', detail: { bytes: most + 1, most } });
  expect(() => packUserRequest(tooLong, maxPayload)).toThrow(refused);
  expect(() => packUserAnswer(tooLong, maxPayload)).toThrow(refused);
});
