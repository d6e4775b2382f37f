import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ServerError } from '../../src/errors/index.js';
import { Event, PieceFlag, wordOf } from '../../src/ipc/frame.js';
import { packMembers, packRooms, readQuestion } from '../../src/ipc/frames/room-question.js';
import type { Outbox } from '../../src/ipc/outbox.js';
import type { RingReader } from '../../src/ipc/ring.js';
import { RoomQuestions } from '../../src/websocket/room-questions.js';

let questions: RoomQuestions;
/** What was asked: the connection (0: of all), the question's number and its room. */
let asked: { fd: number; number: number; room: string }[];
/** How many reactors will answer; undefined: questions are refused. */
let reactors: number | undefined;

const ask = (fd: number, payload: Buffer): number | undefined => {
  asked.push({ fd, ...readQuestion(payload, 0, payload.length) });
  return reactors;
};
const outbox = {
  lastError: new ServerError('ERR_ROOM_BUFFER_FULL', { queuedBytes: 2, limitBytes: 1 }),
  rooms: { ask: (payload: Buffer) => ask(0, payload), askFor: (fd: number, payload: Buffer) => ask(fd, payload) },
} as unknown as Outbox;

beforeEach(() => {
  vi.useFakeTimers();
  questions = new RoomQuestions();
  questions.isHeard = true;
  [asked, reactors] = [[], 2];
});
afterEach(() => vi.useRealTimers());

/** A reactor answers, in pieces of so many bytes. */
function tell(payload: Buffer, pieceBytes = payload.length): boolean[] {
  const more: boolean[] = [];
  for (let at = 0; at < payload.length; at += pieceBytes) {
    const isLast = at + pieceBytes >= payload.length;
    const flags = (isLast ? 0 : PieceFlag.more) | (at > 0 ? PieceFlag.continued : 0);
    const bytes = payload.subarray(at, at + pieceBytes);
    const ring = { word: wordOf(Event.told, flags, 0), bytes, payloadAt: 0, length: bytes.length };
    more.push(questions.deliver(questions.take(ring as unknown as RingReader)));
  }
  return more;
}

describe('a question about rooms', () => {
  it('has the answers of all reactors', async () => {
    const members = questions.members(outbox, 'ä');
    expect(asked).toEqual([{ fd: 0, number: 1, room: 'ä' }]);
    expect(tell(packMembers(1, [2 ** 40, 7]))).toEqual([false]);
    tell(packMembers(1, [8]));
    expect(await members).toEqual([2 ** 40, 7, 8]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('about a connection has the names of its rooms', async () => {
    reactors = 1;
    const rooms = questions.roomsOf(outbox, 64);
    expect(asked).toEqual([{ fd: 64, number: 1, room: '' }]);
    tell(packRooms(1, ['a', 'ü b']));
    expect(await rooms).toEqual(['a', 'ü b']);
  });

  it('that nobody answers is answered at once', async () => {
    reactors = 0;
    expect([await questions.members(outbox, 'a'), await questions.roomsOf(outbox, 64)]).toEqual([[], []]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is answered under its number, whatever comes first, and once', async () => {
    reactors = 1;
    const [first, second] = [questions.members(outbox, 'a'), questions.members(outbox, 'b')];
    tell(packMembers(99, [1]));
    tell(packMembers(2, [22]));
    tell(packMembers(2, [23]));
    tell(packMembers(1, [11]));
    expect([await first, await second]).toEqual([[11], [22]]);
  });

  it('is answered in pieces where the answer is long', async () => {
    reactors = 1;
    const members = questions.members(outbox, 'a');
    const expected = Array.from({ length: 10 }, (_, at) => at + 1);
    expect(tell(packMembers(1, expected), 24)).toEqual([true, true, true, false]);
    expect(await members).toEqual(expected);
  });

  it('is answered right also behind an answer that was never finished', async () => {
    reactors = 1;
    const members = questions.members(outbox, 'a');
    const bytes = packMembers(1, [5, 6, 7]).subarray(0, 16);
    const word = wordOf(Event.told, PieceFlag.more, 0);
    questions.deliver(questions.take({ word, bytes, payloadAt: 0, length: 16 } as unknown as RingReader));
    tell(packMembers(1, [8]));
    expect(await members).toEqual([8]);
  });

  it('that is refused, because a reactor does not keep up, says so', async () => {
    reactors = undefined;
    const refused = { code: 'ERR_ROOM_BUFFER_FULL' };
    await expect(questions.members(outbox, 'a')).rejects.toMatchObject(refused);
    await expect(questions.roomsOf(outbox, 64)).rejects.toMatchObject(refused);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is given up after five seconds, and a late answer harms nobody', async () => {
    const members = questions.members(outbox, 'a');
    const refused = expect(members).rejects.toMatchObject({
      ...{ code: 'ERR_ROOM_QUESTION', detail: { why: 'a reactor has not answered within 5000 ms' } },
    });
    tell(packMembers(1, [1]));
    vi.advanceTimersByTime(4999);
    vi.advanceTimersByTime(1);
    await refused;
    tell(packMembers(1, [1]));
  });

  it('can be asked in a worker only', async () => {
    questions.isHeard = false;
    const refused = { code: 'ERR_ROOM_QUESTION', detail: { why: 'this process is no worker' } };
    await expect(questions.members(outbox, 'a')).rejects.toMatchObject(refused);
    await expect(questions.roomsOf(outbox, 64)).rejects.toMatchObject(refused);
    expect(asked).toEqual([]);
  });

  it('holds up neither a release nor the end of its process', () => {
    let done = 0;
    questions.dismiss(1000, () => done++);
    expect([done, questions.isIncomplete, questions.types]).toEqual([1, false, [Event.told]]);
  });
});
