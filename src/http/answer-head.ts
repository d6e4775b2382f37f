/** Heads of HTTP/1 answers: built as text, and kept as bytes where the same head is sent again. */
import { httpDate } from '../protocol/http/date.js';
import { reasonPhrase } from '../protocol/http/reason-phrase.js';
import type { FieldList } from './exchange.js';
import { connectionOptions, FieldKind, kindOfField, namesFields, withoutNamedFields } from './framing-fields.js';

/** Whether the connection stays, as far as request and server decide. */
export const Persistence = {
  stays: 0,
  ends: 1,
  /** HTTP/1.0 needs `Connection: keep-alive`. */
  staysIfTold: 2,
} as const;
export type Persistence = (typeof Persistence)[keyof typeof Persistence];

export interface AnswerHead {
  readonly text: string;
  /** The connection ends behind the answer. */
  readonly closes: boolean;
}

/**
 * Without the empty line. Fields of framing and of the connection are read, not copied: see `framing-fields.ts`.
 * @param bodyBytes value of `content-length`; −1: none @param reason '' for the usual one
 */
export function headOf(
  status: number,
  reason: string,
  fields: FieldList,
  bodyBytes: number,
  persistence: Persistence,
): AnswerHead {
  let text = statusLine(status, reason);
  let hasDate = false;
  let connection = '';
  let upgrade = '';
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    const value = fields[i + 1] as string;
    switch (kindOfField(name)) {
      case FieldKind.date:
        hasDate = true;
        break;
      case FieldKind.connection:
        connection += `${value},`;
        continue;
      case FieldKind.upgrade:
        upgrade += upgrade === '' ? value : `, ${value}`;
        continue;
      case FieldKind.ofServer:
        continue;
    }
    text += `${name}: ${value}\r\n`;
  }
  if (!hasDate) text += dateLine();
  if (bodyBytes >= 0) text += `content-length: ${bodyBytes}\r\n`;
  if (connection === '' && upgrade === '') return connectionLine(text, persistence, '');
  const options = connectionOptions(connection);
  if (namesFields(options)) return headOf(status, reason, withoutNamedFields(fields, options), bodyBytes, persistence);
  // 426 must name the protocol to upgrade to (RFC 9110, 15.5.22); elsewhere `Upgrade` alone is that of another hop.
  const keepsUpgrade = options.includes('upgrade') || status === UPGRADE_REQUIRED;
  const ends = options.includes('close') ? Persistence.ends : persistence;
  return connectionLine(text, ends, keepsUpgrade ? upgrade : '');
}

const UPGRADE_REQUIRED = 426;

/** `Upgrade` never goes without `Connection: upgrade` (RFC 9110, 7.8). */
function connectionLine(text: string, persistence: Persistence, upgrade: string): AnswerHead {
  const closes = persistence === Persistence.ends;
  const own = closes ? 'close' : persistence === Persistence.staysIfTold ? 'keep-alive' : '';
  if (upgrade !== '') {
    const line = own === '' ? 'upgrade' : `${own}, upgrade`;
    return { text: `${text}upgrade: ${upgrade}\r\nconnection: ${line}\r\n`, closes };
  }
  return { text: own === '' ? text : `${text}connection: ${own}\r\n`, closes };
}

export function fieldLines(fields: FieldList): string {
  let text = '';
  for (let i = 0; i < fields.length; i += 2) text += `${fields[i]}: ${fields[i + 1]}\r\n`;
  return text;
}

const statusLines: string[] = [];

export function statusLine(status: number, reason: string): string {
  if (reason !== '') return `HTTP/1.1 ${status} ${reason}\r\n`;
  statusLines[status] ??= `HTTP/1.1 ${status} ${reasonPhrase(status)}\r\n`;
  return statusLines[status] as string;
}

// Reads the clock once a second, and by a timer only while answers are sent.
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
  /** Made at the second use; with the empty line. */
  bytes: Buffer | undefined;
}

const PLACES = 16;

/**
 * The last heads, by place: most answers of a server have the same few. A known head is copied (some 40 ns) where
 * it would be built, flattened and encoded (300 to 400 ns for three fields, Node 20).
 */
export class AnswerHeads {
  readonly #kept: (KeptHead | undefined)[] = new Array(PLACES).fill(undefined);

  /** @returns with the empty line; undefined: unknown, or seen only once */
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
      if (closes !== (persistence === Persistence.ends)) return undefined; // rare: a user field decides it
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
