/** What `start()` passes to the role that the process becomes, and what it gets back. */
import type { AccessLog } from '../access-log/access-log.js';
import type { NodeInfo } from '../cluster/driver.js';
import type { JobHandlers } from '../cluster/jobs-client/handlers.js';
import type { CommandHandler } from '../control/commands.js';
import type { Outbox } from '../ipc/outbox.js';
import type { StopWish } from '../master/stop-wish.js';
import type { Region } from '../memory/region.js';
import type { Messaging } from '../messaging/messaging.js';
import type { ResolvedOptions, ServerOptions } from '../options/index.js';
import type { Log } from '../util/log.js';
import type { Connection } from './connection.js';
import type { DatagramSender } from './datagrams.js';
import type { ServerEvents } from './events.js';
import type { HttpHalf } from './http-half.js';
import type { ListenPort } from './listen-port.js';

/** The part of `Server` that roles use; they do not import it. */
export interface HeldServer {
  readonly workerId: number;
}

/** A process of `addProcess`. */
export interface AddedProcess {
  readonly name: string;
  run(server: HeldServer, signal: AbortSignal): unknown;
  /** In that process: the server will end, and workers still finish what they have begun. */
  settle?(): void;
}

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
  /** The broker process says something to the master. Not in the master and the manager. */
  tellMaster?(said: object): void;
  /** An answer is for the process that had this id before. Not in the master and the manager. */
  passOn?(message: unknown): void;
  /** In the master: the nodes of the cluster, this one first; none until they are known. */
  clusterNodes?: () => readonly NodeInfo[];
  /** The object callbacks of this process get for a session. */
  connection?(sessionId: number): Connection;
}

export interface StartContext {
  readonly options: ResolvedOptions;
  /** Those that are not left to their defaults. */
  readonly given: ServerOptions;
  readonly ports: readonly ListenPort[];
  readonly events: Partial<ServerEvents>;
  readonly log: Log;
  /** The object the user holds: passed on to the parts that run user code. */
  readonly server: HeldServer;
  readonly userProcesses: readonly AddedProcess[];
  /** Of durable jobs; undefined: this server has none. */
  readonly jobHandlers?: JobHandlers | undefined;
  readonly commands: ReadonlyMap<string, CommandHandler>;
  /** In the process that a user has started. */
  readonly stopWish: StopWish;
  /** Undefined: no part of this program knows HTTP. */
  readonly httpHalf: HttpHalf | undefined;
  /** From then on the log follows the options. @throws ServerError ERR_LOG_FILE */
  openLog(): void;
  /** From `openLog` on, where this process writes one. */
  accessLog?(): AccessLog | undefined;
  createConnection(sessionId: number): Connection;
  readonly datagrams: DatagramSender;
  /** Called as soon as the process can send and ask, before any callback. */
  running(runtime: Runtime): void;
}
