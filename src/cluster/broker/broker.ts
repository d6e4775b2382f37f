/**
 * The broker process of a node: it holds the only connection to the engine, and passes on what processes of this node and
 * other nodes say to each other. It runs none of the user's callbacks, so a worker that hangs, or ends, costs it nothing; a
 * reload leaves it alone. When it ends, it is started again, and processes say hello.
 */
import { ServerError, serializeError } from '../../errors/index.js';
import type { Log } from '../../util/log.js';
import { pause } from '../../util/pause.js';
import type { ClusterDriver, ClusterEvents, NodeInfo, Subscription } from '../driver.js';
import type { ClusterEvent, ConnectionCall, FromBroker, PresentMember, Question, ToBroker } from '../messages.js';
import { Questions } from '../questions.js';
import { SubjectKind, subjectOf } from '../subjects.js';
import { mostUserBytes } from '../user-bytes.js';
import { FirstAttempt } from './first-attempt.js';
import type { BrokerJobs } from './jobs.js';
import { LostNodes } from './lost-nodes.js';
import { gapOf, Missed, nameOf } from './missed.js';
import * as Said from './node-messages.js';
import { Present, type PresentMaster } from './present.js';
import { packRoomData, ROOM_HEAD_BYTES } from './room-data.js';
import { BrokerRooms, type LocalRooms } from './rooms.js';

export interface BrokerParts {
  readonly self: NodeInfo;
  readonly ttlMs: number;
  readonly requestTimeoutMs: number;
  /** A new one for each attempt to start. */
  createDriver(): ClusterDriver;
  /** undefined: this server has no rooms. */
  readonly rooms: LocalRooms | undefined;
  /** Ids of the processes that are to know what happens, workers first. */
  readonly processes: readonly number[];
  readonly workerNum: () => number;
  /** Workers that have, or are about to have, a process: also those that are being scaled away. */
  readonly seatNum: () => number;
  /** Ids from `seatNum()` up to here are of workers that there may be later. */
  readonly maxWorkerNum: number;
  /** @throws ServerError ERR_MESSAGE_QUEUE_FULL */
  send(message: FromBroker, processId: number): void;
  /** Of this node: what `server.send` and the others return. @throws ServerError */
  callConnection(call: ConnectionCall): unknown;
  /** Another broker process of this server has ended: what came meanwhile is lost. */
  readonly isSuccessor: boolean;
  /** The master's copy of presence; undefined: there is none. */
  readonly copy?: PresentMaster | undefined;
  /** This process is told to end because its server was killed, not because it stops. */
  hasServerDied?(): Promise<boolean>;
  /** Resolves when this node's workers are new. */
  reload(): Promise<void>;
  /** Durable jobs; undefined: this server has none. */
  readonly jobs?: BrokerJobs | undefined;
  /** Once: this node has joined, or the engine was not reached. @param refused its id is another server's */
  tried?(refused?: ServerError): void;
  /** The figures and nodes have changed. */
  changed?(): void;
  readonly log: Log;
}

/** Questions of other nodes that this node's workers have not answered yet. */
const MOST_QUESTIONS = 10_000;
/** Subjects that the log names because this node may not send to them. */
const MOST_REFUSED = 1000;
const LOOK_MS = 1000;
/** Many nodes often come and go together, and a report names all of them. */
const REPORT_SOON_MS = 50;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;

export class Broker {
  readonly #parts: BrokerParts;
  readonly #questions = new Questions(MOST_QUESTIONS);
  /** By subject: the processes that want it. */
  readonly #subscribers = new Map<string, { readonly subscription: Subscription; readonly processes: Set<number> }>();
  readonly #present: Present;
  /** True of those that may serve on although they are not in the cluster. */
  readonly lostNodes = new LostNodes();
  #driver: ClusterDriver;
  #rooms: BrokerRooms | undefined;
  /** Processes that have said hello. */
  readonly #greeted = new Set<number>();
  /** Those that wait for an answer until what was present before is known; undefined: it is. */
  #waiting: (() => void)[] | undefined;
  #nextWorker = 0;
  /** Messages that processes of this node did not take in time. */
  #lost = 0;
  readonly #missed: Missed;
  #connectError: Error | undefined;
  #toldLost = '';
  #changing: NodeJS.Timeout | undefined;
  /** Subjects, as the engine calls them. */
  readonly #toldRefused = new Set<string>();

  constructor(parts: BrokerParts) {
    this.#parts = parts;
    this.#driver = parts.createDriver();
    this.#missed = new Missed({ send: (message, id) => parts.send(message, id), now: () => this.#now() });
    const { maxWorkerNum, workerNum, copy } = parts;
    const isSuccessor = parts.isSuccessor && copy !== undefined;
    if (isSuccessor) this.#waiting = [];
    this.#present = new Present({
      ...{ workerNum, maxWorkerNum, isSuccessor },
      send: (message, id) => this.#send(message, id),
      tell: (changes) => copy?.tellPresent(changes),
      gone: ({ key, member }) => this.#driver.presence.drop(ownKey(key), member),
    });
  }

  get driver(): ClusterDriver {
    return this.#driver;
  }

  /** Messages lost between this process and others of its node, and rooms that could not take one. */
  get lost(): number {
    return this.#lost + (this.#rooms?.lost ?? 0);
  }

  /** Rooms this node subscribes to. */
  get followedRooms(): number {
    return this.#rooms?.followed ?? 0;
  }

  /** Why this node is not in its cluster. */
  get failure(): Error | undefined {
    return this.#driver.failure ?? this.#connectError;
  }

  /** Durable jobs of this node; undefined: it has none. */
  get jobs(): BrokerJobs | undefined {
    return this.#parts.jobs;
  }

  /** Connects, however long the engine needs, and stays until the signal comes. */
  async run(signal: AbortSignal): Promise<void> {
    for (const id of this.#parts.processes) this.#send({ say: 'restarted' }, id);
    const ended = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    this.jobs?.open();
    const jobsClosed = ended.then(() => this.jobs?.close());
    const looking = setInterval(() => this.#look(), LOOK_MS);
    if (this.#waiting !== undefined) await this.#restorePresent(signal);
    await this.#connect(signal);
    await ended;
    const hasDied = (await this.#parts.hasServerDied?.()) === true;
    if (!hasDied) await jobsClosed; // else this process has some 100 ms left
    clearInterval(looking);
    clearTimeout(this.#changing);
    this.#rooms?.close();
    this.#present.close();
    this.#questions.failAll(new ServerError('ERR_CLUSTER_DOWN', { engine: 'the engine', state: 'down' }));
    await this.#driver.stop(!hasDied, hasDied);
  }

  // ——— this node's processes ———

  /** What cannot be carried out costs this node its message, never its place in the cluster. */
  onMessage(message: ToBroker, from: number): void {
    try {
      this.#take(message, from);
    } catch (error) {
      this.#parts.log.error('what a process of this node wanted of the cluster was refused', {
        what: message.say,
        from,
        error,
      });
    }
  }

  /** Of what processes of this node have said before this one could take it. */
  lostBefore(subjects: Iterable<string>, publications: number): void {
    this.#lost += publications;
    this.#driver.missed(subjects, !this.#parts.isSuccessor); // after another one, all are told
  }

  #take(message: ToBroker, from: number): void {
    switch (message.say) {
      case 'hello':
        return this.#hello(message, from);
      case 'subscribe':
        return this.#subscribe(message.subject, from);
      case 'unsubscribe':
        return this.#unsubscribe(message.subject, from);
      case 'publish':
        return this.#publish(message.subject, message.data);
      case 'joined':
        return this.#rooms?.joined(message.room);
      case 'room':
        if (this.#parts.rooms === undefined) return;
        return this.#publishToRoom(message.room, message.data);
      case 'notTaken':
        this.#lost += message.publications;
        // While the engine is lost, those here are told of all when it is back.
        return this.#driver.missed(message.subjects, this.#driver.state === 'up');
      case 'present':
        this.#present.put(message, from);
        return this.#announce(message);
      case 'presentAgain':
        for (const member of message.members) if (this.#present.again(member, from)) this.#announce(member);
        return message.isAll === true ? this.#present.saidAll(from) : undefined;
      case 'absent':
        this.#present.drop(message, from);
        return this.#driver.presence.drop(ownKey(message.key), message.member);
      case 'works':
        return this.jobs?.offered(message.offers, from);
      case 'ask':
        return void this.#answer(message.id, message.question, from);
      default:
        return void this.#questions.answered(message);
    }
  }

  /** To the other nodes. What the engine does not take is counted as lost; why is told here, as its sender does not wait. */
  #publish(subject: string, data: Uint8Array, bytes = data.length): void {
    const { maxPayload } = this.#driver.capabilities;
    if (this.#driver.publish(subject, data) || data.length <= maxPayload) return;
    const figures = { subject: subject.slice(2), bytes, mostBytes: mostUserBytes(maxPayload) };
    this.#parts.log.error('a publication is longer than the engine takes: other nodes do not get it', figures);
  }

  #publishToRoom(room: string, data: string | Uint8Array): void {
    const packed = packRoomData(data);
    this.#publish(subjectOf(SubjectKind.room, room), packed, packed.length - ROOM_HEAD_BYTES);
  }

  #hello({ subjects, pid, hasAll = false }: Hello, from: number): void {
    const wanted = new Set(subjects);
    for (const [subject, { processes }] of this.#subscribers) {
      if (processes.has(from) && !wanted.has(subject)) this.#unsubscribe(subject, from);
    }
    const missed = this.#parts.isSuccessor && !this.#greeted.has(from);
    this.#greeted.add(from);
    for (const subject of wanted) this.#subscribe(subject, from);
    const answer = (): void => {
      if (!hasAll) this.#present.sendKept(from);
      this.#send({ ...this.#now(), answers: pid }, from);
    };
    if (this.#waiting !== undefined) return void this.#waiting.push(answer);
    answer();
    if (!missed || this.#driver.state !== 'up') return; // who was there before is told when this node is in its cluster
    for (const subject of wanted) this.#send(gapOf(nameOf(subject)), from);
  }

  #subscribe(subject: string, from: number): void {
    const known = this.#subscribers.get(subject);
    if (known !== undefined) return void known.processes.add(from);
    const processes = new Set([from]);
    let isTold = false;
    const subscription = this.#driver.subscribe(subject, (data, node) => {
      const value = Said.readPublication(subject, data, node !== this.#parts.self.id);
      if ('error' in value) {
        const level = isTold ? 'debug' : 'error'; // once, until one can be read
        this.#parts.log[level]('a publication cannot be read', { subject: nameOf(subject), node, error: value.error });
        isTold = true;
        this.#lost++;
        return this.#tellAll(gapOf(nameOf(subject)));
      }
      isTold = false;
      const message = { say: 'published', subject, data: value.data, from: node } as const;
      for (const id of processes) this.#send(message, id);
    });
    this.#subscribers.set(subject, { subscription, processes });
  }

  #unsubscribe(subject: string, from: number): void {
    const known = this.#subscribers.get(subject);
    known?.processes.delete(from);
    if (known === undefined || known.processes.size > 0) return;
    known.subscription.close();
    this.#subscribers.delete(subject);
  }

  /** All other copies may have ended with the manager. */
  async #restorePresent(signal: AbortSignal): Promise<void> {
    const { copy, log } = this.#parts;
    if (copy === undefined || this.#waiting === undefined) return;
    await this.#present.restoreFrom(copy).catch((error: unknown) => {
      if (!signal.aborted) log.warn('the master does not tell all that was present on this node before', { error });
    });
    const waiting = this.#waiting;
    this.#waiting = undefined;
    for (const answer of waiting) answer();
  }

  #announce({ key, member, meta, ttlMs }: PresentMember): void {
    this.#driver.presence.put(ownKey(key), member, meta, ttlMs);
  }

  #look(): void {
    this.#forgetScaledAway();
    this.#present.look();
    this.#missed.tell();
    this.#tellWhyLost();
  }

  /** A worker that comes later says hello. */
  #forgetScaledAway(): void {
    const { seatNum, maxWorkerNum } = this.#parts;
    for (let id = seatNum(); id < maxWorkerNum; id++) {
      if (!this.#greeted.delete(id)) continue;
      for (const [subject, { processes }] of this.#subscribers) if (processes.has(id)) this.#unsubscribe(subject, id);
      this.#missed.forget(id);
    }
  }

  /** Once per reason and outage. */
  #tellWhyLost(): void {
    const { state, failure } = this.#driver;
    if (state === 'up') this.#toldLost = '';
    if (state !== 'reconnecting' || failure === undefined || failure.message === this.#toldLost) return;
    this.#toldLost = failure.message;
    this.#parts.log.warn('the engine of the cluster is not back yet; tried again', { error: failure });
  }

  async #answer(id: number, question: Question, from: number): Promise<void> {
    try {
      this.#send({ say: 'answer', id, value: await this.#find(question) }, from);
    } catch (error) {
      this.#send({ say: 'failed', id, error: serializeError(error) }, from);
    }
  }

  async #find(question: Question): Promise<unknown> {
    switch (question.ask) {
      case 'request': {
        const { node, data, timeoutMs } = question;
        const request = Said.packUserRequest(data, this.#driver.capabilities.maxPayload);
        return Said.unpackValue(await this.#driver.request(node, request, { timeoutMs }));
      }
      case 'connection': {
        const { node, call } = question;
        const { requestTimeoutMs } = this.#parts;
        const request = Said.packValue({ ask: 'connection', call });
        return Said.unpackValue(await this.#driver.request(node, request, { timeoutMs: requestTimeoutMs }));
      }
      case 'members':
        return (await this.#rooms?.members(question.room)) ?? [];
      case 'presence':
        return this.#driver.presence.list(ownKey(question.key));
      case 'jobs':
        return this.jobs?.answer(question.call);
    }
  }

  // ——— other nodes ———

  async #connect(signal: AbortSignal): Promise<void> {
    const first = new FirstAttempt(this.#parts.ttlMs, (refused) => this.#parts.tried?.(refused));
    let told = '';
    for (let pauseMs = FIRST_PAUSE_MS; !signal.aborted; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      try {
        await this.#driver.start(this.#parts.self, this.#events());
        this.#started();
        return first.joined();
      } catch (error) {
        if (signal.aborted) return;
        this.#connectError = error as Error;
        const { message } = error as Error;
        const level = message === told ? 'debug' : 'error'; // once per reason, not at each attempt
        this.#parts.log[level]('this node is not in its cluster; it serves alone, and tries again', { error });
        told = message;
        first.failed(error);
        await this.#driver.stop(false);
        await pause(pauseMs * (0.5 + Math.random() / 2), signal);
        this.#again();
      }
    }
  }

  /** A driver is started once. */
  #again(): void {
    this.#parts.changed?.(); // the figures of the one before are read for the last time
    const untold = this.#driver.untold();
    const subjects = [...this.#subscribers].map(([subject, { processes }]) => ({ subject, processes: [...processes] }));
    this.#subscribers.clear();
    this.#driver = this.#parts.createDriver();
    this.#driver.missed(untold);
    for (const { subject, processes } of subjects) for (const id of processes) this.#subscribe(subject, id);
  }

  #started(): void {
    const wasAlone = this.#connectError !== undefined;
    this.#connectError = undefined;
    const { rooms, self, ttlMs } = this.#parts;
    if (rooms !== undefined) {
      const missed = (room: string): void => this.#tellAll(gapOf(room));
      this.#rooms = new BrokerRooms({ driver: this.#driver, self: self.id, local: rooms, ttlMs, missed });
    }
    for (const { key, member, meta, ttlMs: ttl } of this.#present.all()) {
      this.#driver.presence.put(ownKey(key), member, meta, ttl);
    }
    this.#tellAll(this.#now());
    if (this.#parts.isSuccessor || wasAlone) void this.#tellWhatIsMissed();
  }

  /** From the end of the process before, or the first attempt to join, to here. */
  async #tellWhatIsMissed(): Promise<void> {
    await this.#rooms?.ready();
    for (const { name } of this.#parts.rooms?.list() ?? []) this.#tellAll(gapOf(name));
    for (const subject of this.#subscribers.keys()) this.#tellAll(gapOf(nameOf(subject)));
  }

  #events(): ClusterEvents {
    return {
      nodeUp: (node) => {
        this.lostNodes.isUp(node.id);
        this.#happened({ event: 'nodeUp', args: [node] });
      },
      nodeDown: (id, why, hasEnded) => {
        if (!hasEnded) this.lostNodes.isDown(id, why);
        this.#happened({ event: 'nodeDown', args: [id, why] });
      },
      state: (state) => {
        const { log } = this.#parts;
        if (state === 'up') log.info('this node is in its cluster', { nodes: this.#driver.nodes().length });
        else if (state === 'reconnecting')
          log.warn('the engine of the cluster is lost; this node serves alone meanwhile');
        else if (this.#driver.failure !== undefined) {
          log.error('this node has left its cluster', { error: this.#driver.failure });
        }
        this.#happened({ event: 'clusterState', args: [state] });
      },
      gap: (subject, isOwn = false) => {
        const room = this.#rooms?.roomOf(subject);
        // Members of a room get what their own node publishes there without the engine.
        if (room === undefined || !isOwn) this.#tellAll(gapOf(room ?? nameOf(subject)));
      },
      full: (node, most) => {
        this.#parts.log.error('a cluster has no room for another node: it is left out', { node: node.id, most });
      },
      refused: (error) => this.#tellRefused(error),
      request: (data, from) => this.#asked(data, from),
    };
  }

  /** Once per subject. */
  #tellRefused(error: ServerError<'ERR_CLUSTER_REFUSED'>): void {
    const { code } = error;
    const { subject } = error.detail;
    if (this.#toldRefused.has(subject) || this.#toldRefused.size >= MOST_REFUSED) return;
    this.#toldRefused.add(subject);
    this.#parts.log.error('the engine does not let this node send to one of its subjects: other nodes miss it', {
      code,
      error,
    });
  }

  /** Processes take from it which nodes there are: to send all of them at each change would take the square of their number. */
  #happened(event: ClusterEvent): void {
    if (event.event === 'clusterState') this.#tellAll(this.#now());
    this.#tellAll({ say: 'event', ...event });
    this.#changing ??= setTimeout(() => {
      this.#changing = undefined;
      this.#parts.changed?.();
    }, REPORT_SOON_MS);
  }

  async #asked(bytes: Uint8Array, from: string): Promise<Uint8Array> {
    const request = Said.unpackRequest(bytes);
    if (request.ask === 'reload') {
      await this.#parts.reload();
      return Said.packValue(true);
    }
    if (request.ask === 'connection') return Said.packValue(this.#parts.callConnection(request.call));
    return Said.packUserAnswer(await this.#askWorker(request.data, from), this.#driver.capabilities.maxPayload);
  }

  /** One after another; who does not answer is not asked again, for the request may have run. */
  #askWorker(data: unknown, from: string): Promise<unknown> {
    const { self, requestTimeoutMs, workerNum } = this.#parts;
    const worker = this.#nextWorker++ % workerNum();
    return this.#questions.ask(self.id, requestTimeoutMs, (id) =>
      this.#parts.send({ say: 'asked', id, data, from }, worker),
    );
  }

  #now(): Extract<FromBroker, { say: 'now' }> {
    const { state, capabilities } = this.#driver;
    const maxPayload = mostUserBytes(capabilities.maxPayload);
    return { say: 'now', state, nodes: this.#driver.nodes(), maxPayload };
  }

  #tellAll(message: FromBroker): void {
    for (const id of this.#parts.processes) this.#send(message, id);
  }

  #send(message: FromBroker, id: number): void {
    // Nobody would read it, and what lies in its queue would take the places of messages to others.
    const isVacant = id >= this.#parts.seatNum() && id < this.#parts.maxWorkerNum;
    if (isVacant) return;
    try {
      this.#parts.send(message, id);
    } catch {
      this.#lost++;
      this.#missed.note(message, id);
    }
  }
}

type Hello = Extract<ToBroker, { say: 'hello' }>;

const ownKey = (key: string): string => subjectOf(SubjectKind.own, key);
