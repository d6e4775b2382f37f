import { describe, expect, it, vi } from 'vitest';
import { CloseCode, Request } from '../../../src/ipc/frame.js';
import { Hold } from '../../../src/reactor/life.js';
import { ReactorWorld } from '../../helpers/reactor-world.js';
import { type Spoken, Talk } from './talk.js';

export function goesOver(spoken: Spoken): void {
  const whole = spoken.messages.join('');
  const all = { heard: spoken.expected[2], got: spoken.answers.join('') };
  const result = ({ heard, got }: Talk) => ({ heard, got });
  const { staysFrom = Number.POSITIVE_INFINITY } = spoken;
  const cuts = Array.from({ length: whole.length - 1 }, (_, index) => index + 1);

  const inOneMemory = (): ReactorWorld => new ReactorWorld({ ...spoken.options, slots: 1024 });

  describe('handed over to another process', () => {
    it('goes on wherever the input is cut, when workers have answered', () => {
      let world = inOneMemory();
      for (const at of cuts.filter((cut) => cut < staysFrom)) {
        const talk = new Talk(spoken, {}, world);
        talk.sends(whole.slice(0, at));
        talk.serve();
        talk.goesOver();
        world = talk.world;
        talk.sends(whole.slice(at));
        talk.serve();
        expect({ at, ...result(talk) }).toEqual({ at, ...all });
        talk.resets();
      }
    });

    it('goes on wherever the input is cut, when workers have not answered', () => {
      let world = inOneMemory();
      for (const at of cuts) {
        const talk = new Talk(spoken, {}, world);
        talk.sends(whole.slice(0, at));
        talk.goesOver();
        world = talk.world;
        talk.sends(whole.slice(at));
        talk.serve();
        expect({ at, ...result(talk) }).toEqual({ at, ...all });
        talk.resets();
      }
    });

    it('goes on with what waits for the client', () => {
      const talk = new Talk(spoken);
      talk.world.client(talk.connection).room = 2;
      talk.sends(whole);
      talk.serve();
      talk.goesOver();
      for (let i = 0; i < all.got.length && talk.got !== all.got; i++) {
        talk.world.clientTakes(talk.connection, 7);
        talk.serve();
      }
      expect(result(talk)).toEqual(all);
    });

    it('is busy there as it was here', () => {
      const talk = new Talk(spoken);
      talk.sends(spoken.messages[0]);
      talk.goesOver();
      const isBusy = (): boolean => talk.connection.protocol.isBusy(talk.connection);
      expect(isBusy()).toBe(spoken.isBusy);
      talk.serve();
      expect(isBusy()).toBe(false);
    });

    it('stays paused', () => {
      const talk = new Talk(spoken);
      talk.workerSends({ type: Request.pause });
      talk.sends(whole);
      talk.goesOver();
      talk.serve();
      expect([talk.heard, talk.connection.holds]).toEqual(['', Hold.paused]);
      talk.workerSends({ type: Request.resume });
      talk.serve();
      expect(result(talk)).toEqual(all);
    });

    it('has found no room here, and finds it there', () => {
      const talk = new Talk(spoken);
      talk.world.fill(0);
      talk.sends(whole);
      talk.goesOver();
      talk.serve();
      expect(result(talk)).toEqual(all);
    });

    it('ends there when its client has ended its side here', () => {
      const talk = new Talk(spoken);
      talk.sends(whole, 'end');
      talk.goesOver();
      talk.serve();
      talk.sends('end');
      talk.serve();
      expect(result(talk)).toEqual(all);
      expect([talk.connection.isClosed, talk.closes.at(-1)]).toEqual([true, CloseCode.CLIENT_CLOSED]);
    });

    it('closes there what was being closed here', () => {
      const talk = new Talk(spoken);
      talk.world.client(talk.connection).room = 1;
      talk.sends(spoken.messages[0]);
      talk.serve();
      talk.workerSends({ type: Request.close, detail: CloseCode.SERVER_CLOSED });
      talk.goesOver();
      talk.world.clientTakes(talk.connection);
      talk.serve();
      expect(talk.got).toBe(spoken.answers[0] + (spoken.farewell?.(CloseCode.SERVER_CLOSED) ?? ''));
      if (spoken.farewell !== undefined) talk.sends('end');
      expect([talk.connection.isClosed, talk.closes.at(-1)]).toEqual([true, CloseCode.SERVER_CLOSED]);
    });

    it('goes over again and again', () => {
      const talk = new Talk(spoken);
      for (const [at, byte] of [...whole].entries()) {
        talk.sends(byte);
        if (at < staysFrom - 1) talk.goesOver();
        talk.serve();
      }
      expect(result(talk)).toEqual(all);
    });
  });
}

export function followsItsWorkers(spoken: Spoken, isBound: boolean): void {
  const whole = spoken.messages.join('');

  describe.skipIf(isBound)('when the number of workers is lowered', () => {
    const open = (): Talk => new Talk(spoken, { workers: 2, worker: 1 });
    const end = ({ world }: Talk): void => {
      for (const connection of world.dispatcher.endDrain()) world.reading.read(connection);
      world.turn();
    };

    it('gives what comes meanwhile to a worker that stays', () => {
      const talk = open();
      talk.sends(spoken.messages[0]);
      talk.serve();
      talk.world.dispatcher.drain(1, () => {});
      talk.sends(spoken.messages[1] + spoken.messages[2]);
      talk.serve();
      expect(talk.heard).toBe(spoken.expected[0]);
      end(talk);
      talk.serve();
      expect(talk.heard).toBe(spoken.expected[2]);
      const { sessionId } = talk.connection;
      expect(talk.frames.filter((frame) => frame.sessionId === sessionId).map(({ worker }) => worker)).toContain(0);
      expect(talk.connection.worker).toBe(0);
    });

    it('takes the answer of the worker that goes', () => {
      const talk = open();
      talk.sends(spoken.messages[0]);
      const done = vi.fn();
      talk.world.dispatcher.drain(1, done);
      talk.world.turn();
      expect(done).toHaveBeenCalledTimes(1);
      talk.serve();
      expect(talk.got).toBe(spoken.answers[0]);
      end(talk);
      talk.sends(spoken.messages[1]);
      talk.serve();
      expect(talk.got).toBe(spoken.answers[0] + spoken.answers[1]);
    });

    it('stays where it is when its worker stays', () => {
      const talk = new Talk(spoken, { workers: 2, worker: 0 });
      talk.world.dispatcher.drain(1, () => {});
      talk.sends(whole);
      talk.serve();
      expect([talk.heard, talk.connection.worker]).toEqual([spoken.expected[2], 0]);
    });
  });

  describe('when a process ends', () => {
    it('goes on where it is not one of those that serve it', () => {
      const talk = new Talk(spoken, { workers: 2 });
      talk.sends(spoken.messages[0]);
      talk.world.replaceProcess(1, 0);
      talk.serve();
      talk.sends(spoken.messages[1]);
      talk.serve();
      expect(talk.got).toBe(spoken.answers[0] + spoken.answers[1]);
    });

    it('gives the next process what the one before has not taken', () => {
      const talk = new Talk(spoken);
      talk.sends(spoken.messages[0]);
      talk.world.replaceProcess(0, 0);
      talk.world.replaceProcess(0, 77);
      talk.serve();
      expect(talk.got).toBe(spoken.answers[0]);
    });

    it('ends when one has died in the middle of a send', () => {
      const talk = new Talk(spoken);
      talk.workerSends({ type: Request.send, flags: 64, detail: 1000, payload: 'half' });
      talk.world.replaceProcess(0, 77);
      talk.serve();
      expect([talk.got, talk.closes]).toEqual(['half', [CloseCode.WORKER_DIED]]);
      expect(talk.world.client(talk.connection).end).toBe('reset');
    });
  });

  it('works where each packet is given out by itself', () => {
    const talk = new Talk(
      spoken,
      { workers: 3, mode: 'round-robin' },
      new ReactorWorld({ ...spoken.options, workers: 3, mode: 'round-robin' }),
    );
    talk.sends(whole);
    talk.serve();
    expect([talk.heard.length, talk.got]).toEqual([spoken.expected[2].length, spoken.answers.join('')]);
  });
}
