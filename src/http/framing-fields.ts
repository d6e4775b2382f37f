/**
 * Fields that define where an answer ends and how its connection is used (RFC 9110, 7.6.1 and 8.6; RFC 9112, 6).
 * They belong to the server: a handler's value is a wish, which counts where it is true.
 */
import { ServerError } from '../errors/index.js';
import type { FieldList } from './exchange.js';

/** What an exchange does with a user's field. */
export const FieldKind = {
  /** Sent as it is. */
  plain: 0,
  date: 1,
  connection: 2,
  upgrade: 3,
  /** The server sets it, or it belongs to another hop. */
  ofServer: 4,
} as const;
export type FieldKind = (typeof FieldKind)[keyof typeof FieldKind];

/** Only names of these lengths are compared. @param name in any case */
export function kindOfField(name: string): FieldKind {
  switch (name.length) {
    case 2:
      return name.toLowerCase() === 'te' ? FieldKind.ofServer : FieldKind.plain;
    case 4:
      return name.toLowerCase() === 'date' ? FieldKind.date : FieldKind.plain;
    case 7:
      return name.toLowerCase() === 'upgrade' ? FieldKind.upgrade : FieldKind.plain;
    case 10:
      return kindOfTen(name.toLowerCase());
    case 14:
    case 16:
    case 17:
      return OF_SERVER.has(name.toLowerCase()) ? FieldKind.ofServer : FieldKind.plain;
    default:
      return FieldKind.plain;
  }
}

const OF_SERVER = new Set(['content-length', 'http2-settings', 'proxy-connection', 'transfer-encoding']);

function kindOfTen(name: string): FieldKind {
  if (name === 'connection') return FieldKind.connection;
  return name === 'keep-alive' ? FieldKind.ofServer : FieldKind.plain;
}

/** Options of one or more `Connection` fields, in lower case. */
export function connectionOptions(values: string): string[] {
  return values.split(',').flatMap((option) => option.trim().toLowerCase() || []);
}

/** Options that are not names of fields, or whose fields are handled anyway. */
const KNOWN_OPTIONS = new Set(['close', 'keep-alive', 'upgrade']);

/** Whether options name fields that are for this hop alone. */
export function namesFields(options: readonly string[]): boolean {
  return options.some((option) => !KNOWN_OPTIONS.has(option));
}

/** The fields but those that `Connection` names: these end here (RFC 9110, 7.6.1). */
export function withoutNamedFields(fields: FieldList, options: readonly string[]): string[] {
  const kept: string[] = ['connection', options.filter((option) => KNOWN_OPTIONS.has(option)).join(', ')];
  for (let at = 0; at < fields.length; at += 2) {
    const name = (fields[at] as string).toLowerCase();
    const isNamed = options.includes(name) && !KNOWN_OPTIONS.has(name);
    if (!isNamed && name !== 'connection') kept.push(fields[at] as string, fields[at + 1] as string);
  }
  return kept;
}

/** The fields an interim answer may have: it has no body, and uses its connection as it finds it. */
export function interimFields(fields: FieldList): string[] {
  const kept: string[] = [];
  for (let at = 0; at < fields.length; at += 2) {
    const kind = kindOfField(fields[at] as string);
    if (kind === FieldKind.plain || kind === FieldKind.date) kept.push(fields[at] as string, fields[at + 1] as string);
  }
  return kept;
}

const NOT_DECLARED = -1;

/** The `content-length` that fields declare; −1: none, or none that is usable (not a number, two that differ). */
export function declaredLength(fields: FieldList): number {
  let declared = NOT_DECLARED;
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at] as string;
    if (name.length !== 14 || name.toLowerCase() !== 'content-length') continue;
    const value = fields[at + 1] as string;
    const length = /^\d{1,16}$/.test(value) ? Number(value) : Number.NaN;
    if (!Number.isSafeInteger(length)) return NOT_DECLARED;
    if (declared !== NOT_DECLARED && declared !== length) return NOT_DECLARED;
    declared = length;
  }
  return declared;
}

const NO_CONTENT = 204;
const NOT_MODIFIED = 304;

/** True when an answer of that status has a body at all; HEAD is a separate matter. */
export function statusHasBody(status: number): boolean {
  return status !== NO_CONTENT && status !== NOT_MODIFIED;
}

/** The length that an answer in pieces declares; −1: none. */
export function lengthToBegin(status: number, fields: FieldList): number {
  return status === NO_CONTENT ? NOT_DECLARED : declaredLength(fields);
}

/** The `content-length` of a whole answer; −1: none. @param bytes of its body */
export function lengthToTell(status: number, isHead: boolean, fields: FieldList, bytes: number): number {
  if (status === NO_CONTENT) return NOT_DECLARED;
  // The fields describe the answer that GET would get, or has got, which only the handler knows.
  if (status === NOT_MODIFIED) return declaredLength(fields);
  return isHead && bytes === 0 ? Math.max(0, declaredLength(fields)) : bytes;
}

/** Counts a body against its declared length: a client would take excess bytes for the next answer. */
export class LengthCount {
  readonly declared: number;
  #written = 0;

  constructor(declared: number) {
    this.declared = declared;
  }

  /** @throws ServerError ERR_HTTP_CONTENT_LENGTH: these bytes exceed it, and may not be sent */
  add(bytes: number): void {
    const total = this.#written + bytes;
    if (total > this.declared) throw wrongLength(String(this.declared), `${total} bytes`);
    this.#written = total;
  }

  /** @throws ServerError ERR_HTTP_CONTENT_LENGTH: with the last bytes it is still too short */
  checkWhole(): void {
    if (this.#written !== this.declared) throw wrongLength(String(this.declared), `${this.#written} bytes`);
  }
}

export function wrongLength(declared: string, received: string): ServerError {
  return new ServerError('ERR_HTTP_CONTENT_LENGTH', { declared, received });
}

/** Such an answer may be made of the request's body: a client that asks whether it may send that is told so before the head. */
export function mayNeedBody(status: number): boolean {
  return status < 300;
}
