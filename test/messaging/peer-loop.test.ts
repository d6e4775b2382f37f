import { beforeEach, describe, expect, it } from 'vitest';
import type { Sleeper } from '../../src/ipc/sleep.js';
import type { Messaging } from '../../src/messaging/messaging.js';
import { PeerLoop } from '../../src/messaging/peer-loop.js';
import { createDoorbell, type DoorbellDescriptors, ringDoorbell } from '../../src/os/doorbell.js';
import { type Poller, type PollerHandler, READABLE } from '../../src/os/poller.js';
import { closeDoorbell } from '../helpers/doorbell.js';

const BELL = { read: 101, write: 102 };

let calls: string[];
let handler: PollerHandler;
let messaging: { hasWork: boolean; messenger: { wantsTurn?: () => void }; take: (goOn: () => boolean) => boolean };
let levelTriggered: boolean;

beforeEach(() => {
  calls = [];
  levelTriggered = false;
  messaging = {
    hasWork: false,
    messenger: {},
    take: (goOn) => {
      calls.push(`take ${goOn()}`);
      return false;
    },
  };
});

function loop(bell: DoorbellDescriptors = BELL): PeerLoop {
  const sleeper = { wake: () => calls.push('wake'), sleep: () => calls.push('sleep') };
  const poller = {
    levelTriggered,
    addReadable: (descriptor: number, data: number) => calls.push(`add ${descriptor} ${data}`),
    wakeSoon: () => calls.push('wake soon'),
    rearm: (descriptor: number, events: number) => calls.push(`rearm ${descriptor} ${events === READABLE}`),
    close: () => calls.push('close'),
  };
  return new PeerLoop(messaging as Messaging, sleeper as unknown as Sleeper, bell, (given) => {
    handler = given;
    return poller as unknown as Poller;
  });
}

/** What was called since the last look. */
const called = (): string[] => calls.splice(0);

describe('turns of a process that only gives tasks and sends', () => {
  it('begin by themselves, and whenever there is something to do', () => {
    loop();
    expect(called()).toEqual(['add 101 0', 'wake soon']);
    messaging.messenger.wantsTurn?.();
    expect(called()).toEqual(['wake soon']);
  });

  it('take what has come, and look again once they have said that they sleep', () => {
    loop();
    called();
    handler.turnEnd();
    expect(called()).toEqual(['wake', 'take true', 'sleep']);
    messaging.hasWork = true;
    handler.turnEnd();
    expect(called()).toEqual(['wake', 'take true', 'sleep', 'wake soon']);
  });

  it('listen again for a bell that goes on ringing', () => {
    levelTriggered = true;
    const bell = createDoorbell();
    loop(bell);
    called();
    ringDoorbell(bell);
    handler.ready(bell.read, 0, READABLE);
    expect(called()).toEqual([`rearm ${bell.read} true`]);
    closeDoorbell(bell);
    levelTriggered = false;
    loop();
    called();
    handler.ready(BELL.read, 0, READABLE);
    expect(called()).toEqual([]);
  });

  it('send on where a reactor may have room again', () => {
    const outbox = { waitsForRoom: false, roomAgain: () => calls.push('room') };
    const turns = loop();
    called();
    turns.serve(outbox);
    handler.turnEnd();
    expect(called()).toEqual(['wake soon', 'wake', 'take true', 'sleep']);
    outbox.waitsForRoom = true;
    handler.turnEnd();
    expect(called()).toEqual(['wake', 'room', 'take true', 'sleep']);
    turns.close();
    expect(called()).toEqual(['close']);
  });
});
