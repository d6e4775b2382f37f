/**
 * The master's copy of what is present on this node. The processes that have put it, and the broker process, end with the
 * manager; the clients and the master live on. Runs in the master.
 */
import type { KeptMember, PresentChange, PresentPage } from '../cluster/messages.js';
import { nameOf } from '../cluster/own-presence.js';
import type { Log } from '../util/log.js';

/** Of JSON. */
const MOST_BYTES = 64 * 1024 * 1024;
const PAGE_BYTES = 256 * 1024;

export class PresentCopy {
  readonly #log: Pick<Log, 'warn'>;
  readonly #mostBytes: number;
  /** As JSON: it takes the least memory. */
  readonly #members = new Map<string, string>();
  #bytes = 0;
  #isTold = false;
  /** For the broker process that asks for one after another. */
  #pages: readonly (readonly string[])[] = [];

  constructor(log: Pick<Log, 'warn'>, mostBytes = MOST_BYTES) {
    this.#log = log;
    this.#mostBytes = mostBytes;
  }

  take(changes: readonly PresentChange[]): void {
    for (const change of changes) {
      const name = nameOf(change.key, change.member);
      this.#remove(name);
      if ('keeper' in change) this.#add(name, change);
    }
  }

  /** @param number 0: the first one, of what is kept now */
  page(number: number): PresentPage {
    if (number === 0) this.#pages = inPages([...this.#members.values()]);
    const members = (this.#pages[number] ?? []).map((text) => JSON.parse(text) as KeptMember);
    const next = number + 1 < this.#pages.length ? number + 1 : 0;
    if (next === 0) this.#pages = [];
    return { members, next };
  }

  #add(name: string, member: KeptMember): void {
    const text = JSON.stringify(member);
    if (this.#bytes + text.length > this.#mostBytes) return this.#tellFull();
    this.#members.set(name, text);
    this.#bytes += text.length;
  }

  #remove(name: string): void {
    this.#bytes -= this.#members.get(name)?.length ?? 0;
    this.#members.delete(name);
  }

  #tellFull(): void {
    if (this.#isTold) return;
    this.#isTold = true;
    this.#log.warn(
      'the members of presence are too many for the copy that the master keeps: the rest is lost with the manager',
      {
        mostBytes: this.#mostBytes,
        kept: this.#members.size,
      },
    );
  }
}

function inPages(texts: readonly string[]): string[][] {
  const pages: string[][] = [];
  let bytes = 0;
  for (const text of texts) {
    const last = pages.at(-1);
    if (last === undefined || bytes + text.length > PAGE_BYTES) {
      pages.push([text]);
      bytes = text.length;
    } else {
      last.push(text);
      bytes += text.length;
    }
  }
  return pages;
}
