/** Conditional requests (RFC 9110, 13): whether the client has the current file, and may get a part of it. */
import { parseHttpDate } from './date.js';

/** The value of a field by its lower-case name; repeated lines are joined by `, `. */
export type FieldLookup = (name: string) => string | undefined;

/** Values that distinguish one state of a file from another. */
export interface Validators {
  /** With its quotes, and `W/` where it is weak; '' for none. */
  readonly etag: string;
  /** As sent to the client: whole seconds. NaN for none. */
  readonly lastModifiedMs: number;
  /** True when the file cannot have changed again within that second unnoticed. */
  readonly isDateStrong: boolean;
}

export interface Verdict {
  readonly outcome: 'send' | 304 | 412;
  /** Whether Range is honoured. */
  readonly mayRange: boolean;
}

const send: Verdict = { outcome: 'send', mayRange: false };
const sendRange: Verdict = { outcome: 'send', mayRange: true };
const notModified: Verdict = { outcome: 304, mayRange: false };
const failed: Verdict = { outcome: 412, mayRange: false };

/** In the order of RFC 9110, 13.2.2. */
export function evaluateConditions(method: string, field: FieldLookup, validators: Validators): Verdict {
  if (!mayProceed(field, validators)) return failed;
  const isRead = method === 'GET' || method === 'HEAD';
  if (!isNews(field, validators, isRead)) return isRead ? notModified : failed;
  return method === 'GET' && isRangeMeant(field('if-range'), validators) ? sendRange : send;
}

function mayProceed(field: FieldLookup, { etag, lastModifiedMs }: Validators): boolean {
  const ifMatch = field('if-match');
  if (ifMatch !== undefined) return ifMatch.trim() === '*' || listHas(ifMatch, etag, 'strong');
  const since = dateOf(field('if-unmodified-since'));
  return Number.isNaN(since) || !(lastModifiedMs > since);
}

function isNews(field: FieldLookup, { etag, lastModifiedMs }: Validators, isRead: boolean): boolean {
  const ifNoneMatch = field('if-none-match');
  if (ifNoneMatch !== undefined) return ifNoneMatch.trim() !== '*' && !listHas(ifNoneMatch, etag, 'weak');
  if (!isRead) return true;
  const since = dateOf(field('if-modified-since'));
  return Number.isNaN(since) || !(lastModifiedMs <= since);
}

/** A part of the file is useful only to a client that has other parts of the same state. */
function isRangeMeant(ifRange: string | undefined, { etag, lastModifiedMs, isDateStrong }: Validators): boolean {
  if (ifRange === undefined) return true;
  const value = ifRange.trim();
  if (value.startsWith('"')) return value === etag;
  return isDateStrong && parseHttpDate(value) === lastModifiedMs;
}

function dateOf(value: string | undefined): number {
  return value === undefined ? Number.NaN : parseHttpDate(value);
}

/** Ignores everything after a malformed element. */
function listHas(list: string, etag: string, comparison: 'weak' | 'strong'): boolean {
  if (etag === '' || (comparison === 'strong' && etag.startsWith('W/'))) return false;
  const opaque = etag.startsWith('W/') ? etag.slice(2) : etag;
  const item = /[ \t,]*(W\/)?("[\x21\x23-\x7e\x80-\uffff]*")[ \t]*(?=,|$)/y;
  for (let match = item.exec(list); match !== null; match = item.exec(list)) {
    if (match[2] === opaque && (comparison === 'weak' || match[1] === undefined)) return true;
  }
  return false;
}
