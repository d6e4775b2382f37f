/// <reference types="node" preserve="true" />

export type { Cluster, ClusterSubscription, RoomMembers } from './cluster/cluster.js';
export type { DriverState, Member, NodeInfo } from './cluster/driver.js';
export type {
  JobBackoff,
  JobCounts,
  JobInfo,
  JobKeep,
  JobOptions,
  JobPage,
  JobRule,
  JobSchedule,
  JobState,
  NewJob,
  ScheduledJob,
} from './cluster/jobs/queue.js';
export type { Job, JobHandler } from './cluster/jobs-client/handlers.js';
export type { Jobs, JobWorkOptions } from './cluster/jobs-client/jobs.js';
export { type AppConfig, type AppSettings, type AppsConfig, type Config, defineConfig } from './config/types.js';
export type { CommandHandler } from './control/commands.js';
export type { ClusterStats, ServerStats, StandsStill, WorkerInfo } from './control/stats.js';
export { ServerError } from './errors/index.js';
export type { FetchFunction } from './http/apps.js';
export type { CookieOptions } from './http/cookies.js';
export type { EventStream, ServerSentEvent } from './http/event-stream.js';
export type { FetchEnv } from './http/fetch/fetch-handler.js';
export type { Form, FormOptions } from './http/form.js';
export { HttpServer, type HttpServerOptions } from './http/http-server.js';
export type { HttpRequest } from './http/request.js';
export type { HeaderValue, HttpResponse } from './http/response.js';
export type { SendFileOptions } from './http/send-file.js';
export type { UploadedFile } from './http/uploads.js';
export type { CloseInitiator, CloseReason } from './ipc/frame.js';
export type { WorkerErrorInfo } from './manager/manager-parts.js';
export type { ClientInfo } from './memory/connection-table.js';
export type { TlsInfo } from './memory/tls-records.js';
export type { FinishCallback } from './messaging/task-client.js';
export type { TaskCounts } from './messaging/task-queue.js';
export type { AccessLogFormat, AccessLogOptions, AccessLogSkip } from './options/access-log.js';
export type { ClusterOptions, ClusterTls, DriverName, DriverOptions } from './options/cluster.js';
export type { CompressionOptions } from './options/compression.js';
export type {
  AdminOptions,
  Framing,
  FromSwooleOptions,
  ListenOptions,
  LogRotation,
  ResolvedOptions,
  ServerOptions,
  SwooleSettings,
  UnusedSetting,
} from './options/index.js';
export { fromSwoole } from './options/index.js';
export type { LimitedRequest, RateLimitOptions } from './options/rate-limit.js';
export type { StaticFilesOptions, StaticFolderOptions } from './options/static-files.js';
export type { StickyOptions } from './options/sticky.js';
export type { TlsKeys, TlsOptions } from './options/tls.js';
export type { ForwardedField, TrustProxyOptions } from './options/trust-proxy.js';
export type { DispatchAnswer, DispatchInfo } from './reactor/dispatch/custom.js';
export { Connection } from './server/connection.js';
export { DatagramPeer } from './server/datagrams.js';
export type { ServerEvents } from './server/events.js';
export type { FileRange } from './server/file-to-send.js';
export { ListenPort, type PortEvents } from './server/listen-port.js';
export { Server } from './server/server.js';
export type { Role } from './server/start-role.js';
export type { TimerCallback } from './server/timers.js';
export type { UserProcessDefinition, UserProcessRun } from './server/user-processes.js';
export { Atomic, type AtomicOptions, type AtomicWaitOptions, type BigAtomic } from './shared/atomic.js';
export {
  type CacheStats,
  SharedCache,
  type SharedCacheOptions,
  type WrapOptions,
} from './shared/cache/shared-cache.js';
export type { LimiterAnswer } from './shared/limiter-cells.js';
export { Lock, type LockAcquireOptions, type LockOptions } from './shared/lock.js';
export { Once, type OnceOptions, type OnceRunOptions } from './shared/once.js';
export { type RateLimit, RateLimiter, type RateLimiterOptions, type WindowLimit } from './shared/rate-limiter.js';
export { Semaphore, type SemaphoreOptions } from './shared/semaphore.js';
export type { TableOptions } from './shared/table/declaration.js';
export type { TableFigures } from './shared/table/figures.js';
export type { ColumnSpec, ColumnSpecs, NumberColumn, RowOf } from './shared/table/row-types.js';
export { type SetOptions, Table } from './shared/table/table.js';
export { type SubscribeOptions, Topic, type TopicGap, type TopicOptions } from './shared/topic.js';
export type { AcquireOptions, Held } from './shared/waiting/held.js';
export type { Task } from './task/task-runner.js';
export type { UserLogger } from './util/log-output.js';
export { version } from './version.js';
export { type AcceptOptions, accept, type HandshakeAnswer, reject } from './websocket/handshake-answer.js';
export type { PublishOptions, PushOptions } from './websocket/publish-options.js';
export { WebSocketConnection } from './websocket/web-socket-connection.js';
export {
  type WebSocketClose,
  type WebSocketEvents,
  WebSocketServer,
  type WebSocketServerOptions,
} from './websocket/web-socket-server.js';
