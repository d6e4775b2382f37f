/**
 * Rooms over several nodes: this node subscribes once to each room that has members here, gets one copy of each message, and
 * its reactors fan it out. Runs in the broker process.
 */
import { monotonicMs } from '../../util/clock.js';
import { type ClusterDriver, type ListOf, type NodeId, type Subscription, withSilent } from '../driver.js';
import { SubjectKind, subjectOf } from '../subjects.js';
import { unpackRoomData } from './room-data.js';

/** The rooms of this node. */
export interface LocalRooms {
  publish(room: string, data: string | Uint8Array): boolean;
  size(room: string): number;
  list(): readonly { readonly name: string; readonly members: number }[];
}

/** How often rooms are counted, and those without members left. */
const LOOK_MS = 1000;
/** A room that somebody has just joined may not have been counted yet. */
const JOINING_MS = 5000;
/** Looks between two comparisons with all rooms of this node, some microseconds each. */
const LOOKS_UNTIL_COMPARED = 10;

export interface BrokerRoomsParts {
  readonly driver: ClusterDriver;
  readonly self: NodeId;
  readonly local: LocalRooms;
  readonly ttlMs: number;
  /** Its members here have not got what other nodes have published. */
  missed(room: string): void;
}

interface Followed {
  readonly subscription: Subscription;
  joinedAt: number;
  /** As other nodes know it. */
  members: number;
}

export class BrokerRooms {
  readonly #parts: BrokerRoomsParts;
  readonly #followed = new Map<string, Followed>();
  /** By subject: after an outage each room has a gap. */
  readonly #roomOf = new Map<string, string>();
  readonly #timer: NodeJS.Timeout;
  /** Reactors did not take a message to them. */
  readonly #missed = new Set<string>();
  #looks = 0;
  /** Messages that a node has published and this one could not read, or give to its rooms. */
  lost = 0;

  constructor(parts: BrokerRoomsParts) {
    this.#parts = parts;
    for (const { name } of parts.local.list()) this.joined(name);
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
  }

  /** A connection of this node joins it. */
  joined(room: string): void {
    const followed = this.#followed.get(room);
    if (followed !== undefined) {
      followed.joinedAt = monotonicMs();
      return;
    }
    const subscription = this.#parts.driver.subscribe(subjectOf(SubjectKind.room, room), (data, from) => {
      if (from !== this.#parts.self) this.#deliver(room, data);
    });
    this.#followed.set(room, { subscription, joinedAt: monotonicMs(), members: 0 });
    this.#roomOf.set(subscription.subject, room);
  }

  /** Resolves when the engine has confirmed the rooms that are followed now. */
  async ready(): Promise<void> {
    await Promise.all([...this.#followed.values()].map(({ subscription }) => subscription.ready));
  }

  /** Of all nodes. */
  async members(room: string): Promise<ListOf<{ node: NodeId; members: number; stale?: true }>> {
    const all = await this.#parts.driver.presence.list(subjectOf(SubjectKind.room, room));
    const counts = all.map(({ node, meta, stale }) => ({
      ...{ node, members: Number(meta) },
      ...(stale && { stale: true as const }),
    }));
    return withSilent(counts, all.silent);
  }

  /** Whether a gap of that subject is one of a room: its name. */
  roomOf(subject: string): string | undefined {
    return this.#roomOf.get(subject);
  }

  /** Rooms this node subscribes to. */
  get followed(): number {
    return this.#followed.size;
  }

  close(): void {
    clearInterval(this.#timer);
    for (const { subscription } of this.#followed.values()) subscription.close();
    this.#followed.clear();
    this.#roomOf.clear();
  }

  #deliver(room: string, packed: Uint8Array): void {
    const data = unpackRoomData(packed);
    if (data !== undefined && this.#parts.local.publish(room, data)) return;
    this.lost++;
    this.#missed.add(room);
  }

  /** Whoever joined it could not say so, or its reactor took longer than `JOINING_MS`: nobody else would find it. */
  #followForgotten(): void {
    for (const { name, members } of this.#parts.local.list()) {
      if (members === 0 || this.#followed.has(name)) continue;
      this.joined(name);
      void this.#followed.get(name)?.subscription.ready.then(() => this.#missed.add(name));
    }
  }

  #look(): void {
    if (++this.#looks % LOOKS_UNTIL_COMPARED === 0) this.#followForgotten();
    const now = monotonicMs();
    for (const room of this.#missed) this.#parts.missed(room);
    this.#missed.clear();
    for (const [room, followed] of this.#followed) {
      const members = this.#parts.local.size(room);
      if (members !== followed.members) this.#count(room, followed, members);
      if (members > 0 || now - followed.joinedAt < JOINING_MS) continue;
      followed.subscription.close();
      this.#followed.delete(room);
      this.#roomOf.delete(followed.subscription.subject);
    }
  }

  #count(room: string, followed: Followed, members: number): void {
    const { driver, self, ttlMs } = this.#parts;
    const key = subjectOf(SubjectKind.room, room);
    followed.members = members;
    if (members === 0) driver.presence.drop(key, self);
    else driver.presence.put(key, self, members, ttlMs);
  }
}
