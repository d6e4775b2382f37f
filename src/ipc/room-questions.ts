/**
 * Where reactors tell of room by no event (task workers, processes of the user's own, manager, master): what was asked,
 * and what became of it, by the connection table. The reactor rings when there is room. Runs in the process that sends.
 */
import { type ConnectionTable, SlotFlag } from '../memory/connection-table.js';
import type { OutState } from './out-state.js';
import type { RingWriter } from './ring.js';

export interface RoomAnswers {
  /** Puts the question into the ring. */
  ask(state: OutState): void;
  writable(sessionId: number): void;
  forget(sessionId: number): void;
}

export class RoomQuestions {
  readonly #table: ConnectionTable;
  readonly #answers: RoomAnswers;
  readonly #open = new Map<OutState, { ring: RingWriter; position: number; isTaken: boolean }>();

  constructor(table: ConnectionTable, answers: RoomAnswers) {
    this.#table = table;
    this.#answers = answers;
  }

  get isEmpty(): boolean {
    return this.#open.size === 0;
  }

  /** The question is the last frame of that ring. */
  asked(state: OutState, ring: RingWriter): void {
    this.#open.set(state, { ring, position: ring.position, isTaken: false });
  }

  forget(state: OutState): void {
    this.#open.delete(state);
  }

  /**
   * A question that the reactor has not taken has no answer yet: bytes before it are not counted.
   * @param asksAgain the reactor may have rung, and the queue be full again since: then it would not ring any more
   */
  look(asksAgain: boolean): void {
    for (const [state, question] of [...this.#open]) {
      const { sessionId } = state;
      question.isTaken ||= question.ring.isConsumed(question.position);
      if (this.#table.isGone(sessionId)) this.#answers.forget(sessionId);
      else if (!question.isTaken) continue;
      else if (!this.#table.hasFlag(this.#table.slotOf(sessionId), SlotFlag.full)) this.#answers.writable(sessionId);
      else if (asksAgain) this.#answers.ask(state);
    }
  }
}
