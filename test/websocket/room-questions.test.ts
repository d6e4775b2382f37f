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

/** By reactor. */
const rings = [0, 1].map(() => ({ word: 0, bytes: Buffer.alloc(0), payloadAt: 0, length: 0 }));

/** A frame comes in the ring of a reactor. @returns as `deliver` */
function comes(bytes: Buffer, flags: number, reactor = 0): boolean {
  const ring = Object.assign(rings[reactor] as object, {
    word: wordOf(Event.told, flags, 0),
    bytes,
    length: bytes.length,
  });
  return questions.deliver(questions.take(ring as RingReader));
}

/** A reactor answers, in pieces of so many bytes. */
function tell(payload: Buffer, pieceBytes = payload.length): boolean[] {
  return framesOf(payload, pieceBytes).map(([bytes, flags]) => comes(bytes, flags));
}

function framesOf(payload: Buffer, pieceBytes: number): (readonly [bytes: Buffer, flags: number])[] {
  return Array.from({ length: Math.ceil(payload.length / pieceBytes) }, (_, i) => {
    const [at, end] = [i * pieceBytes, (i + 1) * pieceBytes];
    const flags = (end >= payload.length ? 0 : PieceFlag.more) | (at > 0 ? PieceFlag.continued : 0);
    return [payload.subarray(at, end), flags];
  });
}

/** The number of a question. */
const numberOf = (at: number): number => asked[at]?.number ?? -1;

describe('a question about rooms', () => {
  it('has the answers of all reactors', async () => {
    const members = questions.members(outbox, 'ä');
    expect(asked).toEqual([{ fd: 0, number: numberOf(0), room: 'ä' }]);
    expect(tell(packMembers(numberOf(0), [2 ** 40, 7]))).toEqual([false]);
    tell(packMembers(numberOf(0), [8]));
    expect(await members).toEqual([2 ** 40, 7, 8]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('about a connection has the names of its rooms', async () => {
    reactors = 1;
    const rooms = questions.roomsOf(outbox, 64);
    expect(asked).toEqual([{ fd: 64, number: numberOf(0), room: '' }]);
    tell(packRooms(numberOf(0), ['a', 'ü b']));
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
    tell(packMembers(numberOf(1), [22]));
    tell(packMembers(numberOf(1), [23]));
    tell(packMembers(numberOf(0), [11]));
    expect([await first, await second]).toEqual([[11], [22]]);
  });

  it('is answered in pieces where the answer is long', async () => {
    reactors = 1;
    const members = questions.members(outbox, 'a');
    const expected = Array.from({ length: 10 }, (_, at) => at + 1);
    expect(tell(packMembers(numberOf(0), expected), 24)).toEqual([true, true, true, false]);
    expect(await members).toEqual(expected);
  });

  it('is answered by several reactors in pieces, in any order', async () => {
    const members = questions.members(outbox, 'a');
    const [first, second] = [
      [1, 2, 3, 4],
      [5, 6, 7, 8],
    ].map((some) => framesOf(packMembers(numberOf(0), some), 16));
    for (const [at, [bytes, flags]] of (first ?? []).entries()) {
      const [others, othersFlags] = second?.[at] ?? [Buffer.alloc(0), 0];
      expect([comes(bytes, flags, 0), comes(others, othersFlags, 1)]).toEqual([at < 2, at < 2]);
    }
    expect(await members).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });

  it('is answered right also behind an answer that was never finished', async () => {
    reactors = 1;
    const members = questions.members(outbox, 'a');
    comes(packMembers(numberOf(0), [5, 6, 7]).subarray(0, 16), PieceFlag.more);
    tell(packMembers(numberOf(0), [8]));
    expect(await members).toEqual([8]);
  });

  it('is not answered by what the preceding process has asked, of which the rest may come here', async () => {
    reactors = 1;
    const members = questions.members(outbox, 'a');
    tell(packMembers(1, [5]));
    expect(comes(packMembers(numberOf(0), [6]), PieceFlag.continued | PieceFlag.more)).toBe(true);
    expect(comes(packMembers(numberOf(0), [6]), PieceFlag.continued)).toBe(false);
    tell(packMembers(numberOf(0), [8]));
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
    tell(packMembers(numberOf(0), [1]));
    vi.advanceTimersByTime(4999);
    vi.advanceTimersByTime(1);
    await refused;
    tell(packMembers(numberOf(0), [1]));
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
