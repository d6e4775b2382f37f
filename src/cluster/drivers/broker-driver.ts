import { ServerError } from '../../errors/index.js';
import { refuse } from '../../options/check.js';
import type { ResolvedDriverOptions } from '../../options/cluster.js';
import { type Deferred, deferred } from '../../util/deferred.js';
import { within } from '../../util/within.js';
import type * as cluster from '../driver.js';
import { checkName, checkNode } from '../names.js';
import { ConfigStore } from './config-store.js';
import { Connection } from './connection.js';
import {
  type Channel,
  type Engine,
  EVERY_SUBJECT,
  isOfSubject,
  type Link,
  NODES,
  type Refusal,
  subjectOfChannel,
} from './engine.js';
import { Asked, ENVELOPE_BYTES, encodePublication, publicationHead } from './envelope.js';
import { Gaps } from './gaps.js';
import { Members } from './members.js';
import { Membership, MOST_OTHERS } from './membership.js';
import { inboxOf, Requests } from './requests.js';
import { callSafely, Subjects, type Subscriber } from './subjects.js';

const GOODBYE_MS = 1000;
/** A day. */
const LONGEST_WAIT_MS = 86_400_000;

const MOST_LISTED = 10;

/** What exists between `start` and the end. */
interface Running {
  readonly on: cluster.ClusterEvents;
  readonly head: Buffer;
  readonly membership: Membership;
  readonly requests: Requests;
}

/**
 * A cluster driver over any engine. Runs in the process that holds the node's connection, or in a test alone.
 *
 * `Connection` keeps a link and proves it, `Membership` knows the living nodes, `Requests` asks single nodes, `Subjects` has the
 * local subscribers, `Members` and `ConfigStore` are presence and config; this class leads messages between them.
 */
export class BrokerDriver implements cluster.ClusterDriver {
  readonly presence: Members;
  readonly config: ConfigStore;
  readonly #engine: Engine;
  readonly #options: ResolvedDriverOptions;
  readonly #connection: Connection;
  readonly #subjects = new Subjects();
  readonly #gaps: Gaps;
  readonly #startFailed: Deferred<never> = deferred();
  #self: cluster.NodeInfo = { id: '', incarnation: '', address: '', version: '' };
  #running: Running | undefined;
  #state: cluster.DriverState = 'down';
  #failure: Error | undefined;
  #attemptError: Error | undefined;
  #capabilities: cluster.Capabilities;
  #heartbeat: NodeJS.Timeout | undefined;
  #ticks = 0;
  #published = 0;
  #lost = 0;
  #reconnects = 0;
  #ending: Promise<void> | undefined;

  constructor(engine: Engine, options: ResolvedDriverOptions) {
    this.#engine = engine;
    this.#options = options;
    this.#startFailed.promise.catch(() => {});
    this.#capabilities = this.#capabilitiesOf(engine.usual.maxPayload, engine.usual.config);
    this.#connection = new Connection(engine, options.connectTimeoutMs, {
      message: (channel, data) => this.#route(channel, data),
      dropped: (count, channels) => {
        this.#lost += count;
        for (const channel of channels) this.#gaps.lost(subjectOfChannel(channel));
      },
      refused: (refusal) => this.#refused(refusal),
      prepare: (link) => this.#prepare(link),
      detach: () => this.#detach(),
      lost: () => this.#engineLost(),
      attemptFailed: (error) => (this.#attemptError = error),
      restored: () => this.#engineRestored(),
    });
    this.#gaps = new Gaps({
      self: () => this.#self.id,
      send: (channel, bytes) => this.#offer(channel, bytes),
      tell: (subject, isOwn) => {
        if (this.#subjects.has(subject)) callSafely(() => this.#running?.on.gap(subject, isOwn));
      },
      tellAll: (isOwn) => this.#tellAllGaps(isOwn),
    });
    this.presence = new Members(() => this.#self.id, {
      others: () => this.#running?.membership.others ?? [],
      isUp: () => this.#state === 'up',
      heartbeatMs: options.heartbeatMs,
      ttlMs: options.ttlMs,
      ask: (node, question, timeoutMs) => this.#ask(node, Asked.members, question, timeoutMs),
    });
    this.config = new ConfigStore({
      link: () => this.#upLink(),
      refuseMissing: () => this.#refuseMissingConfig(),
      inTime: (work) => this.#inTime(work),
      changed: (channel) => void this.#offer(channel, Buffer.from('.')),
    });
  }

  get capabilities(): cluster.Capabilities {
    return this.#capabilities;
  }

  get state(): cluster.DriverState {
    return this.#state;
  }

  get failure(): Error | undefined {
    return this.#failure ?? (this.#state === 'reconnecting' ? this.#attemptError : undefined);
  }

  async start(self: cluster.NodeInfo, on: cluster.ClusterEvents): Promise<void> {
    checkNode(self);
    if (this.#running !== undefined) throw new ServerError('ERR_ALREADY_STARTED', {});
    this.#self = { ...self };
    this.#running = this.#assemble(on);
    try {
      await Promise.race([this.#join(this.#running), this.#startFailed.promise]);
    } catch (error) {
      await this.#end();
      throw error;
    }
  }

  stop(drain: boolean, hasDied = false): Promise<void> {
    this.#startFailed.reject(this.#downError('stopped'));
    return this.#end(drain, hasDied);
  }

  publish(subject: string, data: Uint8Array): boolean {
    checkName('subject', subject);
    const head = this.#running?.head;
    const fits = data.length <= this.#capabilities.maxPayload;
    const taken = fits && head !== undefined && this.#offer(`subject/${subject}`, encodePublication(head, data));
    if (taken) this.#published++;
    else this.#lost++;
    if (fits && !taken) this.#lostOne(subject);
    return taken;
  }

  /** While the engine is lost, those here are told when it is back. */
  #lostOne(subject: string): void {
    this.#gaps.lost(subject);
    if (this.#state === 'up') this.#gaps.lostHere(subject);
  }

  missed(subjects: Iterable<string>, isToldHere = false): void {
    for (const subject of subjects) {
      this.#gaps.lost(subject);
      if (isToldHere) this.#gaps.lostHere(subject);
    }
  }

  untold(): string[] {
    return this.#gaps.untold();
  }

  subscribe(subject: string, fn: Subscriber): cluster.Subscription {
    checkName('subject', subject);
    return this.#subjects.subscribe(subject, fn);
  }

  async request(node: cluster.NodeId, data: Uint8Array, { timeoutMs }: { timeoutMs: number }): Promise<Uint8Array> {
    const inRange = timeoutMs > 0 && timeoutMs <= LONGEST_WAIT_MS;
    if (!inRange) refuse('ERR_OPTION_RANGE', 'timeoutMs', `above 0, up to ${LONGEST_WAIT_MS} ms`, timeoutMs);
    this.#upLink();
    this.#checkPayload(data);
    const info = this.#running?.membership.find(node);
    if (info === undefined) throw new ServerError('ERR_NODE_LOST', { node, known: listed(this.nodes()) });
    return await this.#ask(info, Asked.user, data, timeoutMs);
  }

  nodes(): readonly cluster.NodeInfo[] {
    return this.#running?.membership.nodes ?? [];
  }

  stats(): cluster.DriverStats {
    return {
      published: this.#published,
      delivered: this.#subjects.delivered,
      lost: this.#lost,
      reconnects: this.#reconnects,
      bufferedBytes: this.#connection.link?.bufferedBytes ?? 0,
    };
  }

  #assemble(on: cluster.ClusterEvents): Running {
    const self = this.#self;
    const requests = new Requests(self, {
      send: (channel, bytes) => this.#send(channel, bytes),
      answer: (to, data, from) => this.#answer(to, data, on.request, from),
    });
    const membership = new Membership(self, this.#options, {
      send: (bytes) => this.#connection.link?.send(NODES, bytes),
      nodeUp: (node) => callSafely(() => on.nodeUp(node)),
      nodeDown: (id, why, hasEnded) => {
        requests.nodeGone(id);
        callSafely(() => on.nodeDown(id, why, hasEnded));
      },
      replaced: (id) => {
        requests.nodeRestarted(id);
        this.#gaps.tellEvery();
      },
      taken: (by) => this.#idTaken(by),
      silent: () => this.#connection.lose(),
      full: (node) => callSafely(() => on.full(node, MOST_OTHERS + 1)),
    });
    return { on, head: publicationHead(self.id), membership, requests };
  }

  async #answer(
    to: number,
    data: Buffer,
    handler: cluster.ClusterEvents['request'],
    from: cluster.NodeId,
  ): Promise<Uint8Array> {
    if (to === Asked.members) return this.presence.answer(data, this.#capabilities.maxPayload);
    const answer = await handler(data, from);
    if (answer instanceof Uint8Array) this.#checkPayload(answer);
    return answer;
  }

  async #join({ membership, requests }: Running): Promise<void> {
    const { heartbeatMs } = this.#options;
    await this.#connection.open();
    membership.ask();
    await within(this.#startFailed.promise, heartbeatMs / 2);
    // The answers that the engine has by now come before this echo, however busy this process is.
    await this.#echo(requests, this.#connection.link);
    const { link } = this.#connection;
    if (this.#ending !== undefined || link === undefined) throw this.#downError('stopped');
    // Before the others hear that this process is another one, which is a gap of all: they are told once.
    this.#gaps.sayLost((channel, bytes) => this.#offerTo(link, channel, bytes));
    membership.join();
    this.#heartbeat = setInterval(() => this.#tick(), heartbeatMs);
    this.#setState('up');
  }

  #tick(): void {
    if (this.#state !== 'up') return;
    this.#connection.link?.check?.();
    this.#running?.membership.tick();
    this.#gaps.tick();
    if (++this.#ticks % Math.ceil(this.#options.ttlMs / this.#options.heartbeatMs) === 0) this.config.readAll();
  }

  /** Subscribes to everything and proves the link by an echo to this node. */
  async #prepare(link: Link): Promise<void> {
    const { requests } = this.#running!;
    this.#capabilities = this.#capabilitiesOf(link.maxPayload, link.hasConfig);
    await Promise.all([
      link.subscribe([NODES, inboxOf(this.#self)]),
      this.#subjects.attach(link),
      this.config.attach(link),
    ]);
    await this.#echo(requests, link);
  }

  /** Rejects when the link ends, or does not bring the message back in time. */
  async #echo(requests: Requests, link: Link | undefined): Promise<void> {
    if (link === undefined) throw this.#downError('lost');
    await requests.echo((channel, bytes) => link.send(channel, bytes), this.#options.connectTimeoutMs);
  }

  #detach(): void {
    this.#subjects.detach();
    this.config.detach();
  }

  #engineLost(): void {
    this.#running?.requests.engineGone(() => this.#downError('lost'));
    if (this.#running?.membership.joined !== true) return this.#startFailed.reject(this.#downError('lost'));
    this.#setState('reconnecting');
  }

  #engineRestored(): void {
    this.#reconnects++;
    this.#attemptError = undefined;
    this.#running?.membership.resume();
    this.#setState('up');
    this.config.readAll();
    for (const subject of this.#subjects.takeGaps()) callSafely(() => this.#running?.on.gap(subject));
    this.#gaps.sayLost();
  }

  #route(channel: Channel, data: Buffer): void {
    const slash = channel.indexOf('/');
    const kind = channel.slice(0, slash);
    if (kind === 'subject') this.#heardSubject(channel.slice(slash + 1), data);
    else if (kind === 'nodes') this.#heardNode(data);
    else if (kind === 'node') this.#running?.requests.heard(data);
    else this.config.read(channel.slice(slash + 1));
  }

  #heardNode(data: Buffer): void {
    if (!this.#gaps.heard(EVERY_SUBJECT, data)) this.#running?.membership.heard(data);
  }

  #heardSubject(subject: string, data: Buffer): void {
    if (!this.#gaps.heard(subject, data)) this.#subjects.deliver(subject, data);
  }

  #tellAllGaps(isOwn = false): void {
    for (const subject of this.#subjects.names()) callSafely(() => this.#running?.on.gap(subject, isOwn));
  }

  /** The others hear of the gap as soon as this node may say so. */
  #refused({ channel, name: subject, isPublication, why }: Refusal): void {
    if (isPublication) this.#lost++;
    if (isOfSubject(channel)) this.#gaps.refused(subjectOfChannel(channel));
    if (isOfSubject(channel) && isPublication) this.#gaps.lostHere(subjectOfChannel(channel));
    const error = new ServerError('ERR_CLUSTER_REFUSED', { engine: this.#engine.name, subject, why });
    this.#running?.requests.refused(channel, error);
    callSafely(() => this.#running?.on.refused(error));
    if (channel === NODES) this.#startFailed.reject(error); // nobody would know of this node
  }

  #idTaken({ id, address }: cluster.NodeInfo): void {
    const error = new ServerError('ERR_CLUSTER_NODE_ID', { node: id, address });
    this.#startFailed.reject(error);
    if (this.#running?.membership.joined !== true) return;
    this.#failure = error;
    this.#running.membership.close();
    void this.#end();
  }

  #ask(node: cluster.NodeInfo, to: (typeof Asked)[keyof typeof Asked], data: Uint8Array, ms: number): Promise<Buffer> {
    if (this.#state !== 'up') return Promise.reject(this.#downError());
    try {
      return this.#running!.requests.ask(node, to, data, ms);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** @returns false: over the bound, or not up */
  #offer(channel: Channel, bytes: Buffer): boolean {
    const { link } = this.#connection;
    return link !== undefined && this.#state === 'up' && this.#offerTo(link, channel, bytes);
  }

  #offerTo(link: Link, channel: Channel, bytes: Buffer): boolean {
    if (link.bufferedBytes + bytes.length > this.#options.maxBufferedBytes) return false;
    link.send(channel, bytes);
    return true;
  }

  #send(channel: Channel, bytes: Buffer): void {
    if (this.#offer(channel, bytes)) return;
    this.#upLink();
    const what = 'bytes under way to the engine';
    throw new ServerError('ERR_CLUSTER_FULL', { what, most: this.#options.maxBufferedBytes });
  }

  #refuseMissingConfig(): void {
    if (this.#capabilities.config) return;
    const why = 'JetStream is not enabled (nats-server -js)';
    throw new ServerError('ERR_CLUSTER_UNSUPPORTED', { engine: this.#engine.name, what: 'config', why });
  }

  #checkPayload({ length: bytes }: Uint8Array): void {
    const most = this.#capabilities.maxPayload;
    if (bytes > most) throw new ServerError('ERR_CLUSTER_PAYLOAD', { bytes, most });
  }

  #capabilitiesOf(linkPayload: number, config: boolean): cluster.Capabilities {
    const most = Math.min(linkPayload, this.#options.maxBufferedBytes);
    return { durable: false, presence: true, config, maxPayload: most - ENVELOPE_BYTES };
  }

  #upLink(): Link {
    const { link } = this.#connection;
    if (link === undefined || this.#state !== 'up') throw this.#downError();
    return link;
  }

  async #inTime<T>(work: Promise<T>): Promise<T> {
    try {
      const done = await within(
        work.then((value) => ({ value })),
        this.#options.ttlMs,
      );
      if (done !== undefined) return done.value;
    } catch (cause) {
      if (cause instanceof ServerError) throw cause;
      const { name: engine } = this.#engine;
      throw new ServerError('ERR_CLUSTER_DOWN', { engine, state: (cause as Error).message }, { cause });
    }
    throw this.#downError('not answering');
  }

  #downError(state: string = this.#state): ServerError {
    return new ServerError('ERR_CLUSTER_DOWN', { engine: this.#engine.name, state });
  }

  #setState(state: cluster.DriverState): void {
    if (this.#state === state) return;
    this.#state = state;
    callSafely(() => this.#running?.on.state(state));
  }

  #end(drain = false, hasDied = false): Promise<void> {
    this.#ending ??= this.#endOnce(drain, hasDied);
    return this.#ending;
  }

  async #endOnce(drain: boolean, hasDied: boolean): Promise<void> {
    if (drain && this.#state === 'up') await within(this.#running!.requests.idle(), this.#options.ttlMs);
    clearInterval(this.#heartbeat);
    this.#running?.membership.leave(hasDied);
    if (this.#state === 'up')
      await within(this.#connection.link?.flush().catch(() => {}) ?? Promise.resolve(), GOODBYE_MS);
    this.#setState('down');
    this.#running?.requests.engineGone(() => this.#downError('stopped'));
    this.#detach();
    await this.#connection.close();
  }
}

function listed(nodes: readonly cluster.NodeInfo[]): string {
  const ids = nodes.slice(0, MOST_LISTED).map(({ id }) => id);
  return nodes.length > MOST_LISTED ? `${ids.join(', ')} and ${nodes.length - MOST_LISTED} more` : ids.join(', ');
}
