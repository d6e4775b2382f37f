import { describe, expect, it } from 'vitest';
import { CloseCode, Event, Request } from '../../../src/ipc/frame.js';
import { filePayload } from '../../../src/ipc/frames/file.js';
import { EAGAIN, EINTR } from '../../../src/os/libc.js';
import { type Spoken, Talk, type TalkOptions } from './talk.js';

const send = (payload: string) => ({ type: Request.send, payload });
const port = { highWatermark: 100, lowWatermark: 20, sendBufferSize: 1000 };

export function sendsWhatWorkersSay(spoken: Spoken): void {
  const answers = spoken.answers.join('');
  const longest = Math.max(...spoken.answers.map(({ length }) => length));

  describe('to a client that takes little', () => {
    it('sends every byte once and in order, however few it takes at a time', () => {
      for (let bytes = 1; bytes <= Math.min(longest + 1, 60); bytes++) {
        const talk = new Talk(spoken);
        talk.world.client(talk.connection).room = bytes;
        talk.sends(spoken.messages.join(''));
        talk.serve();
        for (let i = 0; i < answers.length && talk.got.length < answers.length; i++) {
          talk.world.clientTakes(talk.connection, bytes);
          talk.serve();
        }
        expect({ bytes, got: talk.got, heard: talk.heard }).toEqual({
          bytes,
          got: answers,
          heard: spoken.expected[2],
        });
      }
    });

    it('goes on when a signal has interrupted a send, and when the kernel has no room for a moment', () => {
      const talk = new Talk(spoken);
      talk.world.client(talk.connection).sendFailures.push(-EINTR, -EAGAIN, -EINTR);
      talk.sends(spoken.messages.join(''));
      for (let i = 0; i < 9; i++) {
        talk.serve();
        talk.world.clientTakes(talk.connection);
      }
      expect(talk.got).toBe(answers);
    });

    it('keeps files in their place', () => {
      const talk = new Talk(spoken);
      const file = { type: Request.sendFile, payload: filePayload('/some/file', 5, 10) };
      talk.world.client(talk.connection).room = 0;
      talk.workerSends(send('a'), file, send('b'));
      talk.world.clientTakes(talk.connection);
      expect(talk.got).toBe('a</some/file 5+10>b');
    });
  });

  describe.each([false, true])('while something waits for the client (encrypted: %s)', (isEncrypted) => {
    const open = (options: TalkOptions = {}): Talk => {
      const talk = new Talk(spoken, { isEncrypted, port, ...options });
      talk.world.client(talk.connection).room = 0;
      return talk;
    };
    const events = (talk: Talk): number[] => {
      talk.takes();
      return talk.frames.map(({ type }) => type).filter((type) => type > Event.close && type < Event.writable);
    };

    it('tells its worker once that the high watermark is reached, and once that it is down at the low one', () => {
      const talk = open();
      talk.workerSends(send('x'.repeat(99)));
      expect(events(talk)).toEqual([]);
      talk.workerSends(send('x'), send('x'), send('x'));
      expect(events(talk)).toEqual([Event.bufferFull]);
      talk.world.clientTakes(talk.connection, 80);
      expect(talk.world.context.queuedBytes(talk.connection)).toBe(22 + (isEncrypted ? 80 : 0));
      if (isEncrypted) talk.passOn();
      expect(events(talk)).toEqual([Event.bufferFull]);
      talk.world.clientTakes(talk.connection, 2);
      if (isEncrypted) talk.passOn();
      talk.world.clientTakes(talk.connection, 5);
      if (isEncrypted) talk.passOn();
      expect(events(talk)).toEqual([Event.bufferFull, Event.bufferEmpty]);
    });

    it('tells who has asked that there is room again', () => {
      const talk = open();
      talk.workerSends(send('x'.repeat(150)), { type: Request.watchDrain }, { type: Request.watchDrain });
      const writables = (): number => {
        talk.takes();
        return talk.frames.filter(({ type }) => type === Event.writable).length;
      };
      expect(writables()).toBe(0);
      talk.world.clientTakes(talk.connection);
      if (isEncrypted) talk.passOn();
      expect(writables()).toBe(1);
      talk.workerSends({ type: Request.watchDrain });
      expect(writables()).toBe(2);
    });

    it('is reset when more than sendBufferSize waits', () => {
      const talk = open();
      talk.workerSends(send('x'.repeat(1000)));
      expect(talk.connection.isClosed).toBe(false);
      talk.workerSends(send('x'));
      talk.serve();
      expect(talk.closes).toEqual([CloseCode.SEND_QUEUE_LIMIT]);
      expect(talk.world.client(talk.connection).end).toBe('reset');
    });

    it('tells in shared memory how much that is', () => {
      const talk = open();
      talk.workerSends(send('x'.repeat(60)));
      expect(talk.world.table.info(talk.connection.sessionId)?.sendQueuedBytes).toBe(60);
      talk.world.clientTakes(talk.connection);
      if (isEncrypted) talk.passOn();
      expect(talk.world.table.info(talk.connection.sessionId)?.sendQueuedBytes).toBe(0);
      expect(talk.connection.buffered).toBe(0);
    });
  });
}
