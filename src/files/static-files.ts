/** Implements the option `staticFiles`: requests that a reactor answers with a file, without a worker. */
import type { ResolvedStaticFiles } from '../options/static-files.js';
import { chooseEncoding } from '../protocol/http/accept-encoding.js';
import type { FieldLookup } from '../protocol/http/conditional.js';
import { answerWithFile, type FileAnswer, plainAnswer } from '../protocol/http/file-answer.js';
import { encodePath, type StaticPath, staticPath } from '../protocol/http/static-path.js';
import { BELIEVED_MS, type Outcome, StaticCache } from './static-cache.js';
import { isUnchanged, StaticFolder, type Variant } from './static-folder.js';

const MOST_LEFT = 200;
const LONGEST_LEFT = 256;

export class StaticFiles {
  readonly #folders: readonly StaticFolder[];
  readonly #cache = new StaticCache();
  /** Targets that a worker answers, and until when that is believed. */
  readonly #left = new Map<string, number>();

  constructor(options: ResolvedStaticFiles) {
    this.#folders = options.map((settings) => new StaticFolder(settings));
  }

  /**
   * What `answer` has said within the last second: a worker answers the request. Sooner than `answer` does, for requests
   * that name no file are most of them.
   * @param at as of `answer`
   */
  leaves(target: string, at: number): boolean {
    const until = this.#left.get(target);
    return until !== undefined && at < until && at >= until - BELIEVED_MS; // a clock may be set back
  }

  /**
   * Calls the system only for paths not checked within the last second, and once for a file that is too large to cache.
   * @param target as it was sent: origin form or absolute form
   * @param now Unix ms, compared with the times of files
   * @param at ms of a monotonic clock, for the age of cache entries
   * @returns undefined: a worker answers the request
   */
  answer(method: string, target: string, field: FieldLookup, now: number, at: number = now): FileAnswer | undefined {
    if (method !== 'GET' && method !== 'HEAD') return undefined;
    const asked = staticPath(target);
    if (asked === undefined) return this.#refuse(method, target);
    const outcome = this.#cache.get(asked.path, at) ?? this.#look(asked.path, now, at);
    if (outcome?.kind !== 'file') {
      if (outcome?.fields === undefined) this.#leave(target, this.#cache.since(asked.path) ?? at);
      return otherAnswer(method, outcome, asked.path, asked.query);
    }
    const chosen = choose(outcome.variants, field);
    if (chosen.file.bytes !== undefined || isUnchanged(chosen.file)) {
      return answerWithFile({ method, field }, chosen.representation);
    }
    const anew = this.#look(asked.path, now, at);
    return this.#answerAnew(method, asked, field, anew);
  }

  /** The file was replaced within the second: the cached facts would not match the file that is sent. */
  #answerAnew(
    method: string,
    { path, query }: StaticPath,
    field: FieldLookup,
    outcome: Outcome | undefined,
  ): FileAnswer | undefined {
    if (outcome?.kind !== 'file') return otherAnswer(method, outcome, path, query);
    return answerWithFile({ method, field }, choose(outcome.variants, field).representation);
  }

  #leave(target: string, since: number): void {
    if (target.length > LONGEST_LEFT) return;
    if (this.#left.size >= MOST_LEFT) this.#left.clear();
    this.#left.set(target, since + BELIEVED_MS);
  }

  #look(path: string, now: number, at: number): Outcome | undefined {
    if (!this.#folders.some((folder) => folder.covers(path))) return undefined;
    const outcome = this.#find(path, now);
    this.#cache.set(path, outcome, at);
    return outcome;
  }

  #find(path: string, now: number): Outcome {
    const known = this.#cache.known(path);
    for (const folder of this.#folders) {
      if (!folder.covers(path)) continue;
      const { fields, fallthrough } = folder.settings;
      const found = folder.find(path, known, now);
      if (found === 'folder') return { kind: 'folder', fields };
      if (found !== undefined) return { kind: 'file', variants: found };
      if (!fallthrough) return { kind: 'absent', fields };
    }
    return { kind: 'absent', fields: undefined };
  }

  /** A path that is refused unseen counts as a missing file. */
  #refuse(method: string, target: string): FileAnswer | undefined {
    const folder = this.#folders.find(({ settings }) => !settings.fallthrough && target.startsWith(settings.prefix));
    return folder === undefined ? undefined : plainAnswer(method, 404, 'Not Found', folder.settings.fields);
  }
}

function choose(variants: readonly [Variant, ...Variant[]], field: FieldLookup): Variant {
  if (variants.length === 1) return variants[0];
  const available = variants.flatMap(({ encoding }) => (encoding === 'identity' ? [] : [encoding]));
  const wanted = chooseEncoding(field('accept-encoding'), available);
  return variants.find(({ encoding }) => encoding === wanted) ?? variants[0];
}

function otherAnswer(
  method: string,
  outcome: Exclude<Outcome, { kind: 'file' }> | undefined,
  path: string,
  query: string,
): FileAnswer | undefined {
  if (outcome?.fields === undefined) return undefined;
  if (outcome.kind === 'absent') return plainAnswer(method, 404, 'Not Found', outcome.fields);
  const location = `${encodePath(path)}/${query}`;
  return {
    status: 301,
    fields: ['location', location, 'content-length', '0', ...outcome.fields],
    pieces: [],
    contentLength: 0,
  };
}
