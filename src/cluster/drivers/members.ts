/**
 * Presence without a store: each node knows its own members, and a list is one question to each node. Nothing has to be
 * renewed, nothing is left behind by a dead node, and an engine that lost its data has lost no members.
 */
import { integer } from '../../options/check.js';
import { monotonicMs } from '../../util/clock.js';
import { longestListMs, type Member, type NodeId, type NodeInfo, type Presence } from '../driver.js';
import { checkName, metaText } from '../names.js';

/** One page of an answer, or less where the engine takes only small payloads. */
const PAGE_BYTES = 64 * 1024;
/** Lists whose last known members are kept, for a node that does not answer. */
const MOST_KEPT = 1000;

interface OwnMember {
  /** Grows with each new member: a page begins after the last of the page before. */
  readonly number: number;
  readonly meta: string;
  readonly ttlMs: number;
}

/** As it travels: member, meta as JSON, ttl in ms. */
type Row = readonly [member: string, meta: string, ttlMs: number];

interface Page {
  readonly rows: readonly Row[];
  /** Ask again after this one; 0: that is all. */
  readonly next: number;
  /** All members of the key on that node. */
  readonly size: number;
}

interface Question {
  readonly key: string;
  readonly after: number;
  /** Without rows: for a count. */
  readonly only: 'rows' | 'size';
}

interface Kept {
  readonly rows: readonly Row[];
  readonly atMs: number;
}

export interface MembersEvents {
  others(): readonly NodeInfo[];
  isUp(): boolean;
  readonly heartbeatMs: number;
  readonly ttlMs: number;
  /** Rejects when the node does not answer in time, or is lost meanwhile. */
  ask(node: NodeInfo, question: Buffer, timeoutMs: number): Promise<Buffer>;
}

export class Members implements Presence {
  readonly #self: () => NodeId;
  readonly #events: MembersEvents;
  readonly #own = new Map<string, Map<string, OwnMember>>();
  readonly #kept = new Map<string, Map<NodeId, Kept>>();
  #lastNumber = 0;

  constructor(self: () => NodeId, events: MembersEvents) {
    this.#self = self;
    this.#events = events;
  }

  put(key: string, member: string, meta: unknown, ttlMs: number): void {
    checkName('key', key);
    checkName('member', member);
    integer({ min: 1, max: 86_400_000 }, 'ms').check('ttlMs', ttlMs);
    const json = metaText(meta ?? null);
    const members = this.#own.get(key) ?? new Map<string, OwnMember>();
    this.#own.set(key, members);
    members.set(member, { number: members.get(member)?.number ?? ++this.#lastNumber, meta: json, ttlMs });
  }

  drop(key: string, member: string): void {
    const members = this.#own.get(key);
    members?.delete(member);
    if (members?.size === 0) this.#own.delete(key);
  }

  async list(key: string): Promise<Member[]> {
    checkName('key', key);
    const own = this.#page(key, 0, Number.POSITIVE_INFINITY).rows;
    const others = this.#events.others();
    const lists = await Promise.all(others.map((node) => this.#listOf(node, key)));
    this.#keepOnly(key, others);
    return [...own.map((row) => toMember(row, this.#self(), false)), ...lists.flat()];
  }

  async count(key: string): Promise<number> {
    checkName('key', key);
    const sizes = await Promise.all(this.#events.others().map((node) => this.#sizeOf(node, key)));
    return sizes.reduce((sum, size) => sum + size, this.#own.get(key)?.size ?? 0);
  }

  /** The answer to a question of another node. A page has an eighth of the payload: as JSON it becomes up to 6 times larger. */
  answer(question: Buffer, maxPayload: number): Buffer {
    const { key, after, only } = JSON.parse(question.toString()) as Question;
    const size = this.#own.get(key)?.size ?? 0;
    if (only === 'size') return Buffer.from(JSON.stringify({ rows: [], next: 0, size } satisfies Page));
    return Buffer.from(JSON.stringify(this.#page(key, after, Math.min(PAGE_BYTES, maxPayload / 8))));
  }

  #page(key: string, after: number, mostBytes: number): Page {
    const rows: Row[] = [];
    let bytes = 0;
    let last = 0;
    const members = this.#own.get(key) ?? new Map<string, OwnMember>();
    for (const [member, { number, meta, ttlMs }] of members) {
      if (number <= after) continue;
      if (bytes > 0 && bytes + meta.length > mostBytes) return { rows, next: last, size: members.size };
      bytes += member.length + meta.length + 32;
      last = number;
      rows.push([member, meta, ttlMs]);
    }
    return { rows, next: 0, size: members.size };
  }

  async #listOf(node: NodeInfo, key: string): Promise<Member[]> {
    try {
      const rows = await this.#rowsOf(node, key);
      this.#keep(node.id, key, rows);
      return rows.map((row) => toMember(row, node.id, false));
    } catch {
      return this.#lastKnown(node.id, key);
    }
  }

  async #rowsOf(node: NodeInfo, key: string): Promise<Row[]> {
    const rows: Row[] = [];
    const until = monotonicMs() + longestListMs(this.#events);
    let after = 0;
    do {
      const page = await this.#ask(node, { key, after, only: 'rows' }, until - monotonicMs());
      rows.push(...page.rows);
      after = page.next;
    } while (after > 0);
    return rows;
  }

  /** Without a last known answer it waits as long as the node counts as living. @param mostMs for all pages of a list that are left */
  async #ask(node: NodeInfo, question: Question, mostMs: number): Promise<Page> {
    const isKnown = this.#kept.get(question.key)?.has(node.id) === true;
    const timeoutMs = Math.max(1, isKnown ? Math.min(2 * this.#events.heartbeatMs, mostMs) : mostMs);
    const answer = await this.#events.ask(node, Buffer.from(JSON.stringify(question)), timeoutMs);
    return JSON.parse(answer.toString()) as Page;
  }

  async #sizeOf(node: NodeInfo, key: string): Promise<number> {
    try {
      return (await this.#ask(node, { key, after: 0, only: 'size' }, longestListMs(this.#events))).size;
    } catch {
      return this.#lastKnown(node.id, key).length;
    }
  }

  #keep(node: NodeId, key: string, rows: readonly Row[]): void {
    const kept = this.#kept.get(key) ?? new Map<NodeId, Kept>();
    this.#kept.delete(key);
    this.#kept.set(key, kept);
    kept.set(node, { rows, atMs: monotonicMs() });
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > MOST_KEPT) this.#kept.delete(oldest!);
  }

  /** Members of nodes that are gone are not kept for a later node of the same id. */
  #keepOnly(key: string, others: readonly NodeInfo[]): void {
    const kept = this.#kept.get(key);
    for (const node of kept?.keys() ?? []) if (!others.some(({ id }) => id === node)) kept!.delete(node);
  }

  /** While the engine is lost no node can say more: then age does not count. */
  #lastKnown(node: NodeId, key: string): Member[] {
    if (!this.#events.others().some(({ id }) => id === node)) return []; // lost while it was asked
    const { rows = [], atMs = 0 } = this.#kept.get(key)?.get(node) ?? {};
    const ageMs = this.#events.isUp() ? monotonicMs() - atMs : 0;
    return rows.filter(([, , ttlMs]) => ageMs < ttlMs).map((row) => toMember(row, node, true));
  }
}

function toMember([member, meta]: Row, node: NodeId, stale: boolean): Member {
  return { member, node, meta: JSON.parse(meta) as unknown, stale };
}
