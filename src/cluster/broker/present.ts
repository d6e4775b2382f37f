/**
 * The members that processes of this node have put into presence, each with the process that keeps it, should the broker
 * process end. Runs in the broker process.
 */
import type { FromBroker, PresentMember } from '../messages.js';
import { inMessages } from '../own-presence.js';

export interface PresentParts {
  send(message: FromBroker, processId: number): void;
  /** How many workers there are to be; ids from there up to `maxWorkerNum` are of none. */
  workerNum(): number;
  readonly maxWorkerNum: number;
}

type Name = Pick<PresentMember, 'key' | 'member'>;
type Kept = PresentMember & { readonly keeper: number };

/** Keeps what a worker has put that was scaled away. */
const HEIR = 0;

export class Present {
  readonly #parts: PresentParts;
  readonly #members = new Map<string, Kept>();
  /** Names of what was handed over: its `keep` may still be on its way. */
  readonly #inherited = new Set<string>();
  #workerNum: number;

  constructor(parts: PresentParts) {
    this.#parts = parts;
    this.#workerNum = parts.workerNum();
  }

  all(): Iterable<PresentMember> {
    return this.#members.values();
  }

  put({ key, member, meta, ttlMs }: PresentMember, from: number): void {
    this.#takeFromKeeper({ key, member }, from);
    this.#inherited.delete(nameOf({ key, member }));
    this.#members.set(nameOf({ key, member }), { key, member, meta, ttlMs, keeper: from });
    if (this.#isScaledAway(from)) this.#handOver();
  }

  drop(name: Name, from: number): void {
    this.#takeFromKeeper(name, from);
    if (this.#inherited.delete(nameOf(name)) && from === HEIR) this.#forget(name, HEIR);
    this.#members.delete(nameOf(name));
  }

  /** To the successor of that process, or to one that takes them over. */
  sendKept(processId: number): void {
    const kept = [...this.#members.values()].filter(({ keeper }) => keeper === processId);
    this.#sendKeep(kept, processId);
  }

  /** To be called now and then: what a worker keeps that is scaled away would be lost with this process. */
  look(): void {
    const before = this.#workerNum;
    this.#workerNum = this.#parts.workerNum();
    if (this.#workerNum < before) this.#handOver();
  }

  #handOver(): void {
    const orphans = [...this.#members.values()].filter(({ keeper }) => this.#isScaledAway(keeper));
    const inherited = orphans.map((orphan) => ({ ...orphan, keeper: HEIR }));
    for (const each of inherited) {
      this.#members.set(nameOf(each), each);
      this.#inherited.add(nameOf(each));
    }
    this.#sendKeep(inherited, HEIR);
  }

  #isScaledAway(id: number): boolean {
    return id >= this.#parts.workerNum() && id < this.#parts.maxWorkerNum;
  }

  /** Else it would put again what another process has changed. */
  #takeFromKeeper(name: Name, from: number): void {
    const keeper = this.#members.get(nameOf(name))?.keeper;
    if (keeper !== undefined && keeper !== from) this.#forget(name, keeper);
  }

  #forget({ key, member }: Name, processId: number): void {
    this.#parts.send({ say: 'forget', key, member }, processId);
  }

  #sendKeep(kept: readonly Kept[], processId: number): void {
    for (const members of inMessages(kept)) this.#parts.send({ say: 'keep', members }, processId);
  }
}

const nameOf = ({ key, member }: Name): string => JSON.stringify([key, member]);
