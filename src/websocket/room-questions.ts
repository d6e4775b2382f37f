/** Asks the reactors about rooms: each knows those of its connections. Runs in a worker. */
import { ServerError } from '../errors/index.js';
import { Event, flagsOf, PieceFlag } from '../ipc/frame.js';
import { ANSWER_MS, packQuestion, RoomAnswer } from '../ipc/frames/room-question.js';
import type { Outbox } from '../ipc/outbox.js';
import type { RingReader } from '../ipc/ring.js';
import { copyPayload } from '../worker/payload.js';
import type { FrameService } from '../worker/service.js';

interface Question {
  /** Reactors that have not answered. */
  missing: number;
  readonly answers: RoomAnswer[];
  done(answers: readonly RoomAnswer[]): void;
}

/** A frame of an answer. */
interface Piece {
  readonly ring: RingReader;
  /** PieceFlag */
  readonly flags: number;
  readonly bytes: Buffer;
}

/** No two processes of a server have asked under the same number: an answer to the preceding one may come here. */
const firstNumber = (): number => process.pid * 2 ** 30;

/** The process that holds the server asks, its worker hears the answers. */
export class RoomQuestions implements FrameService<Piece> {
  readonly types = [Event.told];
  /** True where answers come: in workers. */
  isHeard = false;
  readonly #questions = new Map<number, Question>();
  /** Answers of which a part has come, by the ring of their reactor: each sends one after the other. */
  readonly #begun = new Map<RingReader, Buffer[]>();
  #last = firstNumber();

  /** @param room whose members are asked for; rejects with ERR_ROOM_QUESTION, ERR_ROOM_BUFFER_FULL, ERR_NO_ROOMS */
  async members(outbox: Outbox, room: string): Promise<number[]> {
    const answers = await this.#ask(outbox, (number) => outbox.rooms.ask(packQuestion(number, room)));
    return answers.flatMap(({ members }) => members);
  }

  /** Of one connection; rejects as `members`. */
  async roomsOf(outbox: Outbox, sessionId: number): Promise<string[]> {
    const answers = await this.#ask(outbox, (number) => outbox.rooms.askFor(sessionId, packQuestion(number, '')));
    return answers.flatMap(({ rooms }) => rooms);
  }

  #ask(outbox: Outbox, send: (number: number) => number | undefined): Promise<readonly RoomAnswer[]> {
    if (!this.isHeard) throw new ServerError('ERR_ROOM_QUESTION', { why: 'this process is no worker' });
    const number = ++this.#last;
    const missing = send(number);
    if (missing === undefined) throw outbox.lastError as ServerError;
    if (missing === 0) return Promise.resolve([]);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#questions.delete(number);
        if (this.#questions.size === 0) this.#begun.clear();
        reject(new ServerError('ERR_ROOM_QUESTION', { why: `a reactor has not answered within ${ANSWER_MS} ms` }));
      }, ANSWER_MS);
      const done = (answers: readonly RoomAnswer[]): void => {
        clearTimeout(timer);
        resolve(answers);
      };
      this.#questions.set(number, { missing, answers: [], done });
    });
  }

  // ——— the answers ———

  get isIncomplete(): boolean {
    return false;
  }

  take(ring: RingReader): Piece {
    return { ring, flags: flagsOf(ring.word), bytes: copyPayload(ring) };
  }

  deliver({ ring, flags, bytes }: Piece): boolean {
    const hasMore = (flags & PieceFlag.more) !== 0;
    const pieces = (flags & PieceFlag.continued) === 0 ? [] : this.#begun.get(ring);
    if (pieces === undefined) return hasMore; // its beginning went to the preceding process, or was given up
    pieces.push(bytes);
    if (hasMore) this.#begun.set(ring, pieces);
    else {
      this.#begun.delete(ring);
      this.#told(new RoomAnswer(Buffer.concat(pieces)));
    }
    return hasMore;
  }

  #told(answer: RoomAnswer): void {
    const question = this.#questions.get(answer.number);
    if (question === undefined) return;
    question.answers.push(answer);
    if (--question.missing > 0) return;
    this.#questions.delete(answer.number);
    question.done(question.answers);
  }

  connectionEnded(): void {}

  dismiss(_deadlineMs: number, done: () => void): void {
    done();
  }

  drain(): void {}

  poll(): void {}
}
