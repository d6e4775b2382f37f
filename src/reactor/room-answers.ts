/** Answers questions of workers about rooms; an answer that finds no room in the worker's ring waits. Runs in the reactor. */
import { Event } from '../ipc/frame.js';
import type { Frame } from '../ipc/frames/frame.js';
import { packMembers, packRooms, readQuestion } from '../ipc/frames/room-question.js';
import type { ReactorContext } from './context.js';
import type { Rooms } from './rooms.js';

interface Answer {
  readonly worker: number;
  readonly bytes: Buffer;
}

/** Of one worker that does not take them: further ones are not answered. */
const MOST_WAITING = 1000;

export class RoomAnswers {
  readonly #context: ReactorContext;
  readonly #rooms: Rooms;
  #waiting: Answer[] = [];

  constructor(context: ReactorContext, rooms: Rooms) {
    this.#context = context;
    this.#rooms = rooms;
  }

  /** @param worker who asks; −1: a process that gets no events */
  ask({ bytes, payloadAt, length, sessionId }: Frame, worker: number): void {
    if (worker < 0 || this.#waiting.length >= MOST_WAITING) return;
    const { number, room } = readQuestion(bytes, payloadAt, length);
    const answer = room === '' ? this.#roomsOf(number, sessionId) : packMembers(number, this.#rooms.membersOf(room));
    this.#waiting.push({ worker, bytes: answer });
    this.flush();
  }

  #roomsOf(number: number, sessionId: number): Buffer {
    const connection = this.#context.connectionOf(sessionId);
    return packRooms(number, connection === undefined ? [] : this.#rooms.namesOf(connection));
  }

  /** Called at the end of each turn. */
  flush(): void {
    if (this.#waiting.length === 0) return;
    this.#waiting = this.#waiting.filter(
      ({ worker, bytes }) => !this.#context.ring(worker).writeWhole(Event.told, bytes, bytes.length),
    );
  }
}
