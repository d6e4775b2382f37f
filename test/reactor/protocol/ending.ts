import { constants } from 'node:os';
import { describe, expect, it, vi } from 'vitest';
import { CloseCode, CloseFlag, Request } from '../../../src/ipc/frame.js';
import { ReactorCounter } from '../../../src/memory/boards.js';
import { Life } from '../../../src/reactor/life.js';
import { type Spoken, Talk } from './talk.js';

const { ECONNRESET, EPIPE, ETIMEDOUT } = constants.errno;
const SWEEP_MS = 250;
const LINGER_MS = 1000;

export function endsWithItsClient(spoken: Spoken): void {
  const whole = spoken.messages.join('');
  const answers = spoken.answers.join('');

  describe.each([false, true])('when the client ends its side (encrypted: %s)', (isEncrypted) => {
    it('ends at once when no worker is at it', () => {
      const talk = new Talk(spoken, { isEncrypted });
      talk.sends(whole);
      talk.serve();
      talk.sends('end');
      talk.serve();
      talk.sends('end');
      expectEnd(talk, CloseCode.CLIENT_CLOSED);
    });

    it('ends behind the answers when workers are at it', () => {
      const talk = new Talk(spoken, { isEncrypted });
      talk.sends(whole, 'end');
      expect(talk.connection.isClosed).toBe(false);
      talk.serve();
      talk.sends('end');
      expect(talk.got).toBe(answers);
      expect(talk.heard).toBe(spoken.expected[2]);
      expectEnd(talk, CloseCode.CLIENT_CLOSED);
    });

    it('ends behind the answers when the end comes between two of them', () => {
      const talk = new Talk(spoken, { isEncrypted });
      talk.sends(spoken.messages[0]);
      talk.serve();
      talk.sends(spoken.messages[1] + spoken.messages[2]);
      talk.sends('end');
      talk.serve();
      talk.sends('end');
      expect(talk.got).toBe(answers);
      expectEnd(talk, CloseCode.CLIENT_CLOSED);
    });

    it('gives nothing of a message that has not come whole, or what has come of it', () => {
      const talk = new Talk(spoken, { isEncrypted });
      talk.sends(whole.slice(0, -1), 'end');
      talk.serve();
      talk.sends('end');
      expect(spoken.expected[2].startsWith(talk.heard)).toBe(true);
      expect(talk.heard.startsWith(spoken.expected[1])).toBe(true);
      expectEnd(talk, CloseCode.CLIENT_CLOSED);
    });

    it('sends answers that the client takes in drops', () => {
      const talk = new Talk(spoken, { isEncrypted });
      talk.sends(whole, 'end');
      talk.world.client(talk.connection).room = 1;
      for (let i = 0; i < answers.length * 2 && !talk.connection.isClosed; i++) {
        talk.serve();
        talk.world.clientTakes(talk.connection, 1);
        if (isEncrypted) talk.passOn();
      }
      talk.sends('end');
      talk.serve();
      expect(talk.got).toBe(answers);
      expectEnd(talk, CloseCode.CLIENT_CLOSED);
    });
  });

  describe('when the client has ended its side and no answer comes', () => {
    it('is closed after halfCloseTimeoutMs, and not before', () => {
      const talk = new Talk(spoken);
      talk.sends(spoken.messages[0], 'end');
      talk.takes();
      passes(talk, 29_000);
      expect(talk.connection.isClosed).toBe(false);
      passes(talk, 1500);
      talk.takes();
      expect(talk.connection.isClosed).toBe(true);
      expect(talk.closes.at(-1)).toBe(spoken.overdueCode);
    });

    it('has the time anew with each byte of the answer that leaves', () => {
      const talk = new Talk(spoken);
      talk.sends(spoken.messages[0], 'end');
      talk.takes();
      for (let i = 0; i < 5; i++) {
        passes(talk, 20_000);
        talk.workerSends({ type: Request.send, payload: 'x' });
      }
      expect(talk.connection.isClosed).toBe(false);
      expect(talk.got).toBe('xxxxx');
    });

    it('has maxWaitMs left when its worker has a successor', () => {
      const talk = new Talk(spoken, { options: { maxWaitMs: 3000 } });
      talk.sends(spoken.messages[0], 'end');
      talk.takes();
      talk.world.replaceProcess(0, 77);
      passes(talk, SWEEP_MS);
      passes(talk, 3000 + 1000 + SWEEP_MS);
      talk.takes();
      // A worker that knows only of HTTP's requests is not waited for, one that knows the end of its connections is.
      expect(talk.connection.isClosed || spoken.name === 'http1').toBe(true);
    });
  });

  describe('when the socket fails', () => {
    it.each([
      [-ECONNRESET, CloseCode.CLIENT_RESET],
      [-EPIPE, CloseCode.CLIENT_RESET],
      [-ETIMEDOUT, CloseCode.SOCKET_ERROR],
    ])('tells the worker when reading gives %i', (error, code) => {
      const talk = new Talk(spoken);
      talk.sends(spoken.messages[0], error);
      talk.serve();
      expectEnd(talk, code);
    });

    it('tells the worker when sending fails', () => {
      const talk = new Talk(spoken);
      talk.sends(whole);
      talk.world.client(talk.connection).sendFailures.push(-EPIPE);
      talk.serve();
      expectEnd(talk, CloseCode.CLIENT_RESET);
    });

    it('tells the worker when sending what has waited fails', () => {
      const talk = new Talk(spoken);
      talk.world.client(talk.connection).room = 0;
      talk.sends(spoken.messages[0]);
      talk.serve();
      talk.world.client(talk.connection).sendFailures.push(-ECONNRESET);
      talk.world.clientTakes(talk.connection);
      talk.serve();
      expectEnd(talk, CloseCode.CLIENT_RESET);
    });

    it('tells the errno where a process asks', () => {
      const talk = new Talk(spoken);
      const { world, connection } = talk;
      talk.sends(-ETIMEDOUT);
      expect(world.table.info(connection.sessionId)?.closeErrno).toBe(ETIMEDOUT);
    });
  });

  describe('when it is gone', () => {
    it('counts what workers send as discarded', () => {
      const talk = new Talk(spoken);
      talk.sends(spoken.messages[0]);
      talk.world.ending.reset(talk.connection, CloseCode.SERVER_RESET);
      const before = talk.discarded;
      talk.workerSends({ type: Request.send, payload: 'late' });
      expect(talk.discarded).toBe(before + 1);
      talk.serve();
      expect(talk.got).toBe('');
      expectEnd(talk, CloseCode.SERVER_RESET);
    });

    it('gives its slot back when its worker has seen the end, and counts itself off', () => {
      const talk = new Talk(spoken);
      const { world } = talk;
      const figures = () => [
        world.board.connections(0),
        world.board.occupied(0),
        world.board.underWay(0),
        world.context.connections.size,
        world.board.read(0, ReactorCounter.buffered),
      ];
      talk.sends(whole.slice(0, -1));
      world.ending.reset(talk.connection, CloseCode.SERVER_RESET);
      expect(figures()).toEqual([0, 1, 0, 0, 0]);
      talk.serve();
      expect(figures()).toEqual([0, 0, 0, 0, 0]);
    });

    it('may be told so again', () => {
      const talk = new Talk(spoken);
      const { protocol } = talk.connection;
      talk.sends(spoken.messages[0]);
      talk.world.ending.reset(talk.connection, CloseCode.SERVER_RESET);
      protocol.lost(talk.connection, CloseCode.SERVER_RESET);
      protocol.closed(talk.connection);
      talk.serve();
      expect(talk.closes).toEqual([CloseCode.SERVER_RESET]);
    });
  });
}

export function isClosedByWorkers(spoken: Spoken): void {
  const whole = spoken.messages.join('');
  const [answer] = spoken.answers;
  const close = { type: Request.close, detail: CloseCode.SERVER_CLOSED };
  const farewell = (code: number): string => spoken.farewell?.(code) ?? '';
  const last = answer + farewell(CloseCode.SERVER_CLOSED);

  /** An answer of which the client has taken one byte, and a worker that has closed behind it. */
  function behind(): Talk {
    const talk = new Talk(spoken);
    talk.world.client(talk.connection).room = 1;
    talk.sends(spoken.messages[0]);
    talk.serve();
    talk.workerSends(close);
    expect([talk.got, talk.connection.life]).toEqual([answer.slice(0, 1), Life.closing]);
    return talk;
  }

  describe('when a worker closes', () => {
    it('lets what is queued leave first', () => {
      const talk = behind();
      talk.world.clientTakes(talk.connection);
      talk.serve();
      expect(talk.got).toBe(last);
      expectEnd(talk, CloseCode.SERVER_CLOSED);
    });

    it('throws away what the client sends meanwhile', () => {
      const talk = behind();
      talk.sends(spoken.messages[1]);
      talk.serve();
      talk.world.clientTakes(talk.connection);
      talk.serve();
      expect(talk.heard).toBe(spoken.expected[0]);
      expect(talk.got).toBe(last);
    });

    it('counts what workers send behind it as discarded', () => {
      const talk = behind();
      const before = talk.discarded;
      talk.workerSends({ type: Request.send, payload: 'late' });
      talk.world.clientTakes(talk.connection);
      expect([talk.got, talk.discarded]).toEqual([last, before + 1]);
    });

    it('waits for the end of a client that still sends, so that no RST takes the last bytes away', () => {
      const talk = behind();
      talk.world.client(talk.connection).sent.push(Buffer.from(spoken.messages[1], 'latin1'));
      talk.world.clientTakes(talk.connection);
      expect([talk.got, talk.connection.life]).toEqual([last, Life.lingering]);
      expect(talk.world.client(talk.connection).end).toBe('half');
      talk.sends(spoken.messages[2], 'end');
      talk.sends('end');
      talk.serve();
      expect(talk.heard).toBe(spoken.expected[0]);
      expectEnd(talk, CloseCode.SERVER_CLOSED);
    });

    it('does not wait for that end for ever', () => {
      const talk = behind();
      talk.world.client(talk.connection).sent.push(Buffer.from(spoken.messages[1], 'latin1'));
      talk.world.clientTakes(talk.connection);
      passes(talk, LINGER_MS + SWEEP_MS);
      talk.serve();
      expectEnd(talk, CloseCode.SERVER_CLOSED);
    });

    it('resets a client that takes nothing of what waits', () => {
      const talk = behind();
      passes(talk, 30_000);
      talk.serve();
      expect([talk.got, talk.world.client(talk.connection).end]).toEqual([answer.slice(0, 1), 'reset']);
      expect(talk.closes).toEqual([CloseCode.WRITE_TIMEOUT]);
    });

    it('drops what is queued when it is to be reset', () => {
      const talk = new Talk(spoken);
      talk.world.client(talk.connection).room = 1;
      talk.sends(spoken.messages[0]);
      talk.serve();
      talk.workerSends({ ...close, flags: CloseFlag.reset });
      talk.serve();
      expect([talk.got, talk.world.client(talk.connection).end]).toEqual([answer.slice(0, 1), 'reset']);
      expect(talk.closes).toEqual([CloseCode.SERVER_CLOSED]);
    });

    it('gives nothing of what was read and not given out', () => {
      const talk = new Talk(spoken);
      talk.workerSends({ type: Request.pause });
      talk.sends(whole);
      talk.workerSends(close);
      talk.workerSends({ type: Request.resume });
      talk.serve();
      expect(talk.heard).toBe('');
      expect(talk.closes).toEqual([CloseCode.SERVER_CLOSED]);
    });
  });

  describe('when its process is being replaced and it cannot go over', () => {
    it('is finished, and closed', () => {
      const talk = new Talk(spoken);
      talk.sends(spoken.messages[0]);
      talk.connection.protocol.dismiss(talk.connection);
      talk.connection.protocol.dismiss(talk.connection);
      talk.serve();
      expect(talk.got).toBe(answer + farewell(CloseCode.WORKER_REPLACED));
      if (!talk.connection.protocol.isBound) expectEnd(talk, CloseCode.WORKER_REPLACED);
    });

    it('is closed between two messages', () => {
      const talk = new Talk(spoken);
      talk.sends(spoken.messages[0]);
      talk.serve();
      talk.connection.protocol.dismiss(talk.connection);
      talk.serve();
      if (!talk.connection.protocol.isBound) expectEnd(talk, CloseCode.WORKER_REPLACED);
      expect(talk.got).toBe(answer + farewell(CloseCode.WORKER_REPLACED));
    });
  });
}

/** Its worker was told of the end once, and before that of the client's at most; the descriptor is gone. */
function expectEnd(talk: Talk, code: number): void {
  if (talk.spoken.farewell !== undefined) talk.sends('end'); // which is what it asks for
  expect(talk.connection.isClosed).toBe(true);
  expect(talk.world.client(talk.connection).end).toMatch(/released|reset/);
  expect(talk.closes.length).toBeLessThanOrEqual(2);
  expect(talk.closes.at(-1)).toBe(code);
}

/** The sweep looks at deadlines on the way. */
function passes({ world }: Talk, ms: number): void {
  world.pass(ms);
  vi.advanceTimersByTime(SWEEP_MS);
  world.turn();
}
