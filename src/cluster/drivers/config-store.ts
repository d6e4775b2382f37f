import { ServerError } from '../../errors/index.js';
import { deferred } from '../../util/deferred.js';
import type { Config, ConfigEntry, Subscription } from '../driver.js';
import { checkName } from '../names.js';
import type { Channel, Link } from './engine.js';
import { callSafely } from './subjects.js';

interface Watcher {
  readonly fn: (entry: ConfigEntry) => void;
  readonly ready: () => void;
  /** Of the entry it was called with last. */
  version: number;
  /** Number of the read that version came from: answers may overtake each other. */
  read: number;
}

export interface ConfigEvents {
  /** @throws ServerError ERR_CLUSTER_DOWN */
  link(): Link;
  /** @throws ServerError ERR_CLUSTER_UNSUPPORTED */
  refuseMissing(): void;
  /** Rejects with ERR_CLUSTER_DOWN when the engine does not answer in time. */
  inTime<T>(work: Promise<T>): Promise<T>;
  /** Tells the watchers on all nodes. */
  changed(channel: Channel): void;
}

/**
 * Values in the engine, each with a version. A watcher reads again when a node says that the value has changed, when the
 * engine is back, and once per ttl, since notifications may get lost.
 */
export class ConfigStore implements Config {
  readonly #events: ConfigEvents;
  readonly #watchers = new Map<string, Set<Watcher>>();
  #link: Link | undefined;
  #reads = 0;

  constructor(events: ConfigEvents) {
    this.#events = events;
  }

  async get(key: string): Promise<ConfigEntry | undefined> {
    checkName('key', key);
    this.#events.refuseMissing();
    return await this.#events.inTime(this.#events.link().configGet(key));
  }

  async put(key: string, value: Uint8Array, ifVersion?: number): Promise<number> {
    checkName('key', key);
    this.#events.refuseMissing();
    // Half a payload: NATS answers in base64.
    const most = Math.floor(this.#events.link().maxPayload / 2);
    if (value.length > most) throw new ServerError('ERR_CLUSTER_PAYLOAD', { bytes: value.length, most });
    const { written, version } = await this.#events.inTime(this.#events.link().configPut(key, value, ifVersion));
    if (!written) throw new ServerError('ERR_CLUSTER_CONFLICT', { key, expected: ifVersion ?? 0, found: version });
    this.#events.changed(`config/${key}`);
    return version;
  }

  watch(key: string, fn: (entry: ConfigEntry) => void): Subscription {
    checkName('key', key);
    this.#events.refuseMissing();
    const { promise, resolve } = deferred();
    const watcher: Watcher = { fn, ready: resolve, version: 0, read: 0 };
    const watchers = this.#watchers.get(key) ?? new Set();
    watchers.add(watcher);
    if (watchers.size === 1) this.#begin(key, watchers);
    else this.read(key);
    return { subject: key, ready: promise, close: () => this.#close(key, watchers, watcher) };
  }

  async attach(link: Link): Promise<void> {
    this.#link = link;
    const keys = [...this.#watchers.keys()];
    if (keys.length > 0) await link.subscribe(keys.map((key): Channel => `config/${key}`));
  }

  detach(): void {
    this.#link = undefined;
  }

  readAll(): void {
    for (const key of this.#watchers.keys()) this.read(key);
  }

  /** Somebody may have written it. What cannot be read now is read by the next `readAll`. */
  read(key: string): void {
    const link = this.#link;
    if (link === undefined || !this.#watchers.has(key)) return;
    const number = ++this.#reads;
    link.configGet(key).then(
      (entry) => this.#tell(key, entry, number),
      () => {},
    );
  }

  #begin(key: string, watchers: Set<Watcher>): void {
    this.#watchers.set(key, watchers);
    this.#link?.subscribe([`config/${key}`]).then(
      () => this.read(key),
      () => {},
    );
  }

  #tell(key: string, entry: ConfigEntry | undefined, read: number): void {
    for (const watcher of this.#watchers.get(key) ?? []) {
      watcher.ready();
      if (entry === undefined || entry.version === watcher.version || read < watcher.read) continue;
      watcher.version = entry.version;
      watcher.read = read;
      callSafely(() => watcher.fn(entry));
    }
  }

  #close(key: string, watchers: Set<Watcher>, watcher: Watcher): void {
    if (!watchers.delete(watcher) || watchers.size > 0) return;
    this.#watchers.delete(key);
    this.#link?.unsubscribe(`config/${key}`);
  }
}
