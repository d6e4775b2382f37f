/** Static files: answered without a worker. Runs in the reactor. */
import { StaticFiles } from '../../../files/static-files.js';
import { CloseCode } from '../../../ipc/frame.js';
import { ReactorCounter } from '../../../memory/boards.js';
import { httpDate } from '../../../protocol/http/date.js';
import type { AnswerPiece, FileAnswer } from '../../../protocol/http/file-answer.js';
import type { RequestHead } from '../../../protocol/http/head.js';
import { methods } from '../../../protocol/http/methods.js';
import { reasonPhrase } from '../../../protocol/http/reason-phrase.js';
import { readLatin1 } from '../../../util/latin1.js';
import type { Connection } from '../../connection.js';
import type { Answers } from './answers.js';
import type { Cursor } from './cursor.js';
import { type HttpState, Phase } from './http-state.js';
import { LazyFields } from './lazy-fields.js';
import type { Http1Parts } from './parts.js';

const HEAD = methods.indexOf('HEAD');

export class Files {
  readonly #parts: Http1Parts;
  readonly #answers: Answers;
  readonly #heads = new FileHeads();
  /** Undefined where the port serves no files. */
  readonly #statics: StaticFiles | undefined;

  constructor(parts: Http1Parts, answers: Answers) {
    this.#parts = parts;
    this.#answers = answers;
    const { staticFiles } = parts.options;
    this.#statics = staticFiles.length === 0 ? undefined : new StaticFiles(staticFiles);
  }

  /** @returns false: the request names no file, or none that exists */
  answer(cursor: Cursor): boolean {
    const { connection, http, head, bytes, at, headBytes } = cursor;
    const statics = this.#statics;
    if (statics === undefined || head.method > HEAD) return false;
    const { now } = this.#parts.context;
    const target = readLatin1(bytes, at + head.targetStart, at + head.targetEnd);
    if (statics.leaves(target, now)) return false;
    const fields = new LazyFields(bytes, at + head.linesStart, at + headBytes - 2);
    const has = (name: string): boolean => head.isConditional || name === 'accept-encoding';
    const field = (name: string) => (has(name) ? fields.get(name) : undefined);
    const method = methods[head.method] as string;
    const answer = statics.answer(method, target, field, Date.now(), now);
    if (answer === undefined) return false;
    this.#parts.count(ReactorCounter.filesServed);
    http.isHead = head.method === HEAD;
    this.#parts.access?.begin(cursor);
    this.#send(connection, http, head, answer);
    return true;
  }

  #send(connection: Connection, http: HttpState, head: RequestHead, answer: FileAnswer): void {
    const text = this.#heads.get(answer, head);
    const pieces = http.isHead ? [] : answer.pieces;
    this.#parts.access?.own(connection, http, text, bytesOf(pieces));
    this.#answers.sendPieces(connection, text, pieces);
    this.#parts.access?.done(connection, http);
    if (connection.isClosed) return;
    if (!head.keepAlive) {
      this.#answers.drop(connection);
      return this.#parts.ending.closeWhenFlushed(connection, CloseCode.SERVER_CLOSED);
    }
    http.phase = Phase.flushing;
    if (connection.isFlushed) this.#answers.flushed(connection);
  }
}

function bytesOf(pieces: readonly AnswerPiece[]): number {
  let bytes = 0;
  for (const piece of pieces) {
    if ('text' in piece) bytes += piece.text.length;
    else bytes += 'bytes' in piece ? piece.bytes.length : piece.length;
  }
  return bytes;
}

/** Most answers that are asked for once are asked for again within the second. */
const MOST_HEADS = 256;

/** Heads of answers with files, kept for the second in which they are good. */
class FileHeads {
  readonly #texts = new Map<FileAnswer, string>();
  #date = '';

  get(answer: FileAnswer, head: RequestHead): string {
    const date = httpDate();
    // Of the others each is an object of its own.
    const isUsual = answer.status === 200 && head.method !== HEAD && head.keepAlive && head.minor === 1;
    if (!isUsual) return fileHead(answer, head, date);
    if (date !== this.#date || this.#texts.size === MOST_HEADS) this.#texts.clear();
    this.#date = date;
    let text = this.#texts.get(answer);
    if (text === undefined) {
      text = fileHead(answer, head, date);
      this.#texts.set(answer, text);
    }
    return text;
  }
}

/** The planner has set every field but those that belong to the connection. */
function fileHead({ status, fields }: FileAnswer, { keepAlive, minor }: RequestHead, date: string): string {
  let text = `HTTP/1.1 ${status} ${reasonPhrase(status)}\r\ndate: ${date}\r\n`;
  for (let i = 0; i < fields.length; i += 2) text += `${fields[i]}: ${fields[i + 1]}\r\n`;
  if (!keepAlive) text += 'connection: close\r\n';
  else if (minor === 0) text += 'connection: keep-alive\r\n';
  return `${text}\r\n`;
}
