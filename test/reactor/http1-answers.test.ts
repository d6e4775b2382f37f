import { constants } from 'node:os';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AnswerFlag, CloseCode, Event, goneFlags, Request } from '../../src/ipc/frame.js';
import { filePayload } from '../../src/ipc/frames/file.js';
import { ReactorCounter } from '../../src/memory/boards.js';
import { Life } from '../../src/reactor/life.js';
import { chunked, get, Http1World, OK, post, sized } from '../helpers/http1-world.js';

const { ECONNRESET } = constants.errno;
const FIRST_PID = 1000;
const LANE_1 = 1;

beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }));
afterEach(() => void vi.useRealTimers());

/** A request that a worker has taken. */
function asked(world = new Http1World(), text = get('/1') + get('/2')): Http1World {
  world.asks(text);
  world.heardRequests();
  world.table.setTaker(world.connection.slot, FIRST_PID);
  return world;
}

const discarded = (world: Http1World): number => world.board.read(0, ReactorCounter.discarded);

describe('an answer', () => {
  it('may come in pieces, of bytes and of files', () => {
    const world = asked();
    world.answers(1, 'HTTP/1.1 200 OK\r\n\r\n', 0);
    world.answers(1, 'a', 0);
    const payload = filePayload('/file', 2, 3);
    world.sends(world.connection, [{ type: Request.answerFile, detail: 1, payload }]);
    expect(world.heardRequests()).toEqual([]);
    world.answers(1, '');
    expect(world.got).toBe('HTTP/1.1 200 OK\r\n\r\na</file 2+3>');
    expect(world.heardRequests()).toMatchObject([{ target: '/2' }]);
  });

  it('of a request that is over is discarded', () => {
    const world = asked();
    world.answers(1);
    world.heardRequests();
    const before = discarded(world);
    world.answers(1, 'late');
    world.answers(3, 'from the future');
    expect([world.got, discarded(world) - before]).toEqual([OK, 2]);
    world.answers(2);
    expect(world.got).toBe(OK + OK);
  });

  it('is not awaited between two requests', () => {
    const world = asked(undefined, get('/1'));
    world.answers(1);
    world.answers(1, 'once more');
    expect(world.got).toBe(OK);
  });

  it('is known by its number, which begins anew after 65,535', () => {
    const world = asked(undefined, get('/1'));
    world.answers(1);
    (world.connection.state as { exchange: number }).exchange = 0xffff;
    world.asks(get('/2'));
    expect(world.heardRequests()).toMatchObject([{ exchange: 0 }]);
    world.answers(0);
    expect(world.got).toBe(OK + OK);
  });

  it('ends the connection where the worker says so', () => {
    const world = asked();
    world.answers(1, OK, AnswerFlag.last | AnswerFlag.close);
    expect([world.got, world.connection.isClosed, world.heardRequests()]).toEqual([OK, true, []]);
    expect(world.found()).toEqual([[Event.close, 0, '']]);
  });

  it('ends it where the body has not come whole', () => {
    const world = asked(undefined, sized('x'.repeat(200_000)).slice(0, 1000));
    world.answers(1);
    expect([world.got, world.connection.closeCode]).toEqual([OK, CloseCode.SERVER_CLOSED]);
  });

  it('comes after the end of the client, and the requests before that end come next', () => {
    const world = asked();
    world.asks('end');
    expect(world.connection.life).toBe(Life.answering);
    expect(world.found()).toEqual([[Event.gone, goneFlags(CloseCode.CLIENT_CLOSED, true), '']]);
    world.answers(1);
    expect(world.heardRequests()).toMatchObject([{ target: '/2' }]);
    world.answers(2);
    expect([world.got, world.connection.isClosed]).toEqual([OK + OK, true]);
  });

  it('is told to be of no use when the connection is closed by another process', () => {
    const world = asked();
    world.sends(world.connection, [{ type: Request.close, detail: CloseCode.SERVER_CLOSED }]);
    expect(world.found()).toEqual([
      [Event.gone, goneFlags(CloseCode.SERVER_CLOSED), ''],
      [Event.close, 0, ''],
    ]);
    world.answers(1);
    expect([world.got, world.board.underWay(0)]).toEqual(['', 0]);
  });

  it('may be given by hand where the worker is in this process', () => {
    const world = asked();
    const [head, body] = [Buffer.from('head '), Buffer.from(' body')];
    const answer = { detail: 1, flags: AnswerFlag.last, head, text: 'text', body };
    expect(world.answersByHand(world.connection, { ...answer, detail: 7 })).toBe(true);
    expect(world.answersByHand(world.connection, { ...answer, text: 'x'.repeat(400_000) })).toBe(false);
    expect(world.got).toBe('');
    expect(world.answersByHand(world.connection, answer)).toBe(true);
    world.turn();
    expect(world.got).toBe('head text body');
    expect(world.heardRequests()).toMatchObject([{ target: '/2' }]);
  });

  it('keeps its file in place when the file is gone: only the end tells the client', () => {
    const world = asked();
    const payload = filePayload('/missing', 0, 3);
    world.sends(world.connection, [{ type: Request.answerFile, detail: 1, flags: AnswerFlag.last, payload }]);
    expect(world.client(world.connection).end).toBe('reset');
    expect(world.found().at(-1)?.[2]).toBe('/missing: it is not there');
  });
});

describe('while an answer is owed', () => {
  const READ_AHEAD_BYTES = 65_536;

  it('what comes behind is read ahead to see the end of the client, but not without end', () => {
    const world = asked(undefined, get('/1'));
    world.asks(...Array.from({ length: 10 }, () => 'x'.repeat(60_000)));
    expect(world.connection.input?.length).toBeGreaterThanOrEqual(READ_AHEAD_BYTES);
    expect(world.connection.input?.length).toBeLessThan(3 * READ_AHEAD_BYTES);
    expect(world.client(world.connection).sent.length).toBeGreaterThan(5);
  });

  it('the end of a client that has sent more than that is taken from the kernel', () => {
    const world = asked(undefined, get('/1'));
    world.asks(...Array.from({ length: 10 }, () => 'x'.repeat(60_000)));
    world.connection.hangup = true;
    world.isReadable(world.connection);
    expect(world.found()).toEqual([[Event.gone, goneFlags(CloseCode.CLIENT_CLOSED, true), '']]);
    world.answers(1);
    expect(world.got.startsWith(OK)).toBe(true);
  });

  it('the client may go away: its worker is told that the answer is of no use', () => {
    const world = asked();
    world.asks(-ECONNRESET);
    expect(world.found().map(([type, flags]) => [type, flags])).toEqual([
      [Event.gone, goneFlags(CloseCode.CLIENT_RESET)],
      [Event.close, 0],
    ]);
    expect(world.board.underWay(0)).toBe(0);
  });
});

describe('when the process dies that has taken a request', () => {
  it('the client is told 502, and goes on', () => {
    const world = asked();
    world.replaceProcess(0, 77);
    expect([world.statuses, world.connection.isClosed]).toEqual([[502], false]);
    expect(world.heardRequests()).toMatchObject([{ target: '/2' }]);
    expect(world.board.read(0, ReactorCounter.badGateways)).toBe(1);
  });

  it('it goes to the successor where nobody has taken it', () => {
    const world = new Http1World();
    world.asks(get('/1'));
    world.replaceProcess(0, 77);
    expect(world.statuses).toEqual([]);
    expect(world.heardRequests()).toMatchObject([{ target: '/1' }]);
  });

  it('the connection is reset where its answer has begun', () => {
    const world = asked();
    world.answers(1, 'HTTP/1.1 200 OK\r\n\r\nhalf', 0);
    world.replaceProcess(0, 77);
    expect([world.statuses, world.client(world.connection).end]).toEqual([[200], 'reset']);
  });

  it('an interim answer is none', () => {
    const world = asked();
    world.answers(1, 'HTTP/1.1 103 Early Hints\r\n\r\n', AnswerFlag.interim);
    world.replaceProcess(0, 77);
    expect(world.statuses).toEqual([103, 502]);
  });

  it('502 ends the connection where the client would not stay', () => {
    const world = asked(undefined, 'GET / HTTP/1.0\r\n\r\n');
    world.replaceProcess(0, 77);
    expect([world.statuses, world.connection.closeCode]).toEqual([[502], CloseCode.WORKER_DIED]);
  });

  it('502 ends the connection where a body was under way', () => {
    const world = asked(undefined, chunked('1\r\na\r\n'));
    world.replaceProcess(0, 77);
    expect([world.statuses, world.connection.closeCode]).toEqual([[502], CloseCode.WORKER_DIED]);
  });
});

describe('a detached request', () => {
  const HEAD = 'HTTP/1.1 200 OK\r\n\r\n';

  function detached(): Http1World {
    const world = asked();
    world.table.setTaker(world.connection.slot, 0);
    world.processes.set(LANE_1, 500);
    return world;
  }

  it('is answered by any process', () => {
    const world = detached();
    world.answers(1, OK, AnswerFlag.last, LANE_1);
    expect(world.got).toBe(OK);
  });

  it('belongs to the process that has begun its answer', () => {
    const world = detached();
    world.answers(1, HEAD, 0, LANE_1);
    world.answers(1, 'of another one');
    world.answers(1, 'its own', AnswerFlag.last, LANE_1);
    expect(world.got).toBe(`${HEAD}its own`);
    expect(discarded(world)).toBe(1);
  });

  it('lives when the worker dies that has detached it', () => {
    const world = detached();
    world.answers(1, HEAD, 0, LANE_1);
    world.replaceProcess(0, 77);
    world.answers(1, 'more', AnswerFlag.last, LANE_1);
    expect(world.got).toBe(`${HEAD}more`);
  });

  it('is reset when the process dies that has begun to answer', () => {
    const world = detached();
    world.answers(1, HEAD, 0, LANE_1);
    world.processes.set(LANE_1, 501);
    world.replaceProcess(0, 77);
    expect(world.client(world.connection).end).toBe('reset');
  });

  it('is reset when that process was gone before its first bytes were taken', () => {
    const world = detached();
    world.processes.set(LANE_1, 0);
    world.answers(1, HEAD, 0, LANE_1);
    world.replaceProcess(0, 77);
    expect(world.client(world.connection).end).toBe('reset');
  });
});

describe('in time', () => {
  it('a client without a request goes after keepAliveTimeoutMs, without a word', () => {
    const world = new Http1World({ keepAliveTimeoutMs: 1000 });
    world.ticks(999);
    expect(world.connection.isClosed).toBe(false);
    world.ticks(1);
    expect([world.got, world.connection.closeCode]).toEqual(['', CloseCode.KEEP_ALIVE_TIMEOUT]);
  });

  it('its time begins when it has taken the answer', () => {
    const world = asked(new Http1World({ keepAliveTimeoutMs: 1000 }), get('/1'));
    world.client(world.connection).room = 3;
    world.ticks(5000);
    world.answers(1);
    world.ticks(5000);
    world.clientTakes(world.connection);
    world.ticks(999);
    expect(world.connection.isClosed).toBe(false);
    world.ticks(1);
    expect(world.connection.isClosed).toBe(true);
  });

  it('a head that has begun is whole within headersTimeoutMs, or 408', () => {
    const world = new Http1World({ headersTimeoutMs: 1000 });
    world.ticks(5000);
    world.asks('GET');
    world.ticks(900);
    world.asks(' / HTTP/1.1\r\n');
    world.ticks(100);
    expect([world.statuses, world.connection.closeCode]).toEqual([[408], CloseCode.HTTP_TIMEOUT]);
    expect(world.board.read(0, ReactorCounter.httpTimedOut)).toBe(1);
  });

  it('an answer begins within requestTimeoutMs, or 503, and its worker is told', () => {
    const world = asked(new Http1World({ requestTimeoutMs: 1000 }));
    world.ticks(1000);
    expect([world.statuses, world.connection.isClosed]).toEqual([[503], false]);
    const [gone] = world.found().filter(([type]) => type === Event.gone);
    expect(gone).toMatchObject([Event.gone, goneFlags(CloseCode.HTTP_TIMEOUT), expect.stringMatching(/^503 /)]);
    world.answers(1, 'late');
    expect(world.got).not.toContain('late');
  });

  it('an answer that has begun may take any time', () => {
    const world = asked(new Http1World({ requestTimeoutMs: 1000 }));
    world.answers(1, 'HTTP/1.1 200 OK\r\n\r\n', 0);
    world.ticks(60_000);
    expect([world.statuses, world.connection.isClosed]).toEqual([[200], false]);
  });

  it('a body may not pause for requestTimeoutMs: 408', () => {
    const world = asked(new Http1World({ requestTimeoutMs: 1000 }), sized('x'.repeat(200_000)).slice(0, 1000));
    world.ticks(900);
    world.asks('x');
    world.ticks(900);
    expect(world.statuses).toEqual([]);
    world.ticks(100);
    expect([world.statuses, world.connection.closeCode]).toEqual([[408], CloseCode.HTTP_TIMEOUT]);
  });

  it('nor may one that is waited for as a whole', () => {
    const world = new Http1World({ requestTimeoutMs: 1000 });
    world.asks(post('content-length: 5\r\n', 'abc'));
    world.ticks(1000);
    expect(world.statuses).toEqual([408]);
  });

  it('a body may not drip: minBodyBytesPerSecond', () => {
    const world = asked(new Http1World({ minBodyBytesPerSecond: 100 }), sized('x'.repeat(200_000)).slice(0, 1000));
    for (let second = 0; second < 30 && world.statuses.length === 0; second++) {
      world.asks('x');
      world.ticks(1000);
    }
    expect(world.statuses).toEqual([408]);
  });

  it('a client that was not told to go on is not late', () => {
    const world = asked(
      new Http1World({ requestTimeoutMs: 1000 }),
      post('content-length: 5\r\nexpect: 100-continue\r\n'),
    );
    world.ticks(1000);
    expect(world.statuses).toEqual([503]);
  });

  it('a request that no worker has room for is told 503', () => {
    const world = new Http1World({ requestTimeoutMs: 1000, headersTimeoutMs: 500 });
    world.fill(0);
    world.comesEarly(world.connection, get('/1'));
    world.reading.readSoon(world.connection);
    world.turn();
    world.ticks(600);
    expect(world.statuses).toEqual([]);
    world.ticks(400);
    expect(world.statuses).toEqual([503]);
  });

  it.each([
    [{}, 0],
    [{ keepAliveTimeoutMs: 1000 }, 250],
    [{ requestTimeoutMs: 20 }, 20],
    [{ headersTimeoutMs: 60_000, minBodyBytesPerSecond: 1 }, 1000],
  ])('looks as often as it must: %j', (http, tickMs) => {
    expect(new Http1World(http).protocols.ofPort(0).tickMs).toBe(tickMs);
  });
});

describe('when the client has ended its side and the answer does not come', () => {
  const overdue = (world: Http1World): void => {
    world.asks('end');
    world.pass(31_000);
    vi.advanceTimersByTime(250);
    world.turn();
  };

  it('it is told 503, and the worker that it is over', () => {
    const world = asked(undefined, get('/1'));
    overdue(world);
    expect(world.statuses).toEqual([503]);
    expect(world.found().map(([type, flags]) => [type, flags])).toContainEqual([
      Event.gone,
      goneFlags(CloseCode.ANSWER_TIMEOUT),
    ]);
  });

  it('it is left to requestTimeoutMs where there is one', () => {
    const world = asked(new Http1World({ requestTimeoutMs: 60_000 }), get('/1'));
    overdue(world);
    expect(world.statuses).toEqual([]);
  });

  it('it is reset where the answer has begun', () => {
    const world = asked(undefined, get('/1'));
    world.answers(1, 'HTTP/1.1 200 OK\r\n\r\n', 0);
    overdue(world);
    expect([world.statuses, world.client(world.connection).end]).toEqual([[200], 'reset']);
  });
});

describe('when its process is being replaced', () => {
  it('what is owed is answered, and nothing behind it', () => {
    const world = asked();
    world.connection.protocol.dismiss(world.connection);
    world.answers(1);
    expect([world.got, world.heardRequests(), world.connection.closeCode]).toEqual([OK, [], CloseCode.WORKER_REPLACED]);
  });

  it('a head that has not come whole is not waited for', () => {
    const world = new Http1World();
    world.asks('GET / HT');
    world.connection.protocol.dismiss(world.connection);
    expect([world.got, world.connection.closeCode]).toEqual(['', CloseCode.WORKER_REPLACED]);
  });
});
