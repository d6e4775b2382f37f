/** Lists over all nodes, as a process asks for them: equal ones at the same time are one question. Runs in every process. */
import { told } from '../errors/index.js';
import { longestListMs, withSilent } from './driver.js';
import { EqualQuestions } from './equal-questions.js';
import type { Question } from './messages.js';

/** As the broker process answers, frozen. */
interface Answer {
  readonly all: readonly unknown[];
  readonly silent: readonly string[] | undefined;
}

export interface ListsParts {
  readonly heartbeatMs: number;
  readonly ttlMs: number;
  /** That wait at once. */
  readonly most: number;
  /** Of the broker process. */
  ask(question: Question, timeoutMs: number): Promise<unknown>;
}

export class Lists {
  readonly #parts: ListsParts;
  readonly #equal: EqualQuestions<Answer>;

  constructor(parts: ListsParts) {
    this.#parts = parts;
    this.#equal = new EqualQuestions(parts.most, parts.heartbeatMs);
  }

  /** @returns an array of the asker's own: what is in it is frozen, for others have it as well */
  async ask(question: Extract<Question, { ask: 'members' | 'presence' }>): Promise<unknown[]> {
    const name = question.ask === 'members' ? question.room : question.key;
    try {
      const { all, silent } = await this.#equal.ask(`${question.ask} ${name}`, () => this.#find(question));
      return withSilent([...all], silent);
    } catch (error) {
      throw told(error);
    }
  }

  async #find(question: Question): Promise<Answer> {
    const { ask, heartbeatMs } = this.#parts;
    // The same list for another process may be under way.
    const list = (await ask(question, longestListMs(this.#parts) + heartbeatMs)) as unknown[] & { silent?: string[] };
    for (const each of list) freeze(each);
    return { all: list, silent: list.silent };
  }
}

/** With all that it holds, which is JSON: it may be nested deeper than calls may be. */
function freeze(given: unknown): void {
  const left = [given];
  while (left.length > 0) {
    const value = left.pop();
    if (typeof value !== 'object' || value === null) continue;
    left.push(...Object.values(Object.freeze(value)));
  }
}
