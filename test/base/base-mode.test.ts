import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { baseMode } from '../../src/base/base-mode.js';
import { createBells } from '../../src/ipc/bells.js';
import type { SharedDescriptors } from '../../src/ipc/inheritance.js';
import type { ManagerToMaster } from '../../src/ipc/message.js';
import type { ManagerLink, OwnerParts } from '../../src/master/mode.js';
import { Region } from '../../src/memory/region.js';
import type { Messaging } from '../../src/messaging/messaging.js';
import { resolveOptions } from '../../src/options/index.js';
import type { DoorbellDescriptors } from '../../src/os/doorbell.js';
import { Log } from '../../src/util/log.js';
import { closeDoorbell } from '../helpers/doorbell.js';
import { testShape } from '../helpers/test-shape.js';

let bells: DoorbellDescriptors[];
let manager: ManagerLink;
let heard: ManagerToMaster[];
let exits: number[];
/** Messages that came while the manager was being started. */
let tooEarly: number;

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

beforeEach(() => {
  const region = Region.create(testShape({ reactorNum: 2, workerNum: 2 }));
  bells = createBells(region.shape);
  [heard, exits] = [[], []];
  const options = resolveOptions({ mode: 'base', workerNum: 2 });
  const log = new Log({ role: 'master', level: 'silent' });
  const messaging = { queue: { counts: () => ({ queued: 0, running: 0 }) } } as unknown as Messaging;
  const parts = { options, callbacks: {}, userProcessNames: [], log, region: () => region, messaging: () => messaging };
  const mode = baseMode(parts);
  mode.createOwners({ region, options, listens: [], tellManager: () => {} } as unknown as OwnerParts);
  manager = mode.startManager('', { bells } as unknown as SharedDescriptors, {
    message: (message) => heard.push(message),
    exit: (code) => exits.push(code),
  });
  tooEarly = heard.length;
});
afterEach(() => {
  for (const bell of bells) closeDoorbell(bell);
});

describe('the manager of BASE mode', () => {
  it('is a part of the process that starts the server, and is there after whoever starts it has finished', async () => {
    await settle();
    expect([manager.pid, tooEarly]).toEqual([process.pid, 0]);
    expect(heard).toEqual([{ type: 'started' }]);
  });

  it('ends when it is told to stop, and says so only afterwards', async () => {
    await settle();
    manager.send({ type: 'stop', deadlineMs: 100 });
    expect(exits).toEqual([]);
    await settle();
    await settle();
    expect(exits).toEqual([0]);
  });

  it('cannot be killed: that would be the end of this process', async () => {
    await settle();
    manager.kill('SIGKILL');
    await settle();
    expect(exits).toEqual([]);
  });
});
