/**
 * What a cluster driver promises. One node is one server; the driver holds its only connection to the engine (Redis, NATS)
 * and runs in one process of the node, without knowledge of servers and workers.
 */

import type { ServerError } from '../errors/index.js';

/** 1 to 128 of `A-Za-z0-9._-`; chosen by the user, or host name and pid. */
export type NodeId = string;

/** One living server of the cluster. */
export interface NodeInfo {
  /** Its name in the cluster, as the option `nodeId` has it. */
  readonly id: NodeId;
  /** New at each start of the server, 1 to 64 of `A-Za-z0-9._-`: a message for an earlier start never reaches a later one. */
  readonly incarnation: string;
  /** Where operators find it, such as `10.0.0.7:9501`; at most 256 characters. */
  readonly address: string;
  /** Of the user's program or of tswoole; at most 64 characters. */
  readonly version: string;
}

/**
 * - `up`: connected, all subscriptions confirmed, an echo has come back.
 * - `reconnecting`: the engine is lost; publications are refused, requests fail at once.
 * - `down`: not started, stopped, or its node id belongs to another server.
 */
export type DriverState = 'up' | 'reconnecting' | 'down';

/**
 * `left`: it said goodbye. `lost`: no heartbeat for the ttl, another start of the same id took its place, or what was left of it
 * said that it has died.
 */
export type NodeEnd = 'left' | 'lost';

/** One local subscriber of a subject. */
export interface Subscription {
  readonly subject: string;
  /** Resolves when the engine has confirmed the subscription; never rejects. While the engine is lost it stays pending. */
  readonly ready: Promise<void>;
  /** The function is not called any more. The last subscription of a subject ends it at the engine too. */
  close(): void;
}

/** One member of a key, such as a connection in a room. */
export interface Member {
  /** As given to `put`. */
  readonly member: string;
  /** The id of the node that has put it. */
  readonly node: NodeId;
  /** As given to `put`: any value JSON can hold. */
  readonly meta: unknown;
  /** Its node did not answer now, or the engine is lost: this is the last that was known. */
  readonly stale: boolean;
}

export interface ConfigEntry {
  readonly value: Uint8Array;
  /** Grows with each `put` of the key. 0 stands for "there is none". */
  readonly version: number;
}

/** Counters since the driver was made; they never fall. */
export interface DriverStats {
  /** Publications that the engine took. */
  readonly published: number;
  /** Calls of local subscribers. */
  readonly delivered: number;
  /** Publications that were refused (bound, payload, engine lost) or whose arrival at the engine is unknown. */
  readonly lost: number;
  /** Connections that replaced a lost one. */
  readonly reconnects: number;
  /** Bytes that the engine has not confirmed yet. */
  readonly bufferedBytes: number;
}

export interface Capabilities {
  /** Publications survive a restart of the engine: no driver says so today. */
  readonly durable: boolean;
  readonly presence: boolean;
  /** `config` works; with NATS it needs JetStream, and is known after `start`. */
  readonly config: boolean;
  /** Bytes of one publication, request or answer. May differ after `start`: the engine has a word in it. */
  readonly maxPayload: number;
}

/** What a driver tells its owner. No function may throw; all but `request` must return at once. */
export interface ClusterEvents {
  nodeUp(node: NodeInfo): void;
  /** @param hasEnded it has said so: it does not serve any more */
  nodeDown(id: NodeId, why: NodeEnd, hasEnded: boolean): void;
  /** Once for each change. */
  state(state: DriverState): void;
  /**
   * Publications of this subject may have been missed: called for each subject subscribed to, when the driver is `up` again, and
   * once when the process that speaks for another node was replaced (its `start` with the same incarnation). And of a subject
   * in which another node has lost publications on their way to the engine: at the next heartbeat after it says so.
   * @param isOwn true: it is this node that has lost them, while it was `up`, at the next heartbeat
   */
  gap(subject: string, isOwn?: boolean): void;
  /** There are as many nodes as a cluster may have: this one is left out. Told again when one has gone and too many came. */
  full(node: NodeInfo, most: number): void;
  /** The engine does not let this node send to one of its subjects: told for each message. What is lost is counted, and a gap. */
  refused(error: ServerError<'ERR_CLUSTER_REFUSED'>): void;
  /** Answers a request of a node, this one included. A rejection travels back as the error of the asking `request`. */
  request(data: Uint8Array, from: NodeId): Promise<Uint8Array>;
}

/** What all nodes have of a key, or of a room. */
export type ListOf<M> = M[] & {
  /** Nodes that did not answer and of which nothing is known, or no member any more: what they have is missing. Not there: none. */
  silent?: readonly NodeId[];
};

export type MemberList = ListOf<Member>;

export function withSilent<M>(list: M[], silent: readonly NodeId[] = []): ListOf<M> {
  return silent.length === 0 ? list : Object.assign(list, { silent });
}

/** How long `Presence.list` and `count` take at most, in milliseconds: whoever waits for them waits a little longer. */
export function longestListMs({
  heartbeatMs,
  ttlMs,
}: {
  readonly heartbeatMs: number;
  readonly ttlMs: number;
}): number {
  return 2 * heartbeatMs + ttlMs;
}

export interface Presence {
  /**
   * Adds or replaces a member of this node. It stays until `drop`, `stop`, or the end of the node.
   * @param meta JSON @param ttlMs how long others list it after its node has fallen silent, while it counts as living
   */
  put(key: string, member: string, meta: unknown, ttlMs: number): void;
  drop(key: string, member: string): void;
  /**
   * Members on all nodes in `nodes()`. A node that says nothing for a heartbeat: the members that it last said, for their ttl and
   * marked stale; where it has said none here, or that they are over, it is one of the `silent`. A list of many pages takes
   * `longestListMs` at most. Equal lists at the same time share an answer: one that comes later waits up to a heartbeat for its turn.
   */
  list(key: string): Promise<MemberList>;
  /** How many `list` would give, for a few bytes per node; of a silent node those that the last `list` gave, or none. */
  count(key: string): Promise<number>;
}

export interface Config {
  /** @throws ServerError ERR_CLUSTER_DOWN, ERR_CLUSTER_UNSUPPORTED */
  get(key: string): Promise<ConfigEntry | undefined>;
  /**
   * @param ifVersion writes only over this version (0: only a new key), else the rejection is ERR_CLUSTER_CONFLICT
   * @returns the new version
   */
  put(key: string, value: Uint8Array, ifVersion?: number): Promise<number>;
  /** Calls `fn` with the value there is (if any) and with each later one; values in between may be left out. @throws as `get` */
  watch(key: string, fn: (entry: ConfigEntry) => void): Subscription;
}

/** Subjects and keys are any well-formed text of 1 to 128 bytes of UTF-8; else ServerError ERR_CLUSTER_SUBJECT. */
export interface ClusterDriver {
  readonly capabilities: Capabilities;
  readonly state: DriverState;
  /** Why it is `down` without a `stop`: ERR_CLUSTER_NODE_ID. Of `reconnecting`: why the last attempt has failed. */
  readonly failure: Error | undefined;
  /**
   * To be called once per driver: after a failure make a new one.
   * Connects, looks for the other nodes (half a heartbeat long) and announces this one.
   * @throws ServerError ERR_CLUSTER_CONNECT, ERR_CLUSTER_ENGINE, ERR_CLUSTER_PACKAGE, ERR_CLUSTER_REFUSED (it may not announce
   * itself), ERR_CLUSTER_NODE_ID (a living server has this id), ERR_CLUSTER_DOWN (stopped meanwhile)
   */
  start(self: NodeInfo, on: ClusterEvents): Promise<void>;
  /**
   * Says goodbye and closes everything within 2 s; an attempt to connect ends within `connectTimeoutMs`.
   * @param drain waits for the answers this node still owes first, at most `ttlMs`
   * @param hasDied the goodbye says that the server of this node was killed: it is `lost` for the others
   */
  stop(drain: boolean, hasDied?: boolean): Promise<void>;
  /**
   * At most once, in order per sender and subject, to all nodes that subscribe, this one included.
   * @returns false: refused and counted as lost (over `maxBufferedBytes` or `maxPayload`, or not `up`)
   */
  publish(subject: string, data: Uint8Array): boolean;
  /**
   * Publications of these subjects did not come to this driver, and were counted: the others are told of the gap, and with
   * `isToldHere` the subscribers of this node too.
   */
  missed(subjects: Iterable<string>, isToldHere?: boolean): void;
  /** Subjects of which the others are still to be told of a gap; the empty one stands for all. For the driver that follows this one. */
  untold(): string[];
  /** A node gets one copy per subject, however many subscribe here. `data` is the subscriber's to keep, not to change. */
  subscribe(subject: string, fn: (data: Uint8Array, from: NodeId) => void): Subscription;
  /**
   * Asks one node. It may have run there even when this rejects.
   * @throws ServerError ERR_CLUSTER_DOWN (engine lost, also while waiting), ERR_NODE_LOST (not in `nodes()`, or gone while
   * waiting), ERR_NODE_RESTARTED (another process speaks for it since), ERR_CLUSTER_REFUSED (the engine does not let this node ask), ERR_CLUSTER_TIMEOUT, ERR_CLUSTER_PAYLOAD, ERR_CLUSTER_FULL, or the error of the handler
   */
  request(node: NodeId, data: Uint8Array, options: { readonly timeoutMs: number }): Promise<Uint8Array>;
  /** This node first; while the engine is lost, the last known. */
  nodes(): readonly NodeInfo[];
  stats(): DriverStats;
  readonly presence: Presence;
  readonly config: Config;
}
