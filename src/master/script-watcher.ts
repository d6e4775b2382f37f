/** Reloads when a file changes, for development. Runs in the master's main thread. */
import { type FSWatcher, readdirSync, statSync, watch } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { Log } from '../util/log.js';
import { scriptPath } from '../util/script.js';

/** Editors write in several steps, and several files at once. */
const QUIET_MS = 150;
const MOST_FOLDERS = 2000;

export class ScriptWatcher {
  readonly #log: Log;
  readonly #reload: () => Promise<unknown>;
  /** By folder: Linux has no recursive watching that could leave out folders. */
  readonly #watchers = new Map<string, FSWatcher>();
  #timer: NodeJS.Timeout | undefined;
  #isReloading = false;
  #again = false;
  #changed = '';

  private constructor(log: Log, reload: () => Promise<unknown>) {
    this.#log = log;
    this.#reload = reload;
  }

  /** @param paths the option `watch`; nothing is watched when it is empty */
  static start(
    paths: 'script' | readonly string[],
    log: Log,
    reload: () => Promise<unknown>,
  ): ScriptWatcher | undefined {
    const roots = paths === 'script' ? [dirname(scriptPath() ?? '.')] : paths;
    if (roots.length === 0) return undefined;
    const watcher = new ScriptWatcher(log, reload);
    for (const root of roots) watcher.#add(resolve(root));
    log.info('watching for changes', { folders: watcher.#watchers.size });
    return watcher;
  }

  stop(): void {
    clearTimeout(this.#timer);
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  /** A file, or a folder with all below it. */
  #add(path: string): void {
    if (this.#watchers.has(path)) return;
    if (this.#watchers.size === MOST_FOLDERS) {
      return this.#log.warn('there are too many folders to watch; name fewer with the option watch', {
        limit: MOST_FOLDERS,
      });
    }
    try {
      const isFolder = statSync(path).isDirectory();
      const watcher = watch(path, { persistent: false }, (_event, name) =>
        this.#saw(path, isFolder ? name : basename(path), isFolder),
      );
      watcher.on('error', () => this.#forget(path));
      this.#watchers.set(path, watcher);
      if (!isFolder) return;
      for (const entry of readdirSync(path, { withFileTypes: true })) {
        if (entry.isDirectory() && isOfInterest(entry.name)) this.#add(join(path, entry.name));
      }
    } catch (error) {
      this.#log.warn('this path cannot be watched', { path, reason: (error as Error).message });
    }
  }

  #saw(path: string, name: string | null, isFolder: boolean): void {
    if (name !== null && !isOfInterest(name)) return;
    const changed = isFolder && name !== null ? join(path, name) : path;
    if (isFolder && isDirectory(changed)) this.#add(changed);
    this.#changed = changed;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#act(), QUIET_MS).unref();
  }

  #forget(path: string): void {
    this.#watchers.get(path)?.close();
    this.#watchers.delete(path);
  }

  async #act(): Promise<void> {
    if (this.#isReloading) {
      this.#again = true;
      return;
    }
    this.#isReloading = true;
    this.#log.info('a file has changed, reloading', { path: this.#changed });
    try {
      await this.#reload();
    } catch {
      // the manager has logged why
    }
    this.#isReloading = false;
    if (!this.#again) return;
    this.#again = false;
    await this.#act();
  }
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false; // it was removed
  }
}

/** False for files that package managers, version control and editors keep for themselves. */
function isOfInterest(name: string): boolean {
  return name !== 'node_modules' && !name.startsWith('.') && !/(~|\.swp|\.log|\.pid)$/.test(name);
}
