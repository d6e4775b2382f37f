/** Heads of answers of HTTP/1: put together as text, and kept as bytes where the same one is sent again. */
import { STATUS_CODES } from 'node:http';
import { httpDate } from '../protocol/http/date.js';
import type { FieldList } from './exchange.js';

/** Whether the connection stays, as far as the request and the server say. */
export const Persistence = {
  stays: 0,
  ends: 1,
  /** HTTP/1.0 has to be told. */
  staysIfTold: 2,
} as const;
export type Persistence = (typeof Persistence)[keyof typeof Persistence];

export interface AnswerHead {
  readonly text: string;
  /** The connection ends behind the answer. */
  readonly closes: boolean;
}

/** Fields that an exchange has a say in. */
const SaysDate = 1;
const SaysLength = 2;
const SaysClose = 4;
const OURS = -1;

/** Without the empty line. @param bodyBytes −1: no length is told by us @param reason '' for the usual one */
export function headOf(
  status: number,
  reason: string,
  fields: FieldList,
  bodyBytes: number,
  persistence: Persistence,
): AnswerHead {
  let text = statusLine(status, reason);
  let said = 0;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    const value = fields[i + 1] as string;
    const special = specialOf(name, value);
    if (special === OURS) continue;
    said |= special;
    text += `${name}: ${value}\r\n`;
  }
  if ((said & SaysDate) === 0) text += dateLine();
  if ((said & SaysLength) === 0 && bodyBytes >= 0) text += `content-length: ${bodyBytes}\r\n`;
  if (said & SaysClose) return { text, closes: true };
  if (persistence === Persistence.ends) return { text: `${text}connection: close\r\n`, closes: true };
  if (persistence === Persistence.staysIfTold) text += 'connection: keep-alive\r\n';
  return { text, closes: false };
}

/** −1: the field is ours to say. Only the names of these lengths are looked at closely. */
function specialOf(name: string, value: string): number {
  switch (name.length) {
    case 4:
      return name.toLowerCase() === 'date' ? SaysDate : 0;
    case 10:
      if (name.toLowerCase() !== 'connection') return 0;
      return /(^|[\s,])close([\s,]|$)/i.test(value) ? SaysClose : OURS;
    case 14:
      return name.toLowerCase() === 'content-length' ? SaysLength : 0;
    case 17:
      return name.toLowerCase() === 'transfer-encoding' ? OURS : 0;
    default:
      return 0;
  }
}

export function saysLength(fields: FieldList): boolean {
  for (let i = 0; i < fields.length; i += 2) if (specialOf(fields[i] as string, '') === SaysLength) return true;
  return false;
}

export function fieldLines(fields: FieldList): string {
  let text = '';
  for (let i = 0; i < fields.length; i += 2) text += `${fields[i]}: ${fields[i + 1]}\r\n`;
  return text;
}

const statusLines: string[] = [];

export function statusLine(status: number, reason: string): string {
  if (reason !== '') return `HTTP/1.1 ${status} ${reason}\r\n`;
  statusLines[status] ??= `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n`;
  return statusLines[status] as string;
}

// The clock is asked once a second, and by a timer only while answers are given.
let dateText = '';
/** Grows with each second in which an answer was given. */
let dateEpoch = 0;

function dateLine(): string {
  if (dateText === '') {
    dateText = `date: ${httpDate()}\r\n`;
    dateEpoch++;
    setTimeout(() => (dateText = ''), 1000 - (Date.now() % 1000)).unref();
  }
  return dateText;
}

interface KeptHead {
  readonly status: number;
  readonly reason: string;
  readonly fields: FieldList;
  readonly bodyBytes: number;
  readonly persistence: Persistence;
  readonly epoch: number;
  /** Made when it is asked for a second time; with the empty line. */
  bytes: Buffer | undefined;
}

const PLACES = 16;

/**
 * The last heads, by place: most answers of a server have the same few. One that is found is copied (some 40 ns) where it
 * would be put together, flattened and encoded (300 to 400 ns for three fields, Node 20).
 */
export class AnswerHeads {
  readonly #kept: (KeptHead | undefined)[] = new Array(PLACES).fill(undefined);

  /** @returns with the empty line; undefined: it is not known, or was seen once only */
  find(
    status: number,
    reason: string,
    fields: FieldList,
    bodyBytes: number,
    persistence: Persistence,
  ): Buffer | undefined {
    dateLine();
    const place = (status + fields.length * 3 + bodyBytes) & (PLACES - 1);
    const kept = this.#kept[place];
    const isIt =
      kept !== undefined &&
      kept.epoch === dateEpoch &&
      kept.status === status &&
      kept.bodyBytes === bodyBytes &&
      kept.persistence === persistence &&
      kept.reason === reason &&
      isSame(kept.fields, fields);
    if (!isIt) {
      this.#kept[place] = { status, reason, fields, bodyBytes, persistence, epoch: dateEpoch, bytes: undefined };
      return undefined;
    }
    if (kept.bytes === undefined) {
      const { text, closes } = headOf(status, reason, fields, bodyBytes, persistence);
      if (closes !== (persistence === Persistence.ends)) return undefined; // rare: a field of the user's says so
      kept.bytes = Buffer.from(`${text}\r\n`, 'latin1');
    }
    return kept.bytes;
  }
}

function isSame(a: FieldList, b: FieldList): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
