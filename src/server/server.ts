import { type CommandHandler, checkCommandName } from '../control/commands.js';
import { readStats, readWorkers, type ServerStats, type WorkerInfo } from '../control/stats.js';
import { describe, ServerError } from '../errors/index.js';
import type { HttpApps } from '../http/apps.js';
import { borrowStandardError } from '../ipc/boot-output.js';
import { type Inheritance, takeInheritance } from '../ipc/inheritance.js';
import { leaveLastWords } from '../ipc/last-words.js';
import type { Outbox } from '../ipc/outbox.js';
import { StopWish } from '../master/stop-wish.js';
import { type ClientInfo, ConnectionTable, SlotFlag } from '../memory/connection-table.js';
import { checkProcessId } from '../memory/process-id.js';
import { MAX_PORTS, type Region } from '../memory/region.js';
import type { Messaging } from '../messaging/messaging.js';
import type { FinishCallback } from '../messaging/task-client.js';
import {
  type ListenOptions,
  optionsFromOutside,
  type ResolvedOptions,
  resolveOptions,
  type ServerOptions,
} from '../options/index.js';
import '../util/early-prints.js';
import { Log } from '../util/log.js';
import type { LogFile } from '../util/log-file.js';
import { watchedState } from '../util/script-state.js';
import { checkCommandLine } from './command-line.js';
import { Connection } from './connection.js';
import { Connections } from './connections.js';
import { type DatagramPeer, DatagramSender } from './datagrams.js';
import { CallbackTable, type ServerEvents, serverEventNames } from './events.js';
import { type FileRange, fileToSend } from './file-to-send.js';
import { checkHeartbeat, type HeartbeatOptions, silentConnections } from './heartbeat.js';
import { ListenPort } from './listen-port.js';
import { openLog, outputFor } from './log-of.js';
import { ReplacedCallbacks } from './replaced-callbacks.js';
import { type Role, startRole } from './start-role.js';
import { type TimerCallback, Timers } from './timers.js';
import { told } from './told-error.js';
import { checkUserProcess, type UserProcessDefinition, type UserProcessRun } from './user-processes.js';

/** What the process has become by `start()`. */
export interface Runtime {
  readonly region: Region;
  readonly outbox: Outbox;
  readonly messaging: Messaging;
  /** Where the process that starts the server is its only worker (BASE mode). */
  readonly workerId?: number;
  /** By listen port; −1 for streams. */
  readonly datagrams: readonly number[];
  requestShutdown(): void;
  requestReload(tasksOnly: boolean): void;
  requestStopWorker(workerId: number): void;
  /** The object callbacks of this process get for a session. */
  connection?(sessionId: number): Connection;
}

export interface StartContext {
  readonly options: ResolvedOptions;
  readonly ports: readonly ListenPort[];
  readonly events: Partial<ServerEvents>;
  readonly log: Log;
  readonly server: Server;
  readonly userProcesses: readonly UserProcessDefinition[];
  readonly commands: ReadonlyMap<string, CommandHandler>;
  /** In the process that a user has started. */
  readonly stopWish: StopWish;
  /** What answers HTTP requests where there is no `request` callback. */
  readonly apps: HttpApps;
  /** The log is written as the options say from then on. @throws ServerError ERR_LOG_FILE */
  openLog(): void;
  createConnection(sessionId: number): Connection;
  createPeer(portIndex: number, sockaddr: Buffer): DatagramPeer;
  /** Called as soon as the process can send and ask, before any callback. */
  running(runtime: Runtime): void;
}

/** Read once: the variable is gone afterwards. */
let inheritance: Inheritance | undefined;
let inheritanceTaken = false;
/** One server per process: its children run the same script and could not tell two apart. */
let startedServer: Server | undefined;

function inherited(): Inheritance | undefined {
  if (!inheritanceTaken) {
    inheritance = takeInheritance();
    inheritanceTaken = true;
    if (inheritance !== undefined) leaveLastWords();
    borrowStandardError(inheritance?.standardError);
  }
  return inheritance;
}

/**
 * A server: declared the same way in every process, started by `start()`, which makes this process the master and
 * runs the script again for the manager and the workers.
 *
 * @example
 * const server = new Server({ port: 9501, workerNum: 4 });
 * server.on('receive', (conn, data) => conn.send(data));
 * await server.start();
 * console.log(`listening on ${server.port}`);   // only the master gets here
 */
export class Server {
  readonly #apps: HttpApps;
  #given: ServerOptions;
  #options: ResolvedOptions;
  readonly #ports: ListenPort[] = [];
  readonly #userProcesses: UserProcessDefinition[] = [];
  readonly #timers: Timers;
  readonly #table: CallbackTable<ServerEvents>;
  readonly #replaced: ReplacedCallbacks;
  readonly #log: Log;
  #logFile: LogFile | undefined;
  #runtime: Runtime | undefined;
  #connections: ConnectionTable | undefined;
  #sender: DatagramSender | undefined;
  readonly #stopWish = new StopWish();
  readonly #commands = new Map<string, CommandHandler>();
  #started = false;
  #lastError: ServerError | undefined;

  /**
   * @param options see docs/options.md
   * @param apps what answers HTTP requests in place of the callback `request`: of an `HttpServer`
   * @throws ServerError ERR_OPTION_*, ERR_ONE_SERVER
   */
  constructor(options: ServerOptions = {}, apps: HttpApps = {}) {
    this.#apps = apps;
    if (startedServer !== undefined) throw new ServerError('ERR_ONE_SERVER', {});
    const state = watchedState();
    if (state !== undefined) state.made = true;
    this.#given = { ...options };
    this.#options = resolve(this.#given);
    const { logLevel: level } = this.#options;
    this.#log = new Log({ role: this.#roleName(), level, output: outputFor(this.#options) });
    this.#replaced = new ReplacedCallbacks(this.#log, () => inherited() === undefined);
    this.#table = new CallbackTable<ServerEvents>(serverEventNames, (event) => this.#replaced.replaced(event));
    this.#timers = new Timers((error) => this.#log.error('the callback of a timer failed', { error }));
    this.#addPort({});
  }

  /** Merges more options in, before `start()`. Swoole: set() @throws ServerError ERR_OPTION_*, ERR_ALREADY_STARTED */
  set(options: ServerOptions): this {
    this.#mustNotHaveStarted('set');
    const given = { ...this.#given, ...options };
    const resolved = resolve(given);
    for (const port of this.#ports) port.resolve(resolved);
    this.#options = resolved;
    this.#given = given;
    return this;
  }

  /**
   * One more address; what is not given is as on the server. Swoole: listen(), addlistener()
   * @throws ServerError ERR_OPTION_*, ERR_ALREADY_STARTED
   */
  listen(options: ListenOptions): ListenPort {
    this.#mustNotHaveStarted('listen');
    return this.#addPort({ ...options });
  }

  /**
   * One callback per event; a later one replaces the earlier, with a warning.
   * @throws ServerError ERR_EVENT_UNKNOWN, ERR_CALLBACK_TYPE, ERR_ALREADY_STARTED. Swoole: on()
   */
  on<K extends keyof ServerEvents>(event: K, callback: ServerEvents[K]): this {
    this.#mustNotHaveStarted('on');
    this.#table.on(event, callback);
    return this;
  }

  /**
   * As `on`, for the first event of each process only: those after it call nothing (a request is answered 404 then, a
   * task fails). @throws ServerError ERR_EVENT_UNKNOWN, ERR_CALLBACK_TYPE, ERR_ALREADY_STARTED
   */
  once<K extends keyof ServerEvents>(event: K, callback: ServerEvents[K]): this {
    this.#mustNotHaveStarted('once');
    this.#table.once(event, callback);
    return this;
  }

  /** Takes an event's callback away, before `start()`. @throws ServerError ERR_EVENT_UNKNOWN, ERR_ALREADY_STARTED */
  off(event: keyof ServerEvents): this {
    this.#mustNotHaveStarted('off');
    this.#table.off(event);
    return this;
  }

  /**
   * Starts the process tree. Resolves in the master when every worker is ready and clients can connect; in the other
   * processes it never resolves; nor in the master where a signal or `shutdown()` ends the server meanwhile: then what
   * was started is undone and the process ends with code 0. Swoole: start()
   * @throws ServerError ERR_NOT_COMMAND_LINE, ERR_PLATFORM, ERR_ONE_SERVER, ERR_ALREADY_STARTED, ERR_PORT_IN_USE,
   * ERR_CALLBACK_MISSING, ERR_PORT_PRIVILEGED, ERR_LISTEN, ERR_MANAGER_BOOT, ERR_WORKER_BOOT, ERR_BOOT_TIMEOUT; then nothing is left running
   */
  async start(): Promise<void> {
    this.#mustNotHaveStarted('start');
    if (startedServer !== undefined) throw new ServerError('ERR_ONE_SERVER', {});
    const given = inherited();
    if (given === undefined) checkCommandLine();
    startedServer = this;
    this.#started = true;
    const state = watchedState();
    if (state !== undefined) state.started = true;
    try {
      await startRole(given, this.#context());
    } catch (error) {
      if (this.role !== 'master') throw error;
      process.exitCode = 1;
      throw told(error);
    }
  }

  /** Stops the whole server, in order; from any process, also while it starts. Swoole: shutdown(). @throws ServerError ERR_NOT_STARTED */
  shutdown(): void {
    if (this.#runtime !== undefined) return this.#runtime.requestShutdown();
    if (!this.#started) throw new ServerError('ERR_NOT_STARTED', { method: 'shutdown' });
    this.#stopWish.make();
  }

  /**
   * Replaces every worker by one that runs the script as it is now, or with `tasksOnly` every task worker; from any
   * process. Swoole: reload().
   */
  reload({ tasksOnly = false }: { tasksOnly?: boolean } = {}): void {
    this.#mustRun('reload').requestReload(tasksOnly);
  }

  /**
   * Replaces one worker, without a gap; from any process. Without an id: the one this is called in. Swoole: stop()
   * @throws ServerError ERR_WORKER_ID
   */
  stop(workerId: number = this.workerId): void {
    const runtime = this.#mustRun('stop');
    checkProcessId(runtime.region, workerId);
    runtime.requestStopWorker(workerId);
  }

  // ——— tasks, messages, processes, timers ———

  /**
   * Gives a task to whichever task worker is free first, or to `workerId`. From any process; a task worker must name
   * another one. Its result comes to `onFinish`, or to the `finish` event of this process.
   * @param data anything the structured clone takes, of any size; copied at once @returns the task's id
   * @throws ServerError ERR_TASK_QUEUE_FULL, ERR_DATA_NOT_CLONEABLE, ERR_NO_TASK_WORKERS, ERR_TASK_WORKER_ID,
   * ERR_TASK_IN_TASK_WORKER. Swoole: task()
   */
  task(data: unknown, options: { workerId?: number; onFinish?: FinishCallback } = {}): number {
    return this.#mustRun('task').messaging.tasks.give(data, options.workerId, options.onFinish);
  }

  /**
   * Resolves to the task's result. Rejects with what the task threw, with ERR_TASK_TIMEOUT after `timeoutMs` (option
   * `taskTimeoutMs`), with ERR_TASK_WORKER_DIED, and with what `task` throws. Swoole: taskwait()
   */
  taskWait<T = unknown>(data: unknown, options: { workerId?: number; timeoutMs?: number } = {}): Promise<T> {
    const { tasks } = this.#mustRun('taskWait').messaging;
    return tasks.ask(data, options.workerId, options.timeoutMs) as Promise<T>;
  }

  /** Several tasks at once: settled results in the order of `list`. Swoole: taskWaitMulti() @throws ServerError ERR_TASK_LIST */
  taskWaitMulti<T = unknown>(
    list: readonly unknown[],
    options: { timeoutMs?: number } = {},
  ): Promise<PromiseSettledResult<T>[]> {
    const { tasks } = this.#mustRun('taskWaitMulti').messaging;
    if (!Array.isArray(list)) throw new ServerError('ERR_TASK_LIST', { received: describe(list) });
    return Promise.allSettled(list.map((data) => tasks.ask(data, undefined, options.timeoutMs) as Promise<T>));
  }

  /**
   * Sends to another worker, task worker or process of the user's own: its `pipeMessage`. Messages of one process arrive
   * in order, each once; those for a process that is being replaced reach its successor.
   * @returns a promise that resolves when the message lies in the receiver's queue: await it to keep pace
   * @throws ServerError ERR_WORKER_ID, ERR_MESSAGE_TO_SELF, ERR_DATA_NOT_CLONEABLE, ERR_MESSAGE_QUEUE_FULL. Swoole: sendMessage()
   */
  sendMessage(data: unknown, workerId: number): Promise<void> {
    const { region, messaging } = this.#mustRun('sendMessage');
    checkProcessId(region, workerId);
    if (workerId === this.workerId) throw new ServerError('ERR_MESSAGE_TO_SELF', { workerId });
    return messaging.messenger.send(data, workerId);
  }

  /**
   * One more supervised process, which runs `run(server, signal)` once; call it before `start()`. It is started again when
   * it ends. `signal` aborts when it shall finish (reload, shutdown); a `run` that takes it is waited for, `maxWaitMs` at most.
   * @returns its process id for `sendMessage`, which comes behind those of workers and task workers: give their numbers first
   * @throws ServerError ERR_USER_PROCESS, ERR_ALREADY_STARTED. Swoole: addProcess()
   */
  addProcess(process: UserProcessRun | UserProcessDefinition): number {
    this.#mustNotHaveStarted('addProcess');
    const index = this.#userProcesses.length;
    this.#userProcesses.push(checkUserProcess(process, index));
    return this.#options.maxWorkerNum + this.#options.taskWorkerNum + index;
  }

  /** Calls back every `ms` milliseconds, in this process, until `clearTimer`. Swoole: tick() @throws ServerError ERR_TIMER */
  tick(ms: number, callback: TimerCallback): number {
    return this.#timers.tick(ms, callback);
  }

  /** Calls back once after `ms` milliseconds, in this process. Swoole: after() @throws ServerError ERR_TIMER */
  after(ms: number, callback: TimerCallback): number {
    return this.#timers.after(ms, callback);
  }

  /** Ends a timer of this process. Swoole: Timer::clear() @returns false when there is no such timer (any more) */
  clearTimer(id: number): boolean {
    return this.#timers.clear(id);
  }

  // ——— operation ———

  /**
   * One more command of the control socket: `tswoole call NAME`, `/api/NAME`. The handler runs in the master; what it
   * returns, or resolves to, is the answer (JSON). Call it before `start()`. Swoole: addCommand()
   * @throws ServerError ERR_COMMAND_NAME, ERR_CALLBACK_TYPE, ERR_ALREADY_STARTED
   */
  addCommand(name: string, handler: CommandHandler): this {
    this.#mustNotHaveStarted('addCommand');
    checkCommandName(name);
    if (typeof handler !== 'function') {
      throw new ServerError('ERR_CALLBACK_TYPE', { event: name, received: describe(handler) });
    }
    this.#commands.set(name, handler);
    return this;
  }

  // ——— connections ———

  /**
   * Queues `data` for a client, of any size, from any process. A send arrives as one piece, whoever else sends.
   * @returns false, and `lastError` says why: ERR_SEND_BUFFER_FULL, it was taken but the client does not keep up (wait for
   * `drain`); not taken: ERR_SESSION_CLOSED, ERR_SESSION_NOT_FOUND, or ERR_CHANNEL_BROKEN, the worker that owned the
   * connection has died (BASE mode) @throws ServerError ERR_DATA_TYPE. Swoole: send()
   */
  send(fd: number, data: string | Uint8Array): boolean {
    return this.#askOutbox('send', fd, (outbox) => outbox.send(fd, data));
  }

  /**
   * Sends a datagram by the first listen port of that kind. @param address an IP address, or the path of a unix socket
   * (then `port` is not looked at) @returns false, and `lastError` says why @throws ServerError ERR_DATA_TYPE,
   * ERR_DATAGRAM_ADDRESS. Swoole: sendto()
   */
  sendTo(address: string, port: number, data: string | Uint8Array): boolean {
    return this.#datagramSender('sendTo').sendTo(address, port, data);
  }

  /**
   * Sends a file, or a part of it, behind what was sent before; by sendfile(2) where the kernel has it and the connection
   * is not encrypted. It is opened when its turn comes: one that cannot be read by then ends the connection
   * (FILE_FAILED). One of unknown size (/proc) is read at once, up to 1 MiB, and sent as bytes.
   * @param path from the working directory @returns false, and `lastError` says why: ERR_FILE,
   * ERR_FILE_RANGE, or as `send`
   * Swoole: sendfile()
   */
  sendFile(fd: number, path: string, range: FileRange = {}): boolean {
    return this.#askOutbox('sendFile', fd, (outbox) => {
      try {
        const file = fileToSend(path, range);
        if ('bytes' in file) return file.bytes.length === 0 || outbox.send(fd, file.bytes);
        return file.length === 0 || outbox.sendFile(fd, file.path, file.offset, file.length);
      } catch (error) {
        if (error instanceof ServerError) outbox.lastError = error;
        return false;
      }
    });
  }

  /**
   * Closes after what was sent has left; with `reset` at once, dropping it. From here on no packet of that client reaches
   * a callback, in any process, and `exists` is false. Swoole: close() @returns false, and `lastError` says why
   */
  close(fd: number, options?: { reset?: boolean }): boolean {
    return this.#askOutbox('close', fd, (outbox) => outbox.close(fd, options?.reset === true));
  }

  /** True while the connection can be sent to. Swoole: exist() */
  exists(fd: number): boolean {
    return isSessionId(fd) && (this.#connections?.isOpen(fd) ?? false);
  }

  /**
   * Reads nothing more from this client until `resume`; the pressure reaches its TCP window. Swoole: pause()
   * @returns false, and `lastError` says why
   */
  pause(fd: number): boolean {
    return this.#askOutbox('pause', fd, (outbox) => outbox.setPaused(fd, true));
  }

  /** Ends a `pause`. @returns false, and `lastError` says why. Swoole: resume() */
  resume(fd: number): boolean {
    return this.#askOutbox('resume', fd, (outbox) => outbox.setPaused(fd, false));
  }

  /** Lets the server read from a client of a port with `delayReceive`: the same as `resume`. Swoole: confirm() */
  confirm(fd: number): boolean {
    return this.resume(fd);
  }

  /**
   * Marks a connection so that time-outs for idle clients spare it, or no longer does. Swoole: protect()
   * @returns false, and `lastError` says why
   */
  protect(fd: number, on = true): boolean {
    return this.#withSlot('protect', fd, (table, slot) => {
      table.setFlag(slot, SlotFlag.protected, on);
      return true;
    });
  }

  /**
   * The clients that have sent nothing for `heartbeatIdleMs` of their port, or for `idleMs`; not those under `protect`.
   * With `close` they are closed, too. From any process. Swoole: heartbeat()
   * @returns session ids @throws ServerError ERR_HEARTBEAT: no port has a heartbeat and no time was given, or an option is not what it takes
   */
  heartbeat(options: HeartbeatOptions = {}): number[] {
    this.#mustRun('heartbeat');
    const { close, idleMs } = checkHeartbeat(options);
    const silent = silentConnections(this.#connections, this.#ports, idleMs);
    if (close) for (const fd of silent) this.close(fd);
    return silent;
  }

  /** Gives the connection a user id, once. Swoole: bind() @param uid 1 to 2^31 − 1 @throws ServerError ERR_UID */
  bind(fd: number, uid: number): boolean {
    if (!Number.isInteger(uid) || uid < 1 || uid > 0x7fffffff)
      throw new ServerError('ERR_UID', { received: describe(uid) });
    return this.#withSlot('bind', fd, (table, slot) => {
      if (table.bindUid(slot, uid)) return true;
      return this.#refuse(new ServerError('ERR_ALREADY_BOUND', { fd, uid: table.info(fd)?.uid ?? 0 }));
    });
  }

  /** Resolves when the client can be sent more again, or the connection is gone. In any process. */
  drain(fd: number): Promise<void> {
    return isSessionId(fd) ? this.#mustRun('drain').outbox.drain(fd) : Promise.resolve();
  }

  /** Everything known of a connection; undefined when there is none of this id (any more). Swoole: getClientInfo() */
  getClientInfo(fd: number): ClientInfo | undefined {
    return isSessionId(fd) ? this.#connections?.info(fd) : undefined;
  }

  /**
   * Session ids of open connections, at most `count`, beginning behind `after`: pass the last one to go on.
   * Swoole: getClientList()
   */
  getClientList(after = 0, count = 10): number[] {
    const list: number[] = [];
    for (const fd of this.#connections?.sessions(after) ?? []) {
      if (list.length >= count) break;
      list.push(fd);
    }
    return list;
  }

  /** The open connections of all listen ports: iterable session ids, with `size`. Swoole: $connections */
  get connections(): Connections {
    return new Connections(this.#connections);
  }

  /** Why the last call in this process answered false. Swoole: getLastError() */
  get lastError(): ServerError | undefined {
    return this.#lastError;
  }

  // ——— figures ———

  /** Read from shared memory, without a message to anyone. Swoole: stats(). */
  stats(): ServerStats {
    const { region, messaging } = this.#mustRun('stats');
    return readStats(region, messaging.queue.counts(), messaging.messageCount);
  }

  /**
   * The figures of workers, task workers and processes of the user's own, by id. Empty before the start.
   * Swoole: getWorkerStatus()
   */
  get workers(): WorkerInfo[] {
    return this.#runtime === undefined ? [] : readWorkers(this.#runtime.region);
  }

  /** What this process is. Before `start()`, in the process that a person starts: `master`. */
  get role(): Role {
    return inherited()?.role ?? 'master';
  }

  /**
   * The id of a worker, task worker or process of the user's own; −1 in the master and the manager. Swoole: $worker_id
   */
  get workerId(): number {
    const given = inherited();
    if (given === undefined) return this.#runtime?.workerId ?? -1;
    return given.role === 'manager' ? -1 : given.id;
  }

  /** Pid of the master; 0 before the start. Swoole: $master_pid */
  get masterPid(): number {
    return this.#runtime?.region.masterPid ?? 0;
  }

  /** Pid of the manager; 0 before the start. Swoole: $manager_pid */
  get managerPid(): number {
    return this.#runtime?.region.managerPid ?? 0;
  }

  /** The pid of this process where it has a `workerId`, 0 elsewhere. Swoole: $worker_pid */
  get workerPid(): number {
    return this.workerId >= 0 ? process.pid : 0;
  }

  /** `'process'` or `'base'`: see docs/modes.md. Swoole: $mode */
  get mode(): ResolvedOptions['mode'] {
    return this.#options.mode;
  }

  /** The main address, as it was asked for. Swoole: $host */
  get host(): string {
    return this.#options.host;
  }

  /** The bound port; before the start what was asked for. Swoole: $port */
  get port(): number {
    return this.#ports[0]?.port ?? this.#options.port;
  }

  /** The main address first, then those of `listen()`. Swoole: $ports */
  get ports(): readonly ListenPort[] {
    return this.#ports;
  }

  /** Every option with its value, checked and frozen; from the environment and flags too. Swoole: $setting */
  get options(): ResolvedOptions {
    return this.#options;
  }

  // ——— inside ———

  #roleName(): string {
    const { role, workerId } = this;
    if (role === 'task') return `task worker ${workerId}`;
    if (role === 'user') return `process ${workerId}`;
    return role === 'worker' ? `worker ${workerId}` : role;
  }

  #addPort(options: ListenOptions): ListenPort {
    const index = this.#ports.length;
    if (index === MAX_PORTS) {
      const expected = `at most ${MAX_PORTS} listen ports`;
      throw new ServerError('ERR_OPTION_RANGE', { name: 'listen', expected, received: 'one more' });
    }
    const port = new ListenPort(
      index === 0 ? undefined : options,
      () => this.#runtime?.region.ports[index],
      (event) => this.#replaced.replaced(event, index),
    );
    port.resolve(this.#options);
    this.#ports.push(port);
    return port;
  }

  #context(): StartContext {
    return {
      options: this.#options,
      ports: this.#ports,
      events: this.#table.callbacks,
      log: this.#log,
      server: this,
      userProcesses: this.#userProcesses,
      commands: this.#commands,
      apps: this.#apps,
      stopWish: this.#stopWish,
      openLog: () => {
        this.#logFile = openLog(this.#log, this.#options, {
          inherited: inherited(),
          role: () => (inherited() === undefined && this.workerId >= 0 ? `worker ${this.workerId}` : undefined),
        });
      },
      createConnection: (fd) => new Connection(fd, this),
      createPeer: (portIndex, sockaddr) => this.#datagramSender('packet').peer(portIndex, sockaddr),
      running: (runtime) => {
        this.#runtime = runtime;
        this.#log.follow(() => runtime.region.logLevel);
        if (this.#logFile !== undefined) this.#logFile.epoch = () => runtime.region.logEpoch;
        this.#connections = new ConnectionTable(runtime.region);
        if (inherited() !== undefined) this.#stopWish.whenMade(() => runtime.requestShutdown());
      },
    };
  }

  #datagramSender(method: string): DatagramSender {
    const { datagrams } = this.#mustRun(method);
    this.#sender ??= new DatagramSender(datagrams, this.#ports, (error) => this.#refuse(error));
    return this.#sender;
  }

  #askOutbox(method: string, fd: number, call: (outbox: Outbox) => boolean): boolean {
    const { outbox } = this.#mustRun(method);
    if (!isSessionId(fd)) return this.#refuse(new ServerError('ERR_SESSION_ID', { received: describe(fd) }));
    if (call(outbox)) return true;
    this.#lastError = outbox.lastError;
    return false;
  }

  /** @internal How this process sends. @throws ServerError ERR_NOT_STARTED */
  protected outboxFor(method: string): Outbox {
    return this.#mustRun(method).outbox;
  }

  /** @internal @returns false, and `lastError` says why */
  protected mustBeOpen(method: string, fd: number): boolean {
    return this.#withSlot(method, fd, () => true);
  }

  #withSlot(method: string, fd: number, call: (table: ConnectionTable, slot: number) => boolean): boolean {
    this.#mustRun(method);
    const table = this.#connections;
    if (!isSessionId(fd)) return this.#refuse(new ServerError('ERR_SESSION_ID', { received: describe(fd) }));
    if (table?.isOpen(fd)) return call(table, table.slotOf(fd));
    const code = table?.isKnown(fd) ? 'ERR_SESSION_CLOSED' : 'ERR_SESSION_NOT_FOUND';
    return this.#refuse(new ServerError(code, { fd }));
  }

  #refuse(error: ServerError): false {
    this.#lastError = error;
    return false;
  }

  #mustRun(method: string): Runtime {
    if (this.#runtime === undefined) throw new ServerError('ERR_NOT_STARTED', { method });
    return this.#runtime;
  }

  #mustNotHaveStarted(method: string): void {
    if (this.#started) throw new ServerError('ERR_ALREADY_STARTED', { method });
  }
}

/** @throws ServerError ERR_OPTION_* */
function resolve(given: ServerOptions): ResolvedOptions {
  try {
    return resolveOptions({ ...given, ...optionsFromOutside() });
  } catch (error) {
    throw told(error);
  }
}

function isSessionId(fd: number): boolean {
  return Number.isSafeInteger(fd) && fd > 0;
}
