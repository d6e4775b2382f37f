/**
 * Several machines, as the user's code sees them: `server.cluster`. Runs in every process; what it says goes to the broker
 * process of this node.
 */
import { describe, ServerError, serializeError, told } from '../errors/index.js';
import { checkRoomName } from '../memory/room-name.js';
import { integer, refuse, refuseNoObject } from '../options/check.js';
import { refuseUnknownNames } from '../options/known-names.js';
import type { SharedBetweenNodes } from '../shared/between-nodes.js';
import { clonedBytes } from '../shared/cloned.js';
import { monotonicMs } from '../util/clock.js';
import { deferred } from '../util/deferred.js';
import { within } from '../util/within.js';
import { addressText, readAddress } from './address.js';
import type { ClusterParts } from './cluster-parts.js';
import type { DriverState, ListOf, MemberList, NodeInfo } from './driver.js';
import { Lists } from './lists.js';
import type { ClusterEvent, ConnectionCall, FromBroker, Question, ToBroker } from './messages.js';
import { checkName, checkNodeId, metaText } from './names.js';
import { OwnPresence } from './own-presence.js';
import { Questions } from './questions.js';
import { SubjectKind, subjectOf } from './subjects.js';
import { ToldNodes } from './told-nodes.js';
import { ToldState } from './told-state.js';
import { isFull, WayToBroker } from './way-to-broker.js';

/** One subscription of `cluster.subscribe`. */
export interface ClusterSubscription {
  /** As it was given to `subscribe`. */
  readonly subject: string;
  /** The callback is not called any more. */
  close(): void;
}

/** Members of one room on one node. */
export interface RoomMembers {
  /** Its id. */
  readonly node: string;
  /** Connections of that node which are members. */
  readonly members: number;
  /** It does not answer now, or the engine is lost: this is the last that was known. */
  readonly stale?: true;
}

type Subscriber = (data: unknown, from: string) => void;

const MOST_QUESTIONS = 10_000;
/** Questions that wait because this process does not serve yet. */
const MOST_EARLY = 10_000;
/** The broker forgets a room after five times as long. */
const SAY_JOINED_AGAIN_MS = 1000;
const MOST_ROOMS_SAID = 10_000;

/**
 * @example
 * server.cluster.subscribe('prices', (price, from) => log(from, price));
 * server.cluster.publish('prices', { EUR: 1.09 });
 * const answer = await server.cluster.request('node-b', { ask: 'time' });   // its `clusterRequest`
 */
export class Cluster {
  readonly #parts: ClusterParts;
  readonly #questions = new Questions(MOST_QUESTIONS);
  readonly #lists: Lists;
  readonly #way: WayToBroker;
  readonly #subscribers = new Map<string, Set<Subscriber>>();
  /** One process of each node takes what other nodes say of shared objects: the broker process. */
  readonly #shared: { readonly subject: string; readonly take: Subscriber }[] = [];
  /** When the broker has last heard of a join of that room. */
  readonly #joined = new Map<string, number>();
  readonly #present = new OwnPresence();
  readonly #told = new ToldNodes();
  readonly #state: ToldState;
  #nodes: readonly NodeInfo[] = [];
  #maxPayload = Number.POSITIVE_INFINITY;
  /** A broker process has said how things stand. */
  #isTold = false;
  #telling: NodeJS.Timeout | undefined;
  #isHeard = false;
  readonly #heard = deferred<true>();
  #early = 0;

  /** @internal */
  constructor(parts: ClusterParts) {
    this.#parts = parts;
    this.#way = new WayToBroker((message) => parts.say(message));
    this.#state = new ToldState({
      isSilent: () => this.#isTold && parts.isSilent(),
      tell: (state) => this.#happened({ event: 'clusterState', args: [state] }),
    });
    const ask = (question: Question, timeoutMs: number) => this.#ask(question, this.self.id, timeoutMs);
    this.#lists = new Lists({ ...{ heartbeatMs: parts.heartbeatMs, ttlMs: parts.ttlMs }, most: MOST_QUESTIONS, ask });
  }

  /** This node. `incarnation` is another one at each start of its server. */
  get self(): NodeInfo {
    return this.#parts.self();
  }

  /** `'up'`: messages reach other nodes. */
  get state(): DriverState {
    return this.#isTold ? this.#state.state : this.#parts.known().state;
  }

  /** This node first. While the engine is lost: as last known. In the manager: this node alone. */
  get nodes(): readonly NodeInfo[] {
    const nodes = this.#isTold ? this.#nodes : this.#parts.known().nodes;
    return nodes.length > 0 ? nodes : [this.self];
  }

  /**
   * To every process of every node that has subscribed, this one included: at most once, in order of each sender.
   * @param data what the structured clone takes @throws ServerError ERR_CLUSTER_SUBJECT, ERR_DATA_NOT_CLONEABLE,
   * ERR_MESSAGE_QUEUE_FULL (it is lost, and a gap for those that subscribe), ERR_CLUSTER_PAYLOAD (more bytes than the engine takes: nobody gets it)
   */
  publish(subject: string, data: unknown): void {
    checkName('subject', subject);
    this.#publish(subjectOf(SubjectKind.own, subject), data);
  }

  /**
   * Call it at the top of the script, or in `workerStart`: each process subscribes for itself.
   * @throws ServerError ERR_CLUSTER_SUBJECT, ERR_CALLBACK_TYPE, ERR_MESSAGE_QUEUE_FULL (try again), ERR_CLUSTER_DEAF (in the
   * master and the manager, once they run: behind `await server.start()`, say)
   */
  subscribe(subject: string, callback: Subscriber): ClusterSubscription {
    checkName('subject', subject);
    if (typeof callback !== 'function') {
      const [method, received] = ['cluster.subscribe()', describe(callback)];
      throw told(new ServerError('ERR_CALLBACK_TYPE', { event: subject, method, received }));
    }
    if (this.#isRunning() && !this.#parts.mayAsk()) throw new ServerError('ERR_CLUSTER_DEAF', { subject });
    const name = subjectOf(SubjectKind.own, subject);
    const known = this.#subscribers.get(name);
    // What cannot be said is not begun, so that the next try says it.
    if (known === undefined && this.#isHeard) this.#way.say({ say: 'subscribe', subject: name });
    const subscribers = known ?? new Set<Subscriber>();
    subscribers.add(callback);
    this.#subscribers.set(name, subscribers);
    return { subject, close: () => this.#unsubscribe(name, callback) };
  }

  /**
   * Asks another node, or this one: a worker of it runs the `clusterRequest` callback. It may have run even when this rejects.
   * @param node an id of `nodes`; where it is none of them, nothing runs
   * @throws ServerError ERR_CLUSTER_DOWN, ERR_NODE_LOST, ERR_NODE_RESTARTED, ERR_CLUSTER_TIMEOUT, ERR_CLUSTER_FULL,
   * ERR_OPTION_*, the error of the callback
   */
  async request<T = unknown>(node: string, data: unknown, options: { readonly timeoutMs?: number } = {}): Promise<T> {
    checkNodeId('node', node);
    refuseNoObject(options);
    refuseUnknownNames('options', options, ['timeoutMs']);
    const { timeoutMs: given = this.#parts.requestTimeoutMs } = options;
    const timeoutMs = milliseconds.check('timeoutMs', given);
    return (await this.#ask({ ask: 'request', node, data, timeoutMs }, node, timeoutMs)) as T;
  }

  /**
   * How many members a room has, node by node, as each has counted within the last second. A node that says nothing for
   * `heartbeatMs` is not waited for: its last known count is marked `stale`, or, where none is known here, the list has a
   * property `silent` with its id. What is in the list is frozen.
   * @throws ServerError ERR_ROOM_NAME, ERR_CLUSTER_FULL, as `request`
   */
  async members(room: string): Promise<ListOf<RoomMembers>> {
    checkRoomName(room);
    return (await this.#lists.ask({ ask: 'members', room })) as ListOf<RoomMembers>;
  }

  /**
   * Other nodes hear of a shared object, too. What is published to a `Topic` reaches the subscribers of all nodes. Of a
   * `SharedCache` they forget a key when it is set or deleted here; what `wrap` computes stays each node's own. Call it at the
   * top of the script, which declares the same objects on every node.
   * @throws ServerError ERR_OPTION_TYPE
   */
  share(object: Shareable): void {
    if (typeof object?.shareBetweenNodes !== 'function') {
      refuse('ERR_OPTION_TYPE', 'object', 'a Topic or a SharedCache', object);
    }
    let subject = '';
    const shared = object.shareBetweenNodes((data) => {
      if (this.#isRunning()) this.#publish(subject, data);
    });
    subject = subjectOf(SubjectKind[shared.kind], shared.name);
    const take: Subscriber = (bytes, from) => {
      if (from !== this.self.id) shared.take(bytes as Uint8Array);
    };
    this.#shared.push({ subject, take });
    if (this.#isHeard) this.#takeShared();
  }

  /** Who is there, under keys of your own, such as users by room: members of all living nodes. */
  readonly presence = {
    /**
     * Adds or replaces a member of this node; it goes with its node. @param given what JSON can express, of at most 16 KiB
     * @throws ServerError ERR_CLUSTER_FULL, ERR_CLUSTER_PAYLOAD, ERR_CLUSTER_SUBJECT, ERR_DATA_NOT_CLONEABLE, ERR_OPTION_VALUE
     */
    put: (key: string, member: string, given: unknown = null): void => {
      checkName('key', key);
      checkName('member', member);
      const meta: unknown = JSON.parse(metaText(given));
      this.#present.checkRoom(key, member);
      const present = { key, member, meta, ttlMs: this.#parts.ttlMs };
      this.#way.say({ say: 'present', ...present });
      this.#present.put(present);
    },
    drop: (key: string, member: string): void => {
      checkName('key', key);
      checkName('member', member);
      this.#way.say({ say: 'absent', key, member });
      this.#present.drop(key, member);
    },
    /** Of a node that says nothing for `heartbeatMs`: as `members`. @throws ServerError ERR_CLUSTER_SUBJECT, as `members` */
    list: async (key: string): Promise<MemberList> => {
      checkName('key', key);
      return (await this.#lists.ask({ ask: 'presence', key })) as MemberList;
    },
  };

  /** The address of a connection of this node, for `server.send` and `server.close` on any node. @throws ServerError ERR_OPTION_TYPE */
  addressOf(fd: number): string {
    if (!Number.isSafeInteger(fd) || fd < 1) refuse('ERR_OPTION_TYPE', 'fd', 'a session id', fd);
    const { id: node, incarnation } = this.self;
    return addressText({ node, incarnation, fd });
  }

  /**
   * @internal A call on a connection by its address. @param here for one of this node
   * @throws ServerError ERR_CLUSTER_ADDRESS; rejects with ERR_SESSION_NOT_FOUND, or as `request`
   */
  async call(
    address: string,
    call: Omit<ConnectionCall, 'incarnation' | 'fd'>,
    here: (fd: number) => unknown,
  ): Promise<unknown> {
    const { node, incarnation, fd } = readAddress(address);
    const { self } = this;
    if (node === self.id && incarnation === self.incarnation) return here(fd);
    if (node === self.id) throw told(new ServerError('ERR_SESSION_NOT_FOUND', { fd }));
    return await this.#ask({ ask: 'connection', node, call: { ...call, incarnation, fd } }, node);
  }

  /** @internal A connection of this node joins a room. */
  joined(room: string): void {
    const now = monotonicMs();
    if (now - (this.#joined.get(room) ?? Number.NEGATIVE_INFINITY) < SAY_JOINED_AGAIN_MS) return;
    if (this.#joined.size >= MOST_ROOMS_SAID) this.#joined.clear();
    this.#joined.set(room, now);
    try {
      this.#way.say({ say: 'joined', room });
    } catch {
      this.#joined.delete(room); // it has joined here; the broker process finds the room by itself, some seconds later
    }
  }

  /** @internal Before its members here get it. @throws ServerError ERR_CLUSTER_PAYLOAD */
  checkRoomMessage(data: string | Uint8Array): void {
    // Other types are refused by the room itself.
    const bytes = typeof data === 'string' ? Buffer.byteLength(data) : (data?.length ?? 0);
    this.#checkLength(bytes);
  }

  /** @internal To members of a room on other nodes. */
  toRoom(room: string, data: string | Uint8Array): void {
    this.#way.say({ say: 'room', room, data });
  }

  /** @internal It was said, and could not be stored on its way to the broker process. */
  notTaken(message: ToBroker): void {
    this.#way.notTaken(message);
  }

  /** @internal This process reads its messages from now on, or the broker process is a new one. */
  hear(): void {
    this.#isHeard = true;
    this.#heard.resolve(true);
    if (!this.#parts.isBroker()) this.#state.look();
    this.#joined.clear();
    this.#takeShared();
    const { hasAll } = this.#present;
    this.#way.say({ say: 'hello', subjects: this.#ownSubjects(), pid: process.pid, hasAll });
  }

  /** @internal @param isPassedOn the successor of this process has got it first */
  onMessage(message: FromBroker, isPassedOn = false): void {
    switch (message.say) {
      case 'now':
        this.#state.said(message.state);
        this.#nodes = message.nodes;
        this.#maxPayload = message.maxPayload;
        this.#isTold = true;
        if (message.answers === process.pid) this.#present.isComplete();
        for (const id of this.#told.all(message.nodes, message.state === 'up'))
          this.#happened({ event: 'nodeDown', args: [id, 'lost'] });
        return;
      case 'event':
        if (this.#isTold) this.#noteNode(message);
        if (message.event === 'clusterState') this.#state.changed(message.args[0]);
        else if (this.#told.isNews(message)) this.#happened(message);
        return;
      case 'published':
        return this.#published(message.subject, message.data, message.from);
      case 'asked':
        return void this.#answer(message.id, message.data, message.from);
      case 'keep':
        return this.#present.keep(message.members);
      case 'forget':
        return this.#present.forget(message.key, message.member);
      case 'restarted':
        return this.#restarted();
      default:
        if (!this.#questions.answered(message) && !isPassedOn) this.#parts.passOn(message);
        return;
    }
  }

  /** The broker process runs none of the user's callbacks. */
  #happened({ event, args }: ClusterEvent): void {
    if (this.#parts.isBroker()) return;
    this.#callBack(event, () => (this.#parts.callbacks[event] as Callback)?.(...args));
  }

  /** All of them come with `now`. */
  #noteNode(event: ClusterEvent): void {
    if (event.event !== 'nodeUp' && event.event !== 'nodeDown') return;
    const [node] = event.args;
    const others = this.#nodes.filter(({ id }) => id !== (typeof node === 'string' ? node : node.id));
    this.#nodes = typeof node === 'string' ? others : [...others, node];
  }

  /** Packed here, so that the caller hears what is wrong with it. @throws ServerError ERR_DATA_NOT_CLONEABLE, ERR_CLUSTER_PAYLOAD */
  #publish(subject: string, value: unknown): void {
    const data = clonedBytes(value);
    this.#checkLength(data.length);
    this.#way.say({ say: 'publish', subject, data });
  }

  #checkLength(bytes: number): void {
    const most = this.#isTold ? this.#maxPayload : this.#parts.maxPayload();
    if (bytes > most) throw told(new ServerError('ERR_CLUSTER_PAYLOAD', { bytes, most }));
  }

  /** Unless it is the first one: it does not know what the one before was asked. */
  #restarted(): void {
    if (this.#isTold) {
      this.#told.restarted();
      this.#state.restarted();
      this.#questions.failAll(
        new ServerError('ERR_CLUSTER_DOWN', {
          engine: 'the other nodes',
          state: 'lost: the broker process of this node was replaced',
        }),
      );
    }
    this.#tellAgain();
  }

  /** What a new broker process has to know. While messages for the one before fill the way to it, it hears a little later. */
  #tellAgain(): void {
    clearTimeout(this.#telling);
    try {
      if (this.#isHeard) this.hear();
      for (const message of this.#present.again()) this.#way.say(message);
      this.#parts.tellsAgain?.();
    } catch (error) {
      if (!isFull(error)) throw error;
      this.#telling = setTimeout(() => this.#tellAgain(), TELL_AGAIN_MS).unref();
    }
  }

  /** The broker process runs nothing of the user's, which may compute for long: it takes only what shared objects are told. */
  #ownSubjects(): string[] {
    return this.#parts.isBroker() ? this.#shared.map(({ subject }) => subject) : [...this.#subscribers.keys()];
  }

  /** What a script publishes while it is loaded goes to nobody else. */
  #isRunning(): boolean {
    return this.self.incarnation !== NOT_YET;
  }

  #takeShared(): void {
    if (!this.#parts.isBroker()) return;
    for (const { subject, take } of this.#shared) this.#subscribers.set(subject, new Set([take]));
  }

  #published(name: string, data: unknown, from: string): void {
    const subscribers = this.#subscribers.get(name);
    if (subscribers?.size === 0) this.#unsubscribe(name);
    for (const subscriber of subscribers ?? []) {
      this.#callBack('cluster.subscribe', () => subscriber(data, from));
    }
  }

  /** Where there is no room to say so, the next publication tries it again. */
  #unsubscribe(name: string, callback?: Subscriber): void {
    const subscribers = this.#subscribers.get(name);
    if (callback !== undefined) subscribers?.delete(callback);
    if (subscribers === undefined || subscribers.size > 0) return;
    try {
      if (this.#isHeard) this.#way.say({ say: 'unsubscribe', subject: name });
      this.#subscribers.delete(name);
    } catch (error) {
      if (!isFull(error)) throw error;
    }
  }

  /** @internal A question to the broker process for another part of the server. */
  askBroker(question: Question, timeoutMs: number): Promise<unknown> {
    return this.#ask(question, this.self.id, timeoutMs);
  }

  /** Of the broker process: it waits a little longer than the other node may take. */
  async #ask(question: Question, node = this.self.id, timeoutMs = this.#parts.requestTimeoutMs): Promise<unknown> {
    try {
      if (!this.#isHeard) await this.#untilHeard(timeoutMs);
      const ask = (id: number): void => this.#way.say({ say: 'ask', id, question });
      const late = (): ServerError => this.#late(node, timeoutMs + GRACE_MS);
      return await this.#questions.ask(late, timeoutMs + GRACE_MS, ask);
    } catch (error) {
      // It was made in another process: only here are the frames of the caller. One that has frames of a user's keeps them.
      throw told(error);
    }
  }

  #late(node: string, timeoutMs: number): ServerError {
    const [id, who] = this.#parts.isSilent() ? [this.self.id, 'the broker process'] : [node, undefined];
    return new ServerError('ERR_CLUSTER_TIMEOUT', { node: id, timeoutMs, who });
  }

  /** `workerStart` runs before a process serves. */
  async #untilHeard(timeoutMs: number): Promise<void> {
    const tooEarly = (): ServerError => new ServerError('ERR_CLUSTER_TOO_EARLY', { state: this.state });
    if (!this.#parts.mayAsk()) throw tooEarly();
    if (this.#early >= MOST_EARLY) {
      throw new ServerError('ERR_CLUSTER_FULL', { what: 'questions before this process serves', most: MOST_EARLY });
    }
    this.#early++;
    const isHeard = await within(this.#heard.promise, timeoutMs);
    this.#early--;
    if (isHeard === undefined) throw tooEarly();
  }

  async #answer(id: number, data: unknown, from: string): Promise<void> {
    const { callbacks } = this.#parts;
    try {
      if (callbacks.clusterRequest === undefined)
        throw new ServerError('ERR_CLUSTER_NO_HANDLER', { node: this.self.id });
      this.#way.say({ say: 'answer', id, value: await callbacks.clusterRequest(data, from) });
    } catch (error) {
      this.#sayFailed(id, error);
    }
  }

  /** Whoever asks has a time-out, should there be no room for the answer. */
  #sayFailed(id: number, error: unknown): void {
    try {
      this.#way.say({ say: 'failed', id, error: serializeError(error) });
    } catch (refused) {
      if (!isFull(refused)) throw refused;
    }
  }

  #callBack(what: string, call: () => unknown): void {
    try {
      const result = call();
      if (result instanceof Promise) result.catch((error: unknown) => this.#parts.failed(what, error));
    } catch (error) {
      this.#parts.failed(what, error);
    }
  }
}

/** A `Topic` or a `SharedCache`. */
export interface Shareable {
  /** @internal */
  shareBetweenNodes(send: (bytes: Uint8Array) => void): SharedBetweenNodes;
}

/** The incarnation of a server that has not started. */
export const NOT_YET = '-';

type Callback = ((...args: readonly unknown[]) => unknown) | undefined;

const milliseconds = integer({ min: 1, max: 86_400_000 }, 'ms');
const TELL_AGAIN_MS = 100;

const GRACE_MS = 500;
