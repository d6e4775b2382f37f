/** One line of the access log, in the formats there are. */
import type { AccessLogFormat } from '../options/access-log.js';
import { type DayTime, isoTime, logTime } from './day-time.js';

/** A request and its answer. Texts are as they came, a character per byte. */
export interface AccessEntry {
  /** Address of the client; '': a unix socket. */
  readonly client: string;
  /** `GET /path HTTP/1.1`; '' where none could be read. */
  readonly requestLine: string;
  readonly host: string;
  readonly referer: string;
  readonly userAgent: string;
  /** 0: none was sent. */
  readonly status: number;
  /** Of the answer, behind its head. */
  readonly bytes: number;
  /** From the end of the request's head until the answer was whole, or broken off. */
  readonly ms: number;
  /** The answer was broken off. */
  readonly isCut: boolean;
}

/** @returns a function that makes a line, with its line feed, of visible ASCII */
export function lineMaker(format: AccessLogFormat): (entry: AccessEntry, at: DayTime) => string {
  if (format === 'json') return jsonLine;
  return format === 'common' ? commonLine : combinedLine;
}

function commonLine({ client, requestLine, status, bytes }: AccessEntry, at: DayTime): string {
  return `${orDash(client)} - - [${logTime(at)}] "${orDash(requestLine)}" ${status} ${bytes}\n`;
}

function combinedLine({ client, requestLine, status, bytes, referer, userAgent }: AccessEntry, at: DayTime): string {
  const request = `${orDash(client)} - - [${logTime(at)}] "${orDash(requestLine)}" ${status} ${bytes}`;
  return `${request} "${orDash(referer)}" "${orDash(userAgent)}"\n`;
}

/** Quotes, backslashes and what is not visible ASCII could end a field, forge a line, or control a terminal. */
const UNSAFE = /["\\]|[^\x20-\x7e]/;
const ALL_UNSAFE = /["\\]|[^\x20-\x7e]/g;

function orDash(text: string): string {
  if (text === '') return '-';
  return UNSAFE.test(text) ? text.replace(ALL_UNSAFE, escaped) : text;
}

/** As nginx and Apache write it: `\x22`. */
const escaped = (character: string): string =>
  `\\x${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;

function jsonLine(entry: AccessEntry, at: DayTime): string {
  const { client, requestLine, status, bytes, ms, isCut } = entry;
  const urlAt = requestLine.indexOf(' ') + 1;
  const versionAt = requestLine.lastIndexOf(' HTTP/');
  const isWhole = urlAt > 0 && versionAt >= urlAt;
  const request = isWhole
    ? `${member('method', requestLine.slice(0, urlAt - 1))}${member('url', requestLine.slice(urlAt, versionAt))}` +
      member('httpVersion', requestLine.slice(versionAt + ' HTTP/'.length))
    : member('method', requestLine);
  const numbers = `,"status":${status},"bytes":${bytes},"ms":${ms}${isCut ? ',"cut":true' : ''}`;
  const fields = member('host', entry.host) + member('referer', entry.referer) + member('userAgent', entry.userAgent);
  return `{"time":"${isoTime(at)}"${member('client', client)}${request}${numbers}${fields}}\n`;
}

/** Nothing for an empty text. */
function member(name: string, text: string): string {
  if (text === '') return '';
  return UNSAFE.test(text) ? `,"${name}":${inAscii(text)}` : `,"${name}":"${text}"`;
}

/** Most clients that send more than ASCII mean UTF-8. */
function inAscii(text: string): string {
  const json = JSON.stringify(Buffer.from(text, 'latin1').toString());
  return json.replace(BEYOND_ASCII, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

const BEYOND_ASCII = /[^\x20-\x7e]/g;
