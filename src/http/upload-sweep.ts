/**
 * Removes form folders of killed processes. Each worker looks once as it boots, and once into each other folder
 * that its forms name. Folders of living processes, and of other users, are left alone. Runs in workers.
 */
import { constants, symlinkSync } from 'node:fs';
import { lstat, open, opendir, readdir, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { tryLock } from '../os/lock.js';
import { isRunning, OwnedFolder, type Owner, ownerOf } from './owned-folder.js';

/** Most entries of one look; the next process continues. */
const MAX_ENTRIES = 50_000;
/** Entries read at a time: Node's 32 take 70 turns of the event loop for a folder with 2,200, while the worker boots. */
const DIRECTORY_BATCH = 1024;
const MAX_REMOVED = 1000;
const MAX_MS = 10_000;
/** Folders of forms that a process remembers, so that its successor finds them. */
const MAX_PLACES = 64;
/** A folder whose owner cannot be determined by its pid may just be about to be locked. */
const YOUNG_MS = 60_000;

/** Looked into by this process. */
const places = new Set<string>();

/** Forms will be kept there: looks into it the first time. */
export function knowPlace(folder: string): void {
  const place = resolve(folder);
  if (places.has(place) || places.size >= MAX_PLACES) return;
  places.add(place);
  void new Sweep().run(place);
}

/** Links to the unusual places in use, in a folder that the successor searches. */
const note = { folder: undefined as OwnedFolder | undefined, places: new Set<string>(), holders: 0 };

/** Files of a form lie there from now on. @returns to be called when they are gone */
export function holdPlace(folder: string): () => void {
  const place = resolve(folder);
  const usual = resolve(tmpdir());
  if (place === usual) return () => {};
  note.holders++;
  if (!note.places.has(place) && note.places.size < MAX_PLACES) writeDown(place, usual);
  return releasePlace;
}

function writeDown(place: string, usual: string): void {
  try {
    note.folder ??= OwnedFolder.make(usual);
    symlinkSync(place, join(note.folder.path, String(note.places.size)));
    note.places.add(place);
  } catch {
    // Without it the successor looks when a form first names the place.
  }
}

function releasePlace(): void {
  if (--note.holders > 0) return;
  void note.folder?.remove();
  note.folder = undefined;
  note.places.clear();
}

class Sweep {
  readonly #until = performance.now() + MAX_MS;
  #entries = 0;
  #removed = 0;

  /** Never fails: it leaves folders that it cannot look into. */
  async run(place: string): Promise<void> {
    const others = await this.#look(place).catch(() => []);
    for (const other of others) if (other !== place) await this.#look(other).catch(() => []);
  }

  /** @returns further places where the owners of these folders had forms */
  async #look(place: string): Promise<string[]> {
    const others = new Set<string>();
    for await (const { name } of await opendir(place, { bufferSize: DIRECTORY_BATCH })) {
      if (++this.#entries > MAX_ENTRIES || this.#removed >= MAX_REMOVED || performance.now() > this.#until) break;
      const owner = ownerOf(name);
      if (owner === undefined) continue;
      const named = await this.#judge(join(place, name), owner).catch(() => []);
      for (const other of named) if (others.size < MAX_PLACES) others.add(other);
    }
    return [...others];
  }

  async #judge(path: string, owner: Owner): Promise<string[]> {
    const running = isRunning(owner);
    if (running === true) return [];
    const stats = await lstat(path);
    if (!stats.isDirectory() || stats.uid !== process.geteuid?.()) return [];
    if (running === undefined && Date.now() - stats.mtimeMs < YOUNG_MS) return [];
    const folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    try {
      if (!isFree(folder.fd, running === false)) return [];
      const named = await placesNamedIn(path);
      await rm(path, { recursive: true, force: true });
      this.#removed++;
      return named;
    } finally {
      await folder.close();
    }
  }
}

/** @param otherwise the result where the file system has no locks */
function isFree(descriptor: number, otherwise: boolean): boolean {
  try {
    return tryLock(descriptor);
  } catch {
    return otherwise;
  }
}

async function placesNamedIn(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true });
  const links = entries.filter((entry) => entry.isSymbolicLink()).slice(0, MAX_PLACES);
  return Promise.all(links.map(({ name }) => readlink(join(path, name))));
}
