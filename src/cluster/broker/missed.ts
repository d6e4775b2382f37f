/**
 * What processes of this node did not take from the broker process, because they stood still for too long: they are told of a
 * gap of each room and subject as soon as they read again. Runs in the broker process.
 */
import type { FromBroker } from '../messages.js';

export interface MissedParts {
  /** @throws ServerError ERR_MESSAGE_QUEUE_FULL */
  send(message: FromBroker, processId: number): void;
  /** How things stand now. */
  now(): FromBroker;
}

/** Changes of nodes and of the state that one process may miss before the oldest are left out. */
const MOST_EVENTS = 1000;

interface OfProcess {
  readonly names: Set<string>;
  /** In order: each of them is told some time. */
  readonly events: FromBroker[];
}

export class Missed {
  readonly #parts: MissedParts;
  readonly #missed = new Map<number, OfProcess>();

  constructor(parts: MissedParts) {
    this.#parts = parts;
  }

  /** That process has not got this message. */
  note(message: FromBroker, processId: number): void {
    const known = this.#missed.get(processId) ?? { names: new Set<string>(), events: [] };
    if (message.say === 'published') known.names.add(nameOf(message.subject));
    else if (message.say !== 'event')
      return; // an asker has its time limit, and what stands now is told with what was missed
    else if (message.event === 'clusterGap') known.names.add(message.args[0]);
    else if (known.events.push(message) > MOST_EVENTS) known.events.shift();
    this.#missed.set(processId, known);
  }

  /** That process is not there any more. */
  forget(processId: number): void {
    this.#missed.delete(processId);
  }

  /** To be called now and then. */
  tell(): void {
    for (const [id, { names, events }] of this.#missed) {
      try {
        for (let event = events[0]; event !== undefined; event = events[0]) {
          this.#parts.send(event, id);
          events.shift();
        }
        for (const name of names) {
          this.#parts.send(gapOf(name), id);
          names.delete(name);
        }
        this.#parts.send(this.#parts.now(), id);
        this.#missed.delete(id);
      } catch {
        // It still has no room.
      }
    }
  }
}

export const gapOf = (name: string): FromBroker => ({ say: 'event', event: 'clusterGap', args: [name] });
/** Without the letter of its kind. */
export const nameOf = (subject: string): string => subject.slice(2);
