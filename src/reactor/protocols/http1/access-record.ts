import type { AccessEntry } from '../../../access-log/entry.js';
import { RequestText, type RequestTexts } from '../../../access-log/request-text.js';

/** A request under way, as its line will tell it. When the line is written, it is used for another one. */
export class AccessRecord implements AccessEntry {
  readonly request = new RequestText();
  /** Nothing is written of it. */
  isSkipped = false;
  client = '';
  /** By `monotonicMs()`. */
  since = 0;
  /** 0: the answer has not begun. */
  status = 0;
  bytes = 0;
  /** Of these, what the client had not taken when its connection was about to end. */
  unsent = 0;
  /** How much of the empty line behind the head has left; 4: all of it. */
  headEnd = 0;
  /** The answer is whole; some of it may wait for its client. */
  isDone = false;
  /** These are known when the line is written. */
  ms = 0;
  isCut = false;

  /** @param since by `monotonicMs()` */
  begin(client: string, since: number): void {
    this.client = client;
    this.since = since;
    this.status = 0;
    this.bytes = 0;
    this.unsent = 0;
    this.headEnd = 0;
    this.isDone = false;
  }
}

/** For another process, as JSON (BASE mode). */
export type PackedRecord = Omit<AccessRecord, 'request' | 'begin'> & { readonly texts: RequestTexts };

export function packRecord({ request, ...record }: AccessRecord): PackedRecord {
  return { ...record, texts: request.texts };
}

export function unpackRecord({ texts, ...record }: PackedRecord): AccessRecord {
  const unpacked = Object.assign(new AccessRecord(), record);
  unpacked.request.set(texts);
  return unpacked;
}
