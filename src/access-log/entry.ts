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

/** @returns a function that makes a line, with its line feed, of ASCII or (JSON) UTF-8 */
export function lineMaker(format: AccessLogFormat): (entry: AccessEntry, at: DayTime) => string {
  if (format === 'json') return jsonLine;
  if (format === 'common') return (entry, at) => `${common(entry, at)}\n`;
  return (entry, at) => `${common(entry, at)} "${orDash(entry.referer)}" "${orDash(entry.userAgent)}"\n`;
}

function common({ client, requestLine, status, bytes }: AccessEntry, at: DayTime): string {
  return `${client === '' ? '-' : client} - - [${logTime(at)}] "${orDash(requestLine)}" ${status} ${bytes}`;
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
  const [method, url, version] = requestLine.split(' ');
  return `${JSON.stringify({
    ...{
      time: isoTime(at),
      client: client === '' ? undefined : client,
      method: orNothing(method),
      url: orNothing(url),
    },
    ...{ httpVersion: version?.slice('HTTP/'.length), status, bytes, ms, cut: isCut || undefined },
    ...{ host: orNothing(entry.host), referer: orNothing(entry.referer), userAgent: orNothing(entry.userAgent) },
  })}\n`;
}

/** JSON leaves out what is undefined. */
function orNothing(text = ''): string | undefined {
  return text === '' ? undefined : asUtf8(text);
}

/** Most clients that send more than ASCII mean UTF-8. */
function asUtf8(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII is what is asked for
  return /[^\x00-\x7f]/.test(text) ? Buffer.from(text, 'latin1').toString() : text;
}
