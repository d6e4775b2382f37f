import { describe, expect, it } from 'vitest';
import {
  decodeManagerToMaster,
  decodeManagerToWorker,
  decodeMasterToManager,
  decodeWorkerToManager,
} from '../../src/ipc/message.js';

const shared = { up: ['ready', 'bootFailed', 'settled', 'closed', 'profiled', 'cluster', 'fatal', 'request'] };
const channels = [
  {
    channel: 'master → manager',
    decode: decodeMasterToManager,
    types: ['begin', 'reload', 'stopWorker', 'withdraw', 'scale', 'profile', 'accept', 'closeAll', 'settle', 'stop'],
  },
  {
    channel: 'manager → master',
    decode: decodeManagerToMaster,
    types: [...shared.up, 'started', 'crashed', 'reloaded', 'withdrawn', 'scaled'],
  },
  {
    channel: 'manager → worker',
    decode: decodeManagerToWorker,
    types: ['attach', 'accept', 'closeAll', 'goOn', 'release', 'settle', 'stop', 'profile'],
  },
  { channel: 'worker → manager', decode: decodeWorkerToManager, types: [...shared.up, 'released'] },
] as const;

describe.each(channels)('$channel', ({ decode, types }) => {
  it('takes each message of its own, as it is', () => {
    for (const type of types) {
      const message = { type, more: [1] };
      expect(decode(message)).toBe(message);
    }
  });

  it('takes none that only another channel has', () => {
    const own = new Set<string>(types);
    const others = channels.flatMap((channel) => [...channel.types]).filter((type) => !own.has(type));
    for (const type of [...others, 'unknown', '']) expect(decode({ type })).toBeUndefined();
  });

  it.each([
    undefined,
    null,
    0,
    'ready',
    'stop',
    [],
    {},
    { type: 1 },
    { type: null },
    { type: ['stop'] },
    { typ: 'stop' },
    () => {},
  ])('takes nothing that is no message: %s', (value) => {
    expect(decode(value)).toBeUndefined();
  });
});
