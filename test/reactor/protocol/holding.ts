import { describe, expect, it } from 'vitest';
import { CloseCode, Request } from '../../../src/ipc/frame.js';
import { WorkerCounter, WorkerField } from '../../../src/memory/boards.js';
import { Hold } from '../../../src/reactor/life.js';
import { type Spoken, Talk, type TalkOptions } from './talk.js';

interface Reason {
  readonly name: string;
  readonly bit: number;
  readonly options?: TalkOptions;
  begin(talk: Talk): void;
  end(talk: Talk): void;
}

const BUDGET = 1000;

const reasons: readonly Reason[] = [
  {
    name: 'a process has paused it',
    bit: Hold.paused,
    begin: (talk) => talk.workerSends({ type: Request.pause }),
    end: (talk) => talk.workerSends({ type: Request.resume }),
  },
  {
    name: 'its worker has not handled maxQueuedBytes of it',
    bit: Hold.inflight,
    options: { options: { maxQueuedBytes: 100 } },
    begin: ({ world, connection }) => {
      world.workers.setField(0, WorkerField.busy, 1); // one that has nothing to do is not waited for
      world.table.countReceived(connection.slot, 100_000, 0);
    },
    end: (talk) => {
      const { world, connection } = talk;
      world.table.forgetQueued(connection.slot);
      talk.workerSends({ type: Request.readOn });
      world.workers.setField(0, WorkerField.busy, 0);
    },
  },
  {
    name: 'the ring of its worker has no room',
    bit: Hold.noRoom,
    begin: ({ world, connection }) => world.fill(connection.worker),
    end: ({ world }) => world.turn(), // the worker has taken what was there when the suite has looked
  },
  {
    name: 'the server holds more than maxBufferedBytes',
    bit: Hold.budget,
    options: { options: { maxBufferedBytes: BUDGET } },
    begin: (talk) => holds(talk, BUDGET * 2),
    end: (talk) => holds(talk, 0),
  },
];

/** Its worker goes, and others stay. A tunnel ends with its worker instead. */
const draining: Reason = {
  name: 'its worker is about to go',
  bit: Hold.draining,
  options: { workers: 2, worker: 1 },
  begin: ({ world }) => world.dispatcher.drain(1, () => {}),
  end: ({ world }) => {
    for (const connection of world.dispatcher.endDrain()) world.reading.read(connection);
    world.turn();
  },
};

/** Bytes that wait in the memory of worker 0. */
function holds({ world }: Talk, bytes: number): void {
  world.region.float64[world.workers.counterIndex(0, 0) + WorkerCounter.held] = bytes;
  world.turn();
}

export function stopsWhenHeld(spoken: Spoken, isBound: boolean): void {
  const whole = spoken.messages.join('');
  const all = { heard: spoken.expected[2], got: spoken.answers.join('') };

  const possible = isBound ? reasons : [...reasons, draining];
  describe.each(possible.map((reason) => [reason.name, reason] as const))('while %s', (_name, reason) => {
    const open = (): Talk => new Talk(spoken, reason.options);

    it('is not read, and goes on afterwards without a loss', () => {
      const talk = open();
      reason.begin(talk);
      talk.sends(whole);
      expectHeld(talk, reason);
      reason.end(talk);
      talk.serve();
      expect({ heard: talk.heard, got: talk.got, holds: talk.connection.holds }).toEqual({ ...all, holds: 0 });
    });

    it('goes on afterwards with what was read before, although nothing more comes', () => {
      const talk = open();
      const { world, connection } = talk;
      reason.begin(talk);
      world.comesEarly(connection, whole);
      world.reading.readSoon(connection);
      world.turn();
      expectHeld(talk, reason);
      reason.end(talk);
      talk.serve();
      expect({ heard: talk.heard, got: talk.got }).toEqual(all);
    });

    it('goes on in the middle of a message', () => {
      for (const at of [1, Math.floor(spoken.messages[0].length / 2), spoken.messages[0].length + 1]) {
        const talk = open();
        talk.sends(whole.slice(0, at));
        reason.begin(talk);
        talk.sends(whole.slice(at));
        talk.serve();
        reason.end(talk);
        talk.serve();
        expect({ at, heard: talk.heard, got: talk.got }).toEqual({ at, ...all });
      }
    });

    it('sends on what a worker answers', () => {
      const talk = open();
      talk.sends(spoken.messages[0]);
      reason.begin(talk);
      talk.serve();
      expect(talk.got).toBe(spoken.answers[0]);
    });
  });

  describe('while there are several reasons not to read', () => {
    it('is read when the last one has ended', () => {
      const talk = new Talk(spoken);
      talk.world.fill(0);
      talk.sends(spoken.messages[0]);
      talk.workerSends({ type: Request.pause });
      talk.serve();
      expect([talk.heard, talk.connection.holds]).toEqual(['', Hold.paused]);
      talk.workerSends({ type: Request.resume });
      talk.serve();
      expect(talk.got).toBe(spoken.answers[0]);
    });

    it('stays unread when the other one ends first', () => {
      const talk = new Talk(spoken);
      talk.world.fill(0);
      talk.sends(spoken.messages[0]);
      talk.workerSends({ type: Request.pause });
      talk.workerSends({ type: Request.resume });
      expect(talk.connection.holds).toBe(Hold.noRoom);
      talk.serve();
      expect(talk.got).toBe(spoken.answers[0]);
    });
  });

  describe('while the server takes nothing more in', () => {
    it('gives nothing to workers, and closes', () => {
      const talk = new Talk(spoken);
      talk.sends(spoken.messages[0]);
      talk.serve();
      talk.world.shutdown.quiesce();
      talk.sends(spoken.messages[1]);
      expect(talk.connection.holds).toBe(Hold.quiet);
      talk.serve();
      talk.world.shutdown.closeAll(1000, () => {});
      talk.sends('end');
      talk.serve();
      expect({ heard: talk.heard, got: talk.got, closed: talk.connection.isClosed }).toEqual({
        heard: spoken.expected[0],
        got: spoken.answers[0] + (spoken.farewell?.(CloseCode.SERVER_SHUTDOWN) ?? ''),
        closed: true,
      });
    });

    it('says whether a worker is at it, until that has answered', () => {
      const talk = new Talk(spoken);
      const isBusy = (): boolean => talk.connection.protocol.isBusy(talk.connection);
      expect(isBusy()).toBe(false);
      talk.sends(spoken.messages[0]);
      expect(isBusy()).toBe(spoken.isBusy);
      talk.serve();
      expect(isBusy()).toBe(false);
    });
  });
}

function expectHeld({ world, connection }: Talk, { bit }: Reason): void {
  expect(connection.holds & bit).toBe(bit);
  world.turn();
  expect(connection.holds & bit).toBe(bit);
  const taken = world.takeAll();
  expect(taken).toEqual([]);
}
