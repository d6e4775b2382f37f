/**
 * Presence without a store: each node knows its own members, and a list is one question to each node. Nothing has to be
 * renewed, nothing is left behind by a dead node, and an engine that lost its data has lost no members.
 */
import { integer } from '../../options/check.js';
import { monotonicMs } from '../../util/clock.js';
import { deferred } from '../../util/deferred.js';
import {
  longestListMs,
  type Member,
  type MemberList,
  type NodeId,
  type NodeInfo,
  type Presence,
  withSilent,
} from '../driver.js';
import { EqualQuestions } from '../equal-questions.js';
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

export interface MembersEvents {
  others(): readonly NodeInfo[];
  isUp(): boolean;
  readonly heartbeatMs: number;
  readonly ttlMs: number;
  /** Rejects when the node does not answer in time, or is lost meanwhile. */
  ask(node: NodeInfo, question: Buffer, timeoutMs: number): Promise<Buffer>;
}

/** What a list has of another node. */
interface Part {
  readonly members: readonly Member[];
  /** There may be more: it does not answer, and what it last said does not stand for it. */
  readonly isSilent: boolean;
}

export class Members implements Presence {
  readonly #self: () => NodeId;
  readonly #events: MembersEvents;
  readonly #own = new Map<string, Map<string, OwnMember>>();
  readonly #kept = new Map<string, Map<NodeId, readonly Row[]>>();
  /** When it was first asked without an answer, or has last answered, whichever is later. */
  readonly #silentSince = new Map<NodeId, number>();
  readonly #heardAt = new Map<NodeId, number>();
  readonly #lists: EqualQuestions<MemberList>;
  #lastNumber = 0;

  constructor(self: () => NodeId, events: MembersEvents) {
    this.#self = self;
    this.#events = events;
    // The processes of this node, each with a bound of its own.
    this.#lists = new EqualQuestions(Number.POSITIVE_INFINITY, events.heartbeatMs);
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

  async list(key: string): Promise<MemberList> {
    checkName('key', key);
    return await this.#lists.ask(key, () => this.#listNow(key));
  }

  async #listNow(key: string): Promise<MemberList> {
    const own = this.#page(key, 0, Number.POSITIVE_INFINITY).rows;
    const others = this.#events.others();
    const parts = await Promise.all(others.map((node) => this.#listOf(node, key)));
    this.#keepOnly(key, others);
    const silent = others.filter((_, i) => parts[i]?.isSilent === true).map(({ id }) => id);
    const members = own.map((row) => toMember(row, this.#self(), false));
    return withSilent(members.concat(...parts.map((part) => part.members)), silent);
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

  async #listOf(node: NodeInfo, key: string): Promise<Part> {
    const rows = await this.#unlessSilent(node, (heard) => this.#rowsOf(node, key, heard));
    if (rows === undefined) return this.#lastKnown(node.id, key);
    return { members: rows.map((row) => toMember(row, node.id, false)), isSilent: false };
  }

  async #sizeOf(node: NodeInfo, key: string): Promise<number> {
    const ask = () => this.#ask(node, { key, after: 0, only: 'size' }, longestListMs(this.#events));
    const page = await this.#unlessSilent(node, ask);
    return page?.size ?? this.#lastKnown(node.id, key).members.length;
  }

  /**
   * What a node answers, unless it says nothing for a heartbeat; what comes later is kept for the next list.
   * @param ask calls `heard` at each page: the node has a heartbeat for the next one
   */
  async #unlessSilent<T>(node: NodeInfo, ask: (heard: () => void) => Promise<T>): Promise<T | undefined> {
    const silent = deferred<undefined>();
    let isLate = false;
    const beganMs = monotonicMs();
    const timer = setTimeout(() => {
      isLate = true;
      // After a pause of this process its timer comes before the answers that have waited in the socket.
      setImmediate(() => isLate && silent.resolve(undefined));
    }, this.#events.heartbeatMs);
    const heard = (): void => {
      isLate = false;
      timer.refresh();
    };
    try {
      const answer = await Promise.race([ask(heard), silent.promise]);
      if (answer !== undefined) return answer;
    } catch {
      // Lost, refused, or late: the same.
    } finally {
      clearTimeout(timer);
    }
    if (this.#events.isUp() && !this.#silentSince.has(node.id)) {
      this.#silentSince.set(node.id, Math.max(beganMs, this.#heardAt.get(node.id) ?? beganMs));
    }
    return undefined;
  }

  async #rowsOf(node: NodeInfo, key: string, heard: () => void): Promise<Row[]> {
    const rows: Row[] = [];
    const until = monotonicMs() + longestListMs(this.#events);
    let after = 0;
    do {
      const page = await this.#ask(node, { key, after, only: 'rows' }, until - monotonicMs());
      heard();
      rows.push(...page.rows);
      after = page.next;
    } while (after > 0);
    this.#keep(node.id, key, rows);
    return rows;
  }

  /** @param mostMs for all pages of a list that are left */
  async #ask(node: NodeInfo, question: Question, mostMs: number): Promise<Page> {
    const answer = await this.#events.ask(node, Buffer.from(JSON.stringify(question)), Math.max(1, mostMs));
    this.#silentSince.delete(node.id);
    this.#heardAt.set(node.id, monotonicMs());
    return JSON.parse(answer.toString()) as Page;
  }

  #keep(node: NodeId, key: string, rows: readonly Row[]): void {
    const kept = this.#kept.get(key) ?? new Map<NodeId, readonly Row[]>();
    this.#kept.delete(key);
    this.#kept.set(key, kept);
    kept.set(node, rows);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > MOST_KEPT) this.#kept.delete(oldest!);
  }

  /** Nothing of nodes that are gone is kept for a later node of the same id. */
  #keepOnly(key: string, others: readonly NodeInfo[]): void {
    const kept = this.#kept.get(key);
    const isGone = (node: NodeId): boolean => !others.some(({ id }) => id === node);
    for (const node of kept?.keys() ?? []) if (isGone(node)) kept!.delete(node);
    for (const node of this.#silentSince.keys()) if (isGone(node)) this.#silentSince.delete(node);
    for (const node of this.#heardAt.keys()) if (isGone(node)) this.#heardAt.delete(node);
  }

  /**
   * While the engine is lost no node can say more: then time does not count. Of a node that said it had none there is nothing to
   * mark as stale, and after their ttl members are not listed: then it is silent.
   */
  #lastKnown(node: NodeId, key: string): Part {
    // Lost while it was asked: it has no members.
    if (!this.#events.others().some(({ id }) => id === node)) return { members: [], isSilent: false };
    const now = monotonicMs();
    const silentMs = this.#events.isUp() ? now - (this.#silentSince.get(node) ?? now) : 0;
    const rows = this.#kept.get(key)?.get(node) ?? [];
    const members = rows.filter(([, , ttlMs]) => silentMs < ttlMs).map((row) => toMember(row, node, true));
    return { members, isSilent: members.length === 0 || members.length < rows.length };
  }
}

function toMember([member, meta]: Row, node: NodeId, stale: boolean): Member {
  return { member, node, meta: JSON.parse(meta) as unknown, stale };
}
