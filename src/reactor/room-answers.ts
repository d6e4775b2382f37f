/**
 * Answers questions of workers about rooms: in pieces, as the worker's ring has room, for a large room is longer than a ring.
 * Runs in the reactor.
 */
import { Event } from '../ipc/frame.js';
import type { Frame } from '../ipc/frames/frame.js';
import { ANSWER_MS, packMembers, packRooms, readQuestion } from '../ipc/frames/room-question.js';
import type { ReactorContext } from './context.js';
import type { Rooms } from './rooms.js';
import type { WorkerRing } from './worker-ring.js';

interface Question {
  readonly number: number;
  /** '': it asks for the rooms of the connection. */
  readonly room: string;
  readonly sessionId: number;
  readonly askedAt: number;
  /** Made when its turn comes: a worker that does not take them costs the memory of one. */
  answer: Buffer | undefined;
  /** Bytes of the answer. */
  sent: number;
}

/** Of each worker: further ones are not answered. */
const MOST_WAITING = 1000;

export class RoomAnswers {
  readonly #context: ReactorContext;
  readonly #rooms: Rooms;
  /** By worker. */
  readonly #waiting = new Map<number, Question[]>();

  constructor(context: ReactorContext, rooms: Rooms) {
    this.#context = context;
    this.#rooms = rooms;
  }

  /** @param worker who asks; −1: a process that gets no events */
  ask({ bytes, payloadAt, length, sessionId }: Frame, worker: number): void {
    const waiting = this.#waiting.get(worker) ?? [];
    if (worker < 0 || waiting.length >= MOST_WAITING) return;
    const question = readQuestion(bytes, payloadAt, length);
    waiting.push({ ...question, sessionId, askedAt: this.#context.now, answer: undefined, sent: 0 });
    this.#waiting.set(worker, waiting);
    if (waiting.length === 1) this.#answer(worker, waiting);
  }

  /** Called at the end of each turn, behind all else that asks workers for room. */
  flush(): void {
    for (const [worker, waiting] of this.#waiting) this.#answer(worker, waiting);
  }

  #answer(worker: number, waiting: Question[]): void {
    const ring = this.#context.ring(worker);
    let done = 0;
    while (done < waiting.length && this.#hasLeft(ring, waiting[done] as Question)) done++;
    waiting.splice(0, done);
    if (waiting.length === 0) this.#waiting.delete(worker);
  }

  /** @returns false: the rest of the answer waits, and the worker rings when there is room */
  #hasLeft(ring: WorkerRing, question: Question): boolean {
    if (this.#context.now - question.askedAt >= ANSWER_MS) return true; // the worker has given up
    question.answer ??= this.#answerTo(question);
    do {
      question.sent = ring.writeOn(Event.told, question.answer, question.sent);
      if (question.sent === question.answer.length) return true;
    } while (!ring.waitsForRoom());
    return false;
  }

  #answerTo({ number, room, sessionId }: Question): Buffer {
    if (room !== '') return packMembers(number, this.#rooms.membersOf(room));
    const connection = this.#context.connectionOf(sessionId);
    return packRooms(number, connection === undefined ? [] : this.#rooms.namesOf(connection));
  }
}
