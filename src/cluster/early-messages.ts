/**
 * What processes of a node say to its broker process while that still loads its parts. Beyond a bound it is not kept, and told:
 * publications as lost, with a gap of their subjects, questions as refused. The rest each process says again when the broker
 * process is there.
 */
import { serialize } from 'node:v8';
import { ServerError, serializeError } from '../errors/index.js';
import { noteGap } from './drivers/gaps.js';
import type { FromBroker, ToBroker } from './messages.js';
import { publishedSubject } from './way-to-broker.js';

const MOST_EARLY = 10_000;
/** They lie in the heap, and no longer in the bounded memory that they came by. */
const MOST_BYTES = 64 * 1024 * 1024;

/** The broker process, when it is there. */
export interface EarlyReceiver {
  onMessage(message: ToBroker, from: number): void;
  lostBefore(subjects: Iterable<string>, publications: number): void;
}

export class EarlyMessages {
  /** Must not throw. */
  readonly #answer: (message: FromBroker, processId: number) => void;
  readonly #kept: { readonly message: ToBroker; readonly from: number }[] = [];
  /** Of what was not kept. */
  readonly #subjects = new Set<string>();
  #lost = 0;
  #bytes = 0;

  constructor(answer: (message: FromBroker, processId: number) => void) {
    this.#answer = answer;
  }

  keep(message: ToBroker, from: number): void {
    const subject = publishedSubject(message);
    if (this.#hasRoom(message)) this.#kept.push({ message, from });
    else if (subject !== undefined) this.#lose([subject], 1);
    else if (message.say === 'notTaken') this.#lose(message.subjects, message.publications);
    else if (message.say === 'ask') {
      const error = new ServerError('ERR_CLUSTER_FULL', {
        what: 'messages to a process that starts',
        most: MOST_EARLY,
      });
      this.#answer({ say: 'failed', id: message.id, error: serializeError(error) }, from);
    }
  }

  #hasRoom(message: ToBroker): boolean {
    if (this.#kept.length >= MOST_EARLY) return false;
    this.#bytes += serialize(message).length;
    return this.#bytes <= MOST_BYTES;
  }

  handTo(receiver: EarlyReceiver): void {
    for (const { message, from } of this.#kept.splice(0)) receiver.onMessage(message, from);
    if (this.#lost > 0) receiver.lostBefore(this.#subjects, this.#lost);
    this.#subjects.clear();
    this.#lost = 0;
    this.#bytes = 0;
  }

  #lose(subjects: readonly string[], publications: number): void {
    this.#lost += publications;
    for (const subject of subjects) noteGap(subject, this.#subjects);
  }
}
