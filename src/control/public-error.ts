/** An error as it may leave over the network: the fault, without details of this machine. */
import { ServerError } from '../errors/index.js';

export interface PublicError {
  readonly name: string;
  readonly code?: string;
  readonly message: string;
  readonly detail?: Readonly<Record<string, unknown>>;
  readonly cause?: PublicError;
}

const DEEPEST = 3;
/** An absolute path or a file: URL, not one inside a word or after a host (`http://…/x`). */
const PATH = /(?<![\w.:/])(?:file:\/\/)?(?:\/[^\s/'"`:;,()<>]+)+\/?/gi;

/** Removes stacks at any depth, and keeps only the last name of each path. */
export function publicError(error: unknown, depth = 0): PublicError {
  if (!(error instanceof Error))
    return { name: 'Error', message: 'the command failed with something that is not an error' };
  const code: unknown = Reflect.get(error, 'code');
  const inner = error.cause instanceof Error && depth < DEEPEST ? publicError(error.cause, depth + 1) : undefined;
  const isOurs = error instanceof ServerError;
  return {
    name: isOurs ? 'ServerError' : 'Error',
    ...(typeof code === 'string' ? { code } : {}),
    ...(isOurs ? { detail: publicDetail(error.detail) } : {}),
    message: withoutPaths(firstLine(error.message)),
    ...(inner === undefined ? {} : { cause: inner }),
  };
}

function publicDetail(detail: object): Record<string, unknown> {
  const entries = Object.entries(detail).map(([name, value]: [string, unknown]) => [
    name,
    typeof value === 'string' ? withoutPaths(firstLine(value)) : value,
  ]);
  return Object.fromEntries(entries) as Record<string, unknown>;
}

/** A message may contain a stack: of another process, or of a module that cannot be loaded. */
function firstLine(message: string): string {
  return message.split(/\n\s+at |\n/, 1)[0] ?? '';
}

function withoutPaths(text: string): string {
  return text.replaceAll(PATH, (path) => `…/${path.replace(/\/$/, '').split('/').at(-1) ?? ''}`);
}
