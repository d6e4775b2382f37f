/**
 * The way from a process to the broker process of its node, which may stand still until there is no room. Publications that
 * were not taken are counted, and the broker process is told of which rooms and subjects as soon as it takes messages again: the
 * other nodes have a gap there. Runs in every process.
 */
import { ServerError } from '../errors/index.js';
import { noteGap } from './drivers/gaps.js';
import type { ToBroker } from './messages.js';
import { SubjectKind, subjectOf } from './subjects.js';

const TELL_AGAIN_MS = 100;
const SUBJECTS_IN_ONE_MESSAGE = 500;

export class WayToBroker {
  /** @throws ServerError ERR_MESSAGE_QUEUE_FULL */
  readonly #send: (message: ToBroker) => void;
  /** Of publications that were not taken. */
  readonly #subjects = new Set<string>();
  #publications = 0;
  #telling: NodeJS.Timeout | undefined;

  constructor(send: (message: ToBroker) => void) {
    this.#send = send;
  }

  /** @throws ServerError ERR_MESSAGE_QUEUE_FULL */
  say(message: ToBroker): void {
    try {
      this.#send(message);
    } catch (error) {
      this.notTaken(message);
      throw refused(message, error);
    }
  }

  /** What was said, and has found no place later, too. */
  notTaken(message: ToBroker): void {
    const subject = publishedSubject(message);
    if (subject === undefined) return;
    this.#publications++;
    noteGap(subject, this.#subjects);
    this.#telling ??= setTimeout(() => this.#tell(), TELL_AGAIN_MS).unref();
  }

  /** As far as there is room. */
  #tell(): void {
    this.#telling = undefined;
    try {
      while (this.#subjects.size > 0) this.#tellSome();
    } catch (error) {
      if (!isFull(error)) throw error;
      this.#telling = setTimeout(() => this.#tell(), TELL_AGAIN_MS).unref();
    }
  }

  #tellSome(): void {
    const subjects: string[] = [];
    for (const subject of this.#subjects) if (subjects.push(subject) >= SUBJECTS_IN_ONE_MESSAGE) break;
    this.#send({ say: 'notTaken', subjects, publications: this.#publications });
    this.#publications = 0;
    for (const subject of subjects) this.#subjects.delete(subject);
  }
}

/** @returns undefined: it is no publication */
export function publishedSubject(message: ToBroker): string | undefined {
  if (message.say === 'publish') return message.subject;
  return message.say === 'room' ? subjectOf(SubjectKind.room, message.room) : undefined;
}

export const isFull = (error: unknown): error is ServerError<'ERR_MESSAGE_QUEUE_FULL'> =>
  error instanceof ServerError && error.is('ERR_MESSAGE_QUEUE_FULL');

function refused(message: ToBroker, error: unknown): unknown {
  if (!isFull(error)) return error;
  const cluster = publishedSubject(message) === undefined ? 'message' : 'publication';
  return new ServerError('ERR_MESSAGE_QUEUE_FULL', { ...error.detail, cluster });
}
