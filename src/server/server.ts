import type { LocalRooms } from '../cluster/broker/rooms.js';
import type { Cluster } from '../cluster/cluster.js';
import type { ConnectionCall } from '../cluster/messages.js';
import { type CommandHandler, checkCommand } from '../control/commands.js';
import { ServerError } from '../errors/index.js';
import { StopWish } from '../master/stop-wish.js';
import type { ClientInfo } from '../memory/connection-table.js';
import { checkProcessId } from '../memory/process-id.js';
import type { ListenOptions, ResolvedOptions, ServerOptions } from '../options/index.js';
import '../util/early-prints.js';
import { scriptHas } from '../util/script-state.js';
import * as calls from './call-options.js';
import { CallbackTable } from './callback-table.js';
import { Clients } from './clients.js';
import { ClusterNode } from './cluster-node.js';
import { checkCommandLine } from './command-line.js';
import { Connection } from './connection.js';
import { Connections } from './connections.js';
import type { Runtime, StartContext } from './context.js';
import { DatagramSender } from './datagrams.js';
import { type ServerEvents, serverEventNames } from './events.js';
import type { FileRange } from './file-to-send.js';
import { copyOf, resolveGiven, withOutside } from './given-options.js';
import type { HeartbeatOptions } from './heartbeat.js';
import { type HttpHalf, httpOfPlainServers } from './http-half.js';
import { inherited } from './inherited.js';
import type { ListenPort } from './listen-port.js';
import { ListenPorts } from './listen-ports.js';
import { ReplacedCallbacks } from './replaced-callbacks.js';
import { runningPlaceOf } from './running-server.js';
import { type Facts, ServerFacts } from './server-facts.js';
import { ServerLog } from './server-log.js';
import { startRole } from './start-role.js';
import { type TimerCallback, Timers } from './timers.js';
import { told } from './told-error.js';
import { checkUserProcess, type UserProcessDefinition, type UserProcessRun } from './user-processes.js';

/** One server per process: its children run the same script and could not distinguish two. */
let startedServer: unknown;

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
export class Server<Events extends object = ServerEvents> extends ServerFacts {
  readonly #http: HttpHalf | undefined;
  #given: ServerOptions;
  #options: ResolvedOptions;
  readonly #ports: ListenPorts;
  readonly #userProcesses: UserProcessDefinition[] = [];
  readonly #timers: Timers;
  readonly #table: CallbackTable<ServerEvents>;
  readonly #replaced: ReplacedCallbacks;
  readonly #log: ServerLog;
  #runtime: Runtime | undefined;
  #node: ClusterNode | undefined;
  /** @internal */
  protected readonly clients = new Clients((method) => this.runtimeFor(method));
  readonly #sender: DatagramSender;
  readonly #stopWish = new StopWish();
  readonly #commands = new Map<string, CommandHandler>();
  #started = false;

  /**
   * @param options see docs/options.md
   * @param http the worker's half of HTTP: of an `HttpServer`
   * @throws ServerError ERR_OPTION_*, ERR_ONE_SERVER
   */
  constructor(options: ServerOptions = {}, http: HttpHalf | undefined = httpOfPlainServers()) {
    super();
    this.#http = http;
    if (startedServer !== undefined) throw told(new ServerError('ERR_ONE_SERVER', {}));
    scriptHas('made');
    this.#given = copyOf(options);
    this.#options = resolveGiven(this.#given);
    this.#log = new ServerLog(this.#options);
    const { log } = this.#log;
    this.#replaced = new ReplacedCallbacks(log, () => inherited() === undefined);
    this.#table = new CallbackTable<ServerEvents>(serverEventNames, (event) => this.#replaced.replaced(event));
    this.#timers = new Timers((error) => log.error('the callback of a timer failed', { error }));
    const boundPort = (index: number): number | undefined => this.#runtime?.region.ports[index];
    this.#ports = new ListenPorts(boundPort, (event, index) => this.#replaced.replaced(event, index));
    this.#ports.add(undefined, this.#options);
    const descriptors = (): readonly number[] => this.runtimeFor('sendTo').datagrams;
    this.#sender = new DatagramSender({ descriptors, ports: this.ports, refuse: (e) => this.clients.refuse(e), log });
  }

  /** Merges more options in, before `start()`. Swoole: set() @throws ServerError ERR_OPTION_*, ERR_ALREADY_STARTED */
  set(options: ServerOptions): this {
    this.#mustNotHaveStarted('set');
    const given = { ...this.#given, ...copyOf(options) };
    const resolved = resolveGiven(given);
    this.#ports.resolve(resolved);
    this.#options = resolved;
    this.#given = given;
    return this;
  }

  /**
   * Adds an address; options not given are those of the server. Swoole: listen(), addlistener()
   * @throws ServerError ERR_OPTION_*, ERR_ALREADY_STARTED
   */
  listen(options: ListenOptions): ListenPort {
    this.#mustNotHaveStarted('listen');
    return this.#ports.add(copyOf(options), this.#options);
  }

  /**
   * One callback per event; a later one replaces the earlier, with a warning.
   * @throws ServerError ERR_EVENT_UNKNOWN, ERR_CALLBACK_TYPE, ERR_ALREADY_STARTED. Swoole: on()
   */
  on<K extends keyof Events>(event: K, callback: Events[K]): this {
    this.#mustNotHaveStarted('on');
    this.#table.on(event as keyof ServerEvents, callback as never);
    return this;
  }

  /**
   * As `on`, for the first event of each process only: those after it call nothing (a request is answered 404
   * then, a task fails). @throws ServerError ERR_EVENT_UNKNOWN, ERR_CALLBACK_TYPE, ERR_ALREADY_STARTED
   */
  once<K extends keyof Events>(event: K, callback: Events[K]): this {
    this.#mustNotHaveStarted('once');
    this.#table.once(event as keyof ServerEvents, callback as never);
    return this;
  }

  /** Removes an event's callback, before `start()`. @throws ServerError ERR_EVENT_UNKNOWN, ERR_ALREADY_STARTED */
  off(event: keyof Events): this {
    this.#mustNotHaveStarted('off');
    this.#table.off(event as keyof ServerEvents);
    return this;
  }

  /**
   * Starts the process tree. Resolves in the master when every worker is ready and clients can connect; in the other
   * processes it never resolves; nor in the master where a signal or `shutdown()` ends the server meanwhile: then the
   * processes already started are stopped and the process exits with code 0. Swoole: start()
   * @throws ServerError ERR_NOT_COMMAND_LINE, ERR_PLATFORM, ERR_ONE_SERVER, ERR_ALREADY_STARTED, ERR_PORT_IN_USE,
   * ERR_CALLBACK_MISSING, ERR_CALLBACK_UNUSED, ERR_PORT_PRIVILEGED, ERR_LISTEN, ERR_MANAGER_BOOT, ERR_WORKER_BOOT,
   * ERR_BOOT_TIMEOUT; then nothing is left running
   */
  async start(): Promise<void> {
    this.#mustNotHaveStarted('start');
    if (startedServer !== undefined) throw told(new ServerError('ERR_ONE_SERVER', {}));
    const given = inherited();
    if (given === undefined) checkCommandLine();
    startedServer = this;
    this.#started = true;
    scriptHas('started');
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
    if (!this.#started) throw told(new ServerError('ERR_NOT_STARTED', { method: 'shutdown' }));
    this.#stopWish.make();
  }

  /**
   * Replaces every worker by one that runs the script as it is now, or with `tasksOnly` every task worker; from any
   * process. Swoole: reload(). @throws ServerError ERR_OPTION_TYPE, ERR_OPTION_UNKNOWN
   */
  reload(options: { tasksOnly?: boolean } = calls.NO_OPTIONS): void {
    this.runtimeFor('reload').requestReload(calls.checkReload(options));
  }

  /**
   * Replaces one worker, without a gap; from any process. Without an id: the calling one. Swoole: stop()
   * @throws ServerError ERR_WORKER_ID
   */
  stop(workerId: number = this.workerId): void {
    const runtime = this.runtimeFor('stop');
    checkProcessId(runtime.region, workerId);
    runtime.requestStopWorker(workerId);
  }

  // ——— tasks, messages, processes, timers ———

  /**
   * Gives a task to the first free task worker, or to `workerId`. From any process; a task worker must name
   * another one. Its result comes to `onFinish`, or to the `finish` event of this process.
   * @param data anything the structured clone takes, of any size; copied at once @returns the task's id
   * @throws ServerError ERR_TASK_QUEUE_FULL, ERR_DATA_NOT_CLONEABLE, ERR_NO_TASK_WORKERS, ERR_TASK_WORKER_ID,
   * ERR_TASK_IN_TASK_WORKER. Swoole: task()
   */
  task(data: unknown, options: calls.TaskOptions = calls.NO_OPTIONS): number {
    return calls.giveTask(this.runtimeFor('task').messaging.tasks, data, options);
  }

  /**
   * Resolves to the task's result. Rejects with the task's error, with ERR_TASK_TIMEOUT after `timeoutMs` (option
   * `taskTimeoutMs`), with ERR_TASK_WORKER_DIED, and with the errors of `task`. Swoole: taskwait()
   */
  taskWait<T = unknown>(data: unknown, options: calls.TaskWaitOptions = calls.NO_OPTIONS): Promise<T> {
    return calls.askTask(this.runtimeFor('taskWait').messaging.tasks, data, options) as Promise<T>;
  }

  /** Several tasks at once: settled results in the order of `list`. Swoole: taskWaitMulti() @throws ServerError ERR_TASK_LIST */
  taskWaitMulti<T = unknown>(
    list: readonly unknown[],
    options: { timeoutMs?: number } = calls.NO_OPTIONS,
  ): Promise<PromiseSettledResult<T>[]> {
    calls.checkCallOptions(options, ['timeoutMs']);
    return this.runtimeFor('taskWaitMulti').messaging.tasks.askAll<T>(list, options.timeoutMs);
  }

  /**
   * Sends to another worker, task worker or user process: its `pipeMessage`. Messages of one process arrive
   * in order, each once; those for a process that is being replaced reach its successor.
   * @returns a promise that resolves when the message lies in the receiver's queue: await it to keep pace
   * @throws ServerError ERR_WORKER_ID, ERR_MESSAGE_TO_SELF, ERR_DATA_NOT_CLONEABLE, ERR_MESSAGE_QUEUE_FULL.
   * Swoole: sendMessage()
   */
  sendMessage(data: unknown, workerId: number): Promise<void> {
    const { region, messaging } = this.runtimeFor('sendMessage');
    checkProcessId(region, workerId);
    if (workerId === this.workerId) throw new ServerError('ERR_MESSAGE_TO_SELF', { workerId });
    return messaging.messenger.send(data, workerId);
  }

  /**
   * Adds a supervised process, which runs `run(server, signal)` once; call it before `start()`. It is started again
   * when it ends. `signal` aborts when it shall finish (reload, shutdown); a `run` that takes it is waited for,
   * `maxWaitMs` at most.
   * @returns its process id for `sendMessage`, behind those of workers and task workers: set their numbers first
   * @throws ServerError ERR_USER_PROCESS, ERR_ALREADY_STARTED. Swoole: addProcess()
   */
  addProcess(process: UserProcessRun | UserProcessDefinition): number {
    this.#mustNotHaveStarted('addProcess');
    const added = checkUserProcess(process, this.#userProcesses.length);
    const { maxWorkerNum, taskWorkerNum } = this.#options;
    return maxWorkerNum + taskWorkerNum + runningPlaceOf(added.name, this.#userProcesses.push(added) - 1);
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
   * Adds a command to the control socket: `tswoole call NAME`, `/api/NAME`. The handler runs in the master; its
   * result, or what that resolves to, is the reply (JSON). Call it before `start()`. Swoole: addCommand()
   * @throws ServerError ERR_COMMAND_NAME, ERR_CALLBACK_TYPE, ERR_ALREADY_STARTED
   */
  addCommand(name: string, handler: CommandHandler): this {
    this.#mustNotHaveStarted('addCommand');
    checkCommand(name, handler);
    this.#commands.set(name, handler);
    return this;
  }

  // ——— connections ———

  /**
   * Queues `data` for a client, of any size, from any process. A send arrives as one piece in any case.
   * @returns false, and `lastError` says why: ERR_SEND_BUFFER_FULL, it was taken but the client does not keep up (wait
   * for `drain`); not taken: ERR_SESSION_CLOSED, ERR_SESSION_NOT_FOUND, or ERR_CHANNEL_BROKEN, the worker that owned
   * the connection has died (BASE mode) @throws ServerError ERR_DATA_TYPE. Swoole: send()
   */
  send(fd: number, data: string | Uint8Array): boolean;
  /**
   * To a client of any node, by `cluster.addressOf(fd)`. Resolves to what `send` returns there.
   * @throws ServerError (rejects) ERR_CLUSTER_ADDRESS, ERR_SESSION_NOT_FOUND, and as `cluster.request`
   */
  send(address: string, data: string | Uint8Array): Promise<boolean>;
  send(to: number | string, data: string | Uint8Array): boolean | Promise<boolean>;
  send(to: number | string, data: string | Uint8Array): boolean | Promise<boolean> {
    if (this.#isAddress(to)) return this.#elsewhere(to, { method: 'send', data }) as Promise<boolean>;
    return this.clients.ask('send', to as number, (outbox) => outbox.send(to as number, data));
  }

  /**
   * Sends a datagram by the first listen port of that kind. @param address an IP address, or the path of a unix socket
   * (then `port` is not looked at) @returns false, and `lastError` says why @throws ServerError ERR_DATA_TYPE,
   * ERR_DATAGRAM_ADDRESS. Swoole: sendto()
   */
  sendTo(address: string, port: number, data: string | Uint8Array): boolean {
    this.runtimeFor('sendTo');
    return this.#sender.sendTo(address, port, data);
  }

  /**
   * Sends a file, or a part of it, behind what was sent before; by sendfile(2) where the kernel has it and the
   * connection is not encrypted. The reactor opens it when its turn comes: a file that cannot be read by then ends the
   * connection (FILE_FAILED). A file of unknown size (/proc) is read at once, up to 1 MiB, and sent as bytes.
   * @param path from the working directory @returns false, and `lastError` says why: ERR_FILE, ERR_FILE_RANGE, ERR_IS_WEBSOCKET, as `send`
   * Swoole: sendfile()
   */
  sendFile(fd: number, path: string, range: FileRange = {}): boolean {
    return this.clients.sendFile(fd, path, range);
  }

  /**
   * Closes after all queued bytes have left; with `reset` at once, dropping them. From here on no packet of that client
   * reaches a callback, in any process, and `exists` is false. Swoole: close() @returns false, and `lastError` says why
   */
  close(fd: number, options?: { reset?: boolean }): boolean;
  /** A client of any node, by `cluster.addressOf(fd)`. Rejects as `send` does. */
  close(address: string, options?: { reset?: boolean }): Promise<boolean>;
  close(to: number | string, options?: { reset?: boolean }): boolean | Promise<boolean>;
  close(to: number | string, options?: { reset?: boolean }): boolean | Promise<boolean> {
    const reset = calls.checkClose(options);
    if (this.#isAddress(to)) return this.#elsewhere(to, { method: 'close', reset }) as Promise<boolean>;
    return this.clients.ask('close', to, (outbox) => outbox.close(to, reset));
  }

  /** True while the connection can be sent to. Swoole: exist() */
  exists(fd: number): boolean {
    return this.clients.isOpen(fd);
  }

  /**
   * Reads nothing more from this client until `resume`; the pressure reaches its TCP window. Swoole: pause()
   * @returns false, and `lastError` says why
   */
  pause(fd: number): boolean {
    return this.clients.ask('pause', fd, (outbox) => outbox.setPaused(fd, true));
  }

  /** Ends a `pause`. @returns false, and `lastError` says why. Swoole: resume() */
  resume(fd: number): boolean {
    return this.clients.ask('resume', fd, (outbox) => outbox.setPaused(fd, false));
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
    return this.clients.protect(fd, on);
  }

  /**
   * The clients that have sent nothing for `heartbeatIdleMs` of their port, or for `idleMs`; not those under
   * `protect`. With `close` they are closed, too. From any process. Swoole: heartbeat()
   * @returns session ids @throws ServerError ERR_HEARTBEAT: no port has a heartbeat and no time was given, or an
   * option is invalid
   */
  heartbeat(options: HeartbeatOptions = {}): number[] {
    this.runtimeFor('heartbeat');
    return this.clients.heartbeat(options, this.ports, (fd) => this.close(fd));
  }

  /** Gives the connection a user id, once. Swoole: bind() @param uid 1 to 2^31 − 1 @throws ServerError ERR_UID */
  bind(fd: number, uid: number): boolean {
    return this.clients.bind(fd, uid);
  }

  /** Resolves when the client can be sent more again, or the connection is gone. In any process. */
  drain(fd: number): Promise<void> {
    return this.clients.drained(fd);
  }

  /** Everything known of a connection; undefined when no connection has this id (any more). Swoole: getClientInfo() */
  getClientInfo(fd: number): ClientInfo | undefined;
  /** Of a client of any node, by `cluster.addressOf(fd)`. Rejects as `send` does. */
  getClientInfo(address: string): Promise<ClientInfo | undefined>;
  getClientInfo(of: number | string): ClientInfo | undefined | Promise<ClientInfo | undefined> {
    if (this.#isAddress(of)) return this.#elsewhere(of, { method: 'getClientInfo' }) as Promise<ClientInfo | undefined>;
    return this.clients.info(of);
  }

  /**
   * Session ids of open connections, at most `count`, beginning behind `after`: pass the last one to go on.
   * Swoole: getClientList()
   */
  getClientList(after = 0, count = 10): number[] {
    return this.clients.list(after, count);
  }

  /** The open connections of all listen ports: iterable session ids, with `size`. Swoole: $connections */
  get connections(): Connections {
    return new Connections(this.clients.table);
  }

  /** Why the last call in this process returned false. Swoole: getLastError() */
  get lastError(): ServerError | undefined {
    return this.clients.lastError;
  }

  // ——— several machines ———

  /** Other nodes: messages to them, requests, who is there. @throws ServerError ERR_NO_CLUSTER: the option `cluster` was not given */
  get cluster(): Cluster {
    return this.#clusterNode('server.cluster').cluster;
  }

  #clusterNode(method: string): ClusterNode {
    if (this.#options.cluster === null) throw told(new ServerError('ERR_NO_CLUSTER', { method }));
    this.#node ??= new ClusterNode({
      options: () => this.#options,
      callbacks: this.#table.callbacks,
      userProcessNum: () => this.#userProcesses.length,
      server: this,
      rooms: () => this.localRooms,
      log: this.#log.log,
    });
    return this.#node;
  }

  /** @internal Rooms of this node; a server without WebSocket has none. */
  protected get localRooms(): LocalRooms | undefined {
    return undefined;
  }

  /** @internal Undefined: this is the only node. */
  protected get otherNodes(): Cluster | undefined {
    return this.#options.cluster === null ? undefined : this.cluster;
  }

  /** Without a cluster a text is no session id. What is neither is refused as an address: there a promise is expected. */
  #isAddress(of: number | string): of is string {
    return typeof of !== 'number' && this.#options.cluster !== null;
  }

  #elsewhere(address: string, call: Omit<ConnectionCall, 'incarnation' | 'fd'>): Promise<unknown> {
    this.runtimeFor(call.method);
    return this.#clusterNode(call.method).call(address, call);
  }

  // ——— inside ———

  #context(): StartContext {
    const node = this.#options.cluster === null ? undefined : this.#clusterNode('start');
    return {
      ...{ options: this.#options, given: withOutside(this.#given), ports: this.ports },
      events: this.#table.callbacks,
      log: this.#log.log,
      server: this,
      userProcesses: [...this.#userProcesses, ...(node === undefined ? [] : [node.process])],
      jobHandlers: node?.jobHandlers,
      commands: this.#commands,
      httpHalf: this.#http,
      stopWish: this.#stopWish,
      openLog: () => this.#log.open(this.#options, () => this.workerId),
      accessLog: () => this.#log.accessLog,
      createConnection: (fd) => this.createConnection(fd),
      datagrams: this.#sender,
      running: (runtime) => {
        this.#runtime = runtime;
        this.#log.follow(runtime.region);
        this.clients.running(runtime.region);
        node?.running(runtime);
        if (inherited() !== undefined) this.#stopWish.whenMade(() => runtime.requestShutdown());
      },
    };
  }

  /** @internal What callbacks get for a session. */
  protected createConnection(fd: number): Connection {
    return new Connection(fd, this);
  }

  /** @internal */
  protected get facts(): Facts {
    const node = (method: string): ClusterNode => this.#clusterNode(method);
    return { node, runtime: this.#runtime, options: this.#options, ports: this.#ports.list };
  }

  /** @internal What this process has become. @throws ServerError ERR_NOT_STARTED */
  protected runtimeFor(method: string): Runtime {
    if (this.#runtime === undefined) throw told(new ServerError('ERR_NOT_STARTED', { method }));
    return this.#runtime;
  }

  #mustNotHaveStarted(method: string): void {
    if (this.#started) throw told(new ServerError('ERR_ALREADY_STARTED', { method }));
  }
}
