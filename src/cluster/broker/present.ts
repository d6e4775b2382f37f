/**
 * The members that processes of this node have put into presence, each with the process that keeps it, should the broker
 * process end. The master keeps a copy, should that process end too. Runs in the broker process.
 */
import type { FromBroker, KeptMember, PresentChange, PresentMember, PresentPage } from '../messages.js';
import { inMessages, nameOf } from '../own-presence.js';
import { PresentNotes } from './present-notes.js';

/** The master's copy. */
export interface PresentMaster {
  tellPresent(changes: readonly PresentChange[]): void;
  /** What was present with the broker process before. Rejects with ERR_CLUSTER_TIMEOUT, ERR_SHUTTING_DOWN */
  presentBefore(page: number): Promise<PresentPage>;
}

export interface PresentParts {
  send(message: FromBroker, processId: number): void;
  /** For the master's copy. */
  tell(changes: readonly PresentChange[]): void;
  /** Nobody keeps it any more. */
  gone(name: Name): void;
  /** How many workers there are to be; ids from there up to `maxWorkerNum` are of none. */
  workerNum(): number;
  readonly maxWorkerNum: number;
  /** `restored` will be called: the master has a copy of what was present before. */
  readonly isSuccessor: boolean;
}

type Name = Pick<PresentMember, 'key' | 'member'>;

/** Keeps what a worker has put that was scaled away. */
const HEIR = 0;
/** Processes say again what they have as soon as they turn: by then fewer have changed. */
const MOST_CHANGED = 10_000;

export class Present {
  readonly #parts: PresentParts;
  readonly #members = new Map<string, KeptMember>();
  /** Names of what was handed over: its `keep` may still be on its way. */
  readonly #inherited = new Set<string>();
  readonly #notes: PresentNotes;
  /** Names of the copy's members, until the keeper puts them again, or its successor has them. */
  readonly #unsure = new Set<string>();
  /** While the copy comes, it is older than what processes say: what they have dropped, and who has said all that it has. */
  #meanwhile: { readonly dropped: Set<string>; readonly saidAll: Set<number> } | undefined;
  /** Who last put or dropped a name since this process began: what another one says again is older. Of a successor. */
  readonly #changedBy = new Map<string, number>();
  #workerNum: number;

  constructor(parts: PresentParts) {
    this.#parts = parts;
    this.#workerNum = parts.workerNum();
    this.#notes = new PresentNotes((changes) => parts.tell(changes), parts.isSuccessor);
    if (parts.isSuccessor) this.#meanwhile = { dropped: new Set(), saidAll: new Set() };
  }

  all(): Iterable<PresentMember> {
    return this.#members.values();
  }

  put(member: PresentMember, from: number): void {
    this.#noteChange(member, from);
    this.#put(member, from);
  }

  /**
   * A process that has heard of this one says what it has put before.
   * @returns false: another process has put or dropped the member since
   */
  again(member: PresentMember, from: number): boolean {
    const by = this.#changedBy.get(nameOf(member.key, member.member)) ?? from;
    if (by === from) this.#put(member, from);
    else this.#forget(member, from);
    return by === from;
  }

  #put({ key, member, meta, ttlMs }: PresentMember, from: number): void {
    const name = nameOf(key, member);
    this.#takeFromKeeper({ key, member }, from);
    this.#inherited.delete(name);
    this.#unsure.delete(name);
    this.#meanwhile?.dropped.delete(name);
    this.#set({ key, member, meta, ttlMs, keeper: from });
    if (this.#isScaledAway(from)) this.#handOver();
  }

  drop({ key, member }: Name, from: number): void {
    this.#noteChange({ key, member }, from);
    const name = nameOf(key, member);
    this.#takeFromKeeper({ key, member }, from);
    if (this.#inherited.delete(name) && from === HEIR) this.#forget({ key, member }, HEIR);
    this.#meanwhile?.dropped.add(name);
    this.#remove({ key, member });
  }

  /** To the successor of that process, or to one that takes them over. */
  sendKept(processId: number): void {
    const kept = [...this.#members.values()].filter(({ keeper }) => keeper === processId);
    for (const { key, member } of kept) this.#unsure.delete(nameOf(key, member));
    this.#sendKeep(kept, processId);
  }

  /** Rejects as the copy does; what has come of it until then is present. */
  async restoreFrom(copy: PresentMaster): Promise<void> {
    let page = 0;
    try {
      do {
        const { members, next } = await copy.presentBefore(page);
        this.restore(members);
        page = next;
      } while (page > 0);
    } finally {
      this.restored();
    }
  }

  /** Of the master's copy. Processes that live say themselves what they have, and know better. */
  restore(members: readonly KeptMember[]): void {
    for (const each of members) {
      const name = nameOf(each.key, each.member);
      const known = this.#members.get(name);
      if (known !== undefined && isSame(known, each)) this.#notes.forget(each);
      if (known !== undefined || this.#meanwhile?.dropped.has(name) === true) continue;
      this.#members.set(name, each);
      this.#unsure.add(name);
    }
  }

  /** The copy has come as far as it will. */
  restored(): void {
    const { saidAll } = this.#meanwhile ?? { saidAll: [] };
    this.#meanwhile = undefined;
    this.#handOver();
    for (const keeper of saidAll) this.saidAll(keeper);
    this.#notes.release();
  }

  /** That process has put again all that it has: what the copy has besides, it has dropped while there was no broker process. */
  saidAll(processId: number): void {
    this.#meanwhile?.saidAll.add(processId);
    for (const name of this.#unsure) {
      const member = this.#members.get(name);
      if (member?.keeper !== processId) continue;
      this.#remove(member);
      this.#parts.gone(member);
    }
  }

  /** To be called now and then: what a worker keeps that is scaled away would be lost with this process. */
  look(): void {
    const before = this.#workerNum;
    this.#workerNum = this.#parts.workerNum();
    if (this.#workerNum < before) this.#handOver();
  }

  /** This process ends in order. */
  close(): void {
    this.#notes.flush();
  }

  #handOver(): void {
    const orphans = [...this.#members.values()].filter(({ keeper }) => this.#isScaledAway(keeper));
    const inherited = orphans.map((orphan) => ({ ...orphan, keeper: HEIR }));
    for (const each of inherited) {
      const name = nameOf(each.key, each.member);
      this.#set(each);
      this.#unsure.delete(name);
      this.#inherited.add(name);
    }
    this.#sendKeep(inherited, HEIR);
  }

  #isScaledAway(id: number): boolean {
    return id >= this.#parts.workerNum() && id < this.#parts.maxWorkerNum;
  }

  #set(member: KeptMember): void {
    const name = nameOf(member.key, member.member);
    const known = this.#members.get(name);
    this.#members.set(name, member);
    if (known === undefined || !isSame(known, member)) this.#notes.note(member);
  }

  #remove({ key, member }: Name): void {
    const name = nameOf(key, member);
    this.#unsure.delete(name);
    this.#members.delete(name);
    this.#notes.note({ key, member });
  }

  #noteChange({ key, member }: Name, from: number): void {
    if (!this.#parts.isSuccessor) return;
    const name = nameOf(key, member);
    this.#changedBy.delete(name);
    this.#changedBy.set(name, from);
    const [oldest] = this.#changedBy.keys();
    if (this.#changedBy.size > MOST_CHANGED && oldest !== undefined) this.#changedBy.delete(oldest);
  }

  /** Else it would put again what another process has changed. */
  #takeFromKeeper({ key, member }: Name, from: number): void {
    const keeper = this.#members.get(nameOf(key, member))?.keeper;
    if (keeper !== undefined && keeper !== from) this.#forget({ key, member }, keeper);
  }

  #forget({ key, member }: Name, processId: number): void {
    this.#parts.send({ say: 'forget', key, member }, processId);
  }

  #sendKeep(kept: readonly KeptMember[], processId: number): void {
    for (const members of inMessages(kept)) this.#parts.send({ say: 'keep', members }, processId);
  }
}

/** It spares the master what it has: all of it, when a new broker process is told again. */
function isSame(one: KeptMember, other: KeptMember): boolean {
  if (one.keeper !== other.keeper || one.ttlMs !== other.ttlMs) return false;
  return JSON.stringify(one.meta) === JSON.stringify(other.meta);
}
