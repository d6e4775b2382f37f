/**
 * The living nodes: heartbeats on the channel `nodes/`, as JSON `{ say, node, forMs }`.
 *
 * - `hello`: "I start; who is there?" Others answer with `here`, together and after a random pause.
 * - `here`: the heartbeat; `forMs` is how long it has lived without a pause of more than the ttl.
 * - `taken`: "your id is mine", with the incarnation of the asker in `to`.
 * - `bye`: it stops, or, with `hasDied`, the last of its processes says that the others have died.
 *
 * Ages are counted in own heartbeats, not in time: after a pause of this process its timer comes before the messages that
 * have waited in the socket, and a clock would declare all nodes lost. Only heartbeats that came back count: where the engine
 * stands still, the silence of the others says nothing.
 */
import { monotonicMs } from '../../util/clock.js';
import type { NodeEnd, NodeId, NodeInfo } from '../driver.js';
import { readNode } from '../names.js';

const MOST_RETIRED = 4096;
/** Anybody who may publish can announce nodes. */
export const MOST_OTHERS = 1000;
/** Two servers with one id that have lived equally long, but for the way of a message. */
const EQUALLY_LONG_MS = 1000;

type Word = 'hello' | 'here' | 'taken' | 'bye';

interface Announcement {
  readonly say: Word;
  readonly node: NodeInfo;
  readonly forMs: number;
  readonly to: string;
  readonly hasDied?: boolean;
}

export interface MembershipEvents {
  send(announcement: Buffer): void;
  nodeUp(node: NodeInfo): void;
  /** @param hasEnded it has said so: it does not serve any more */
  nodeDown(id: NodeId, why: NodeEnd, hasEnded: boolean): void;
  /**
   * Another process speaks for that start of a node: what it published in between is lost, and it knows nothing of what the
   * one before was asked. Called when it has joined.
   */
  replaced(id: NodeId): void;
  /** A living server has this node's id, and was there first. */
  taken(by: NodeInfo): void;
  /** The own heartbeats do not come back any more. */
  silent(): void;
  /** There are `MOST_OTHERS` already: this one is left out. Once, until one of them goes. */
  full(node: NodeInfo): void;
}

interface Other {
  readonly node: NodeInfo;
  /** Own heartbeats since its last. */
  missed: number;
}

export class Membership {
  readonly #self: NodeInfo;
  readonly #heartbeatMs: number;
  readonly #ttlMs: number;
  readonly #events: MembershipEvents;
  readonly #others = new Map<NodeId, Other>();
  /** Starts that have ended: a late heartbeat must not bring them back, a new `hello` does. */
  readonly #retired = new Set<string>();
  /** Starts that have said hello a second time, and have not joined yet. */
  readonly #replaced = new Set<string>();
  #joined = false;
  #sinceMs = monotonicMs();
  #echoMs = monotonicMs();
  #unanswered = 0;
  #isFull = false;
  #answering: NodeJS.Timeout | undefined;

  constructor(self: NodeInfo, times: { heartbeatMs: number; ttlMs: number }, events: MembershipEvents) {
    this.#self = self;
    this.#heartbeatMs = times.heartbeatMs;
    this.#ttlMs = times.ttlMs;
    this.#events = events;
  }

  get joined(): boolean {
    return this.#joined;
  }

  get nodes(): readonly NodeInfo[] {
    return [this.#self, ...this.others];
  }

  get others(): NodeInfo[] {
    return Array.from(this.#others.values(), ({ node }) => node);
  }

  find(id: NodeId): NodeInfo | undefined {
    return id === this.#self.id ? this.#self : this.#others.get(id)?.node;
  }

  /** Asks all nodes to announce themselves. The caller waits half a heartbeat before `join`. */
  ask(): void {
    this.#say('hello');
  }

  join(): void {
    this.#joined = true;
    this.#sinceMs = monotonicMs();
    this.#echoMs = this.#sinceMs;
    this.resume();
  }

  /** The engine is back: the time without it counts for no node as silence. */
  resume(): void {
    this.#unanswered = 0;
    for (const other of this.#others.values()) other.missed = 0;
    if (this.#joined) this.#say('here');
  }

  /** To be called each heartbeat while the engine is up. */
  tick(): void {
    const isAnswered = this.#unanswered === 0;
    this.#say('here');
    if (++this.#unanswered > this.#mostMissed) return this.#events.silent();
    if (!isAnswered) return;
    for (const other of this.#others.values()) {
      if (++other.missed > this.#mostMissed) this.#remove(other.node, 'lost');
    }
  }

  /** @param hasDied the server of this node was killed */
  leave(hasDied = false): void {
    if (this.#joined) this.#say('bye', '', hasDied);
    this.close();
  }

  close(): void {
    this.#joined = false;
    clearTimeout(this.#answering);
  }

  heard(bytes: Buffer): void {
    const announcement = decode(bytes);
    if (announcement === undefined) return;
    if (announcement.node.id === this.#self.id) return this.#heardOwnId(announcement);
    const { say, node, hasDied } = announcement;
    if (say === 'hello') this.#starts(node);
    else if (say === 'here') this.#alive(node);
    else if (say === 'bye') this.#left(node, hasDied === true);
  }

  /** A start that has said goodbye may come again: its broker process has been replaced. */
  #starts(node: NodeInfo): void {
    const start = startOf(node);
    const wasHere = this.#others.get(node.id)?.node.incarnation === node.incarnation;
    if ((this.#retired.delete(start) || wasHere) && this.#replaced.size < MOST_RETIRED) this.#replaced.add(start);
    this.#answerSoon();
  }

  get #mostMissed(): number {
    return Math.ceil(this.#ttlMs / this.#heartbeatMs);
  }

  #alive(node: NodeInfo): void {
    if (this.#retired.has(startOf(node))) return;
    const known = this.#others.get(node.id);
    if (known?.node.incarnation === node.incarnation) {
      known.missed = 0;
      return this.#tellReplaced(node);
    }
    if (known !== undefined) {
      this.#retire(known.node);
      this.#remove(known.node, 'lost');
    }
    if (this.#others.size >= MOST_OTHERS) return this.#leaveOut(node);
    this.#others.set(node.id, { node, missed: 0 });
    this.#events.nodeUp(node);
    this.#tellReplaced(node);
  }

  #leaveOut(node: NodeInfo): void {
    if (!this.#isFull) this.#events.full(node);
    this.#isFull = true;
  }

  #tellReplaced(node: NodeInfo): void {
    if (this.#replaced.delete(startOf(node))) this.#events.replaced(node.id);
  }

  #left(node: NodeInfo, hasDied: boolean): void {
    this.#retire(node);
    if (this.#others.get(node.id)?.node.incarnation !== node.incarnation) return;
    this.#remove(node, hasDied ? 'lost' : 'left', true);
  }

  #remove(node: NodeInfo, why: NodeEnd, hasEnded = false): void {
    this.#others.delete(node.id);
    this.#isFull = false;
    this.#replaced.delete(startOf(node));
    this.#events.nodeDown(node.id, why, hasEnded);
  }

  #retire(node: NodeInfo): void {
    this.#retired.add(startOf(node));
    const [oldest] = this.#retired;
    if (this.#retired.size > MOST_RETIRED) this.#retired.delete(oldest!);
  }

  #heardOwnId(announcement: Announcement): void {
    if (announcement.node.incarnation === this.#self.incarnation) return this.#heardOwnEcho(announcement);
    if (announcement.say === 'hello') this.#heardRival(announcement);
    else if (announcement.say === 'here' && this.#yieldsTo(announcement)) this.#events.taken(announcement.node);
    else if (announcement.say === 'taken' && announcement.to === this.#self.incarnation && !this.#joined) {
      this.#events.taken(announcement.node);
    }
  }

  #heardOwnEcho({ say }: Announcement): void {
    if (say !== 'here') return;
    this.#echoMs = monotonicMs();
    this.#unanswered = 0;
  }

  /** A node that has joined keeps the id; of two that start, the smaller incarnation does. */
  #heardRival({ node }: Announcement): void {
    if (this.#joined || this.#self.incarnation < node.incarnation) this.#say('taken', node.incarnation);
    else this.#events.taken(node);
  }

  /** One of the two was paused, or cut off, while the other joined: the longer life without a pause keeps the id. */
  #yieldsTo({ node, forMs }: Announcement): boolean {
    if (!this.#joined) return false; // a living one says `taken`; this may be the last word of a dead one
    if (this.#retired.has(startOf(node))) return false;
    const longer = forMs - (monotonicMs() - this.#sinceMs);
    return Math.abs(longer) > EQUALLY_LONG_MS ? longer > 0 : node.incarnation < this.#self.incarnation;
  }

  /** One answer for all nodes that start now: 100 nodes that each answered each other would send 10,000 messages to 100. */
  #answerSoon(): void {
    if (!this.#joined || this.#answering !== undefined) return;
    this.#answering = setTimeout(
      () => {
        this.#answering = undefined;
        if (this.#joined) this.#say('here');
      },
      (Math.random() * this.#heartbeatMs) / 4,
    );
    this.#answering.unref();
  }

  #say(say: Word, to = '', hasDied = false): void {
    const now = monotonicMs();
    if (now - this.#echoMs > this.#ttlMs) this.#sinceMs = now; // a pause: the others have seen this node go
    const forMs = Math.round(now - this.#sinceMs);
    const announcement: Announcement = { say, node: this.#self, forMs, to, ...(hasDied && { hasDied }) };
    this.#events.send(Buffer.from(JSON.stringify(announcement)));
  }
}

function startOf(node: NodeInfo): string {
  return `${node.id} ${node.incarnation}`;
}

/** Any client of the engine can publish here: other messages are ignored. */
function decode(bytes: Buffer): Announcement | undefined {
  try {
    const { say, node, forMs, to, hasDied } = JSON.parse(bytes.toString()) as Record<string, unknown>;
    const info = readNode(node);
    if (info === undefined || typeof forMs !== 'number' || typeof to !== 'string') return undefined;
    return { say: say as Word, node: info, forMs, to, hasDied: hasDied === true };
  } catch {
    return undefined;
  }
}
