/**
 * What every protocol of the reactor must do, on fakes and a fake clock. A new protocol joins with a `Spoken`: how a world
 * is made, what clients say, what workers find, what they answer, what arrives.
 */
import { afterEach, beforeEach, describe, vi } from 'vitest';
import { endsWithItsClient, isClosedByWorkers } from './protocol/ending.js';
import { followsItsWorkers, goesOver } from './protocol/handoff.js';
import { stopsWhenHeld } from './protocol/holding.js';
import { readsWhatComes } from './protocol/reading.js';
import { sendsWhatWorkersSay } from './protocol/sending.js';
import type { Spoken } from './protocol/talk.js';

export type { Spoken } from './protocol/talk.js';

/** @param isBound as `Protocol.isBound`: its connections belong to one worker */
export function protocolConformance(spoken: Spoken, isBound = false): void {
  describe(`the protocol ${spoken.name}`, () => {
    beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }));
    afterEach(() => void vi.useRealTimers());
    readsWhatComes(spoken);
    stopsWhenHeld(spoken, isBound);
    endsWithItsClient(spoken);
    isClosedByWorkers(spoken);
    sendsWhatWorkersSay(spoken);
    goesOver(spoken);
    followsItsWorkers(spoken, isBound);
  });
}
