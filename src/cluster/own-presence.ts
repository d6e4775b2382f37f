/**
 * The members that this process has put into presence, kept for a broker process that replaces a killed one. Each member of a
 * node is kept by one process, the last that has put it. Runs in every process.
 */
import { ServerError } from '../errors/index.js';
import type { PresentMember, ToBroker } from './messages.js';

const MOST_MEMBERS = 100_000;
const IN_ONE_MESSAGE = 500;

export class OwnPresence {
  readonly #members = new Map<string, PresentMember>();
  /** What the predecessor of this process has put may still come by `keep`; these were dropped meanwhile. */
  #dropped: Set<string> | undefined = new Set();

  /** @throws ServerError ERR_CLUSTER_FULL */
  checkRoom(key: string, member: string): void {
    if (this.#members.size < MOST_MEMBERS || this.#members.has(nameOf(key, member))) return;
    throw new ServerError('ERR_CLUSTER_FULL', { what: 'members put by this process', most: MOST_MEMBERS });
  }

  put(member: PresentMember): void {
    this.#members.set(nameOf(member.key, member.member), { ...member, meta: structuredClone(member.meta) });
  }

  drop(key: string, member: string): void {
    const name = nameOf(key, member);
    this.#members.delete(name);
    if (this.#dropped !== undefined && this.#dropped.size < MOST_MEMBERS) this.#dropped.add(name);
  }

  /** Another process has put or dropped it. */
  forget(key: string, member: string): void {
    this.#members.delete(nameOf(key, member));
  }

  /** What the process before with this id had put, such as before a reload. */
  keep(members: readonly PresentMember[]): void {
    for (const member of members) {
      const name = nameOf(member.key, member.member);
      if (!this.#members.has(name) && this.#dropped?.has(name) !== true) this.#members.set(name, member);
    }
  }

  /** All that is kept for a predecessor has come. */
  isComplete(): void {
    this.#dropped = undefined;
  }

  get hasAll(): boolean {
    return this.#dropped === undefined;
  }

  /** For a new broker process, in messages of moderate length. */
  again(): Extract<ToBroker, { say: 'presentAgain' }>[] {
    const messages = inMessages([...this.#members.values()]);
    if (!this.hasAll) return messages.map((members) => ({ say: 'presentAgain', members }));
    const last = messages.pop() ?? [];
    return [
      ...messages.map((members) => ({ say: 'presentAgain', members }) as const),
      { say: 'presentAgain', members: last, isAll: true },
    ];
  }
}

export function inMessages<T>(all: readonly T[], most = IN_ONE_MESSAGE): T[][] {
  const messages: T[][] = [];
  for (let at = 0; at < all.length; at += most) messages.push(all.slice(at, at + most));
  return messages;
}

/** Of a member among those of a node. */
export const nameOf = (key: string, member: string): string => JSON.stringify([key, member]);
