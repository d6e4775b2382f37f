/** One folder whose files are served: finds files by synchronous system calls. */
import { closeSync, constants, fstatSync, openSync, readSync, realpathSync, type Stats, statSync } from 'node:fs';
import type { ContentEncoding } from '../options/compression.js';
import type { StaticFolderSettings } from '../options/static-files.js';
import { contentTypeOf, isCompressible } from '../protocol/http/content-types.js';
import { type FileFacts, type Representation, representationOf, SETTLED_MS } from '../protocol/http/file-answer.js';
import { isPlain } from '../protocol/http/static-path.js';
import { readUnsizedFrom } from '../util/unsized-file.js';

/** The content of files up to this size is cached with their facts. */
const LIMIT_HELD_BYTES = 16 * 1024;

export interface DiskFile extends FileFacts {
  readonly ino: number;
  readonly ctimeMs: number;
  /** The file had not changed for a while when `bytes` were read. */
  readonly isSettled: boolean;
}

export interface Variant {
  readonly encoding: ContentEncoding | 'identity';
  readonly file: DiskFile;
  readonly representation: Representation;
}

/** The variants of a file, 'identity' first; or a folder whose URL needs a slash at its end. */
export type Found = readonly [Variant, ...Variant[]] | 'folder';

const endings: readonly (readonly [ContentEncoding, string])[] = [
  ['br', '.br'],
  ['zstd', '.zst'],
  ['gzip', '.gz'],
];

// A pipe in the place of a file must not hold up the reactor.
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW | constants.O_NOCTTY;

export class StaticFolder {
  readonly settings: StaticFolderSettings;

  constructor(settings: StaticFolderSettings) {
    this.settings = settings;
  }

  /** Whether this folder answers for a path, if it has such a file. */
  covers(path: string): boolean {
    const { prefix } = this.settings;
    return path.startsWith(prefix) || (path.length === prefix.length - 1 && prefix.startsWith(path));
  }

  /**
   * @param path one that this folder covers
   * @param known the earlier result for this path: unchanged content is not read again
   */
  find(path: string, known: readonly Variant[], now: number): Found | undefined {
    const { prefix, dotFiles, root } = this.settings;
    if (path.length < prefix.length) return this.#findFolder(root, now);
    const name = path.slice(prefix.length);
    if (!isPlain(name, dotFiles)) return undefined;
    // Resolved each time, because `root` may be a link that is switched to another release.
    const realRoot = realPath(root);
    if (realRoot === undefined) return undefined;
    const look = new Look(realRoot, known, now);
    if (name === '' || name.endsWith('/')) return this.#index(look, name);
    const seen = look.at(name);
    if (seen !== 'folder') return seen === undefined ? undefined : this.#variants(look, name, seen);
    return this.#index(look, `${name}/`) === undefined ? undefined : 'folder';
  }

  #findFolder(root: string, now: number): Found | undefined {
    const realRoot = realPath(root);
    if (realRoot === undefined) return undefined;
    return this.#index(new Look(realRoot, [], now), '') === undefined ? undefined : 'folder';
  }

  /** A folder without an index is not served: the path may be a route of the application. */
  #index(look: Look, folder: string): Found | undefined {
    for (const index of this.settings.index) {
      const seen = look.at(folder + index);
      if (seen !== undefined && seen !== 'folder') return this.#variants(look, folder + index, seen);
    }
    return undefined;
  }

  #variants(look: Look, name: string, file: DiskFile): Found {
    const type = contentTypeOf(name);
    const coded = this.settings.precompressed && isCompressible(type) ? codedFiles(look, name, file) : [];
    const variant = (encoding: ContentEncoding | 'identity', of: DiskFile): Variant => ({
      encoding,
      file: of,
      representation: representationOf(
        of,
        type,
        {
          cacheControl: this.settings.cacheControl,
          encoding: encoding === 'identity' ? undefined : encoding,
          varies: coded.length > 0,
          fields: this.settings.fields,
        },
        look.now,
      ),
    });
    return [variant('identity', file), ...coded.map(([encoding, of]) => variant(encoding, of))];
  }
}

/** One lookup on the disk. */
class Look {
  readonly now: number;
  readonly #root: string;
  readonly #known: readonly Variant[];

  constructor(realRoot: string, known: readonly Variant[], now: number) {
    this.#root = realRoot;
    this.#known = known;
    this.now = now;
  }

  /** undefined: missing, unreadable, not a file, or led out of the root by a link. */
  at(name: string): DiskFile | 'folder' | undefined {
    const path = realPath(`${this.#root}/${name}`);
    if (path === undefined || !isWithin(path, this.#root)) return undefined;
    const stats = statsOf(path);
    if (stats?.isDirectory()) return 'folder';
    if (!stats?.isFile()) return undefined;
    const known = this.#known.find(({ file }) => file.path === path)?.file;
    if (known?.isSettled && isSame(known, stats)) return known;
    return readFile(path, this.now);
  }
}

function codedFiles(look: Look, name: string, file: DiskFile): (readonly [ContentEncoding, DiskFile])[] {
  return endings.flatMap(([encoding, ending]) => {
    const coded = look.at(name + ending);
    if (coded === undefined || coded === 'folder' || coded.mtimeMs < file.mtimeMs) return [];
    return [[encoding, coded] as const];
  });
}

/** Whether a file is unchanged since the lookup: one call, for files whose sender opens them by their path. */
export function isUnchanged(file: DiskFile): boolean {
  const stats = statsOf(file.path);
  return stats !== undefined && isSame(file, stats);
}

function isSame(file: DiskFile, { size, mtimeMs, ctimeMs, ino }: Stats): boolean {
  return file.size === size && file.mtimeMs === mtimeMs && file.ctimeMs === ctimeMs && file.ino === ino;
}

/** Uses one descriptor throughout, so that facts and content match even when the file is replaced. */
function readFile(path: string, now: number): DiskFile | undefined {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, OPEN_FLAGS);
    const before = fstatSync(descriptor);
    if (!before.isFile()) return undefined;
    if (before.size === 0) {
      const bytes = readUnsizedFrom(descriptor);
      if (bytes === undefined) return undefined;
      if (bytes.length > 0) return unsized(path, before, bytes, now);
    }
    const isSettled = now - Math.max(before.mtimeMs, before.ctimeMs) >= SETTLED_MS;
    const file = { path, ...factsOf(before), isSettled, bytes: undefined };
    if (before.size > LIMIT_HELD_BYTES) return file;
    const bytes = readBytes(descriptor, before.size);
    const after = fstatSync(descriptor);
    // Another process is writing it: the sender reads its content at that time.
    return isSame(file, after) && bytes !== undefined
      ? { ...file, bytes }
      : { ...file, ...factsOf(after), isSettled: false };
  } catch {
    return undefined;
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/** A file whose size is only known by reading it; its time says nothing about its content. */
function unsized(path: string, stats: Stats, bytes: Buffer, now: number): DiskFile {
  return { path, ...factsOf(stats), size: bytes.length, mtimeMs: now, isSettled: false, bytes };
}

/** undefined: the file is shorter by now. */
function readBytes(descriptor: number, size: number): Buffer | undefined {
  // Not from the pool of small buffers, where a slice would keep the whole pool alive.
  const bytes = Buffer.allocUnsafeSlow(size);
  let filled = 0;
  while (filled < size) {
    const count = readSync(descriptor, bytes, filled, size - filled, filled);
    if (count === 0) return undefined;
    filled += count;
  }
  return bytes;
}

function factsOf({ size, mtimeMs, ctimeMs, ino }: Stats) {
  return { size, mtimeMs, ctimeMs, ino };
}

function statsOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

function realPath(path: string): string | undefined {
  try {
    return realpathSync.native(path);
  } catch {
    return undefined;
  }
}

function isWithin(path: string, root: string): boolean {
  return root === '/' || path.startsWith(`${root}/`);
}
