/**
 * The protocol of the control socket: one JSON object per line in both directions (UTF-8; a request at most 1 MiB long, an
 * answer 64 MiB):
 *
 * ```
 * → {"id":1,"command":"reload","arguments":{"tasksOnly":false}}
 * ← {"id":1,"result":{"generation":3}}
 * ← {"id":1,"error":{"name":"ServerError","code":"ERR_…","message":"…","detail":{…}}}
 * ```
 * `id` is any number; answers are sent as they become ready. The command line and `/api/COMMAND` of the admin listener call
 * the same commands.
 */
import { describe, type SerializedError, ServerError } from '../errors/index.js';

export interface ControlRequest {
  readonly id: number;
  readonly command: string;
  readonly arguments: Readonly<Record<string, unknown>>;
}

export type ControlReply =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: SerializedError };

export const LIMIT_REQUEST_BYTES = 1024 * 1024;
/** The server belongs to the client's own user: this bounds only what a broken one can make the client hold. */
export const LIMIT_ANSWER_BYTES = 64 * LIMIT_REQUEST_BYTES;

/** @throws ServerError ERR_COMMAND_REQUEST */
export function parseRequest(line: string): ControlRequest {
  const value = parse(line);
  if (typeof value !== 'object' || value === null) return refuse(`received ${describe(value)}`);
  const { id = 0, command, arguments: given = {} } = value as Record<string, unknown>;
  if (typeof id !== 'number') return refuse(`its id is ${describe(id)}`);
  if (typeof command !== 'string') return refuse(`its command is ${describe(command)}`);
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    return refuse(`its arguments are ${describe(given)}`);
  }
  return { id, command, arguments: given as Record<string, unknown> };
}

/** The id of an invalid request, so that its error reaches the caller; 0: unknown. */
export function idOf(line: string): number {
  try {
    const { id } = JSON.parse(line) as { id?: unknown };
    return typeof id === 'number' ? id : 0;
  } catch {
    return 0;
  }
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch {
    return refuse('it is no JSON');
  }
}

function refuse(why: string): never {
  throw new ServerError('ERR_COMMAND_REQUEST', { why });
}

/**
 * Cuts the input into lines. Each piece is looked at once, however long its line becomes.
 * @returns takes the next piece; throws ERR_COMMAND_REQUEST when a line is longer than `limit`
 */
export function lineReader(take: (line: string) => void, limit: number): (piece: string) => void {
  let held = '';
  return (piece) => {
    const [first = '', ...more] = piece.split('\n');
    const lines = [held + first, ...more];
    held = lines.pop() ?? '';
    for (const line of lines) if (line.trim() !== '') take(line);
    if (held.length > limit) refuse(`a line is longer than ${limit} bytes`);
  };
}
