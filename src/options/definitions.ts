import { accessLog } from './access-log.js';
import { admin, cron, memoryLimit, watch } from './admin.js';
import {
  addressRanges,
  choice,
  choiceOrModule,
  flag,
  host,
  integer,
  type Kind,
  path,
  size,
  text,
  timeLimit,
} from './check.js';
import { cluster } from './cluster.js';
import { compression } from './compression.js';
import { framing } from './framing.js';
import { cores, umask } from './identity.js';
import { logger, logRotation } from './logs.js';
import type { Machine } from './machine.js';
import { type ProtocolName, protocols, speaksHttp } from './protocol.js';
import { rateLimit } from './rate-limit.js';
import { GIB, KIB, MIB } from './size.js';
import { staticFiles } from './static-files.js';
import { type ResolvedSticky, sticky } from './sticky.js';
import { tls } from './tls.js';
import { trustProxy } from './trust-proxy.js';
import { messageCompression, origins, slowConsumers, urlPath } from './websocket.js';

/** One option: the source of its types, its check, its default, its messages and its line in docs/options.md. */
export interface Definition<Given, Resolved> {
  readonly kind: Kind<Given, Resolved>;
  readonly default: Default<NoInfer<Resolved>>;
  readonly help: string;
  readonly unit?: 'ms' | 'bytes';
  /** Only workers and task workers read it, each for itself: new ones take it from the script at a reload. */
  readonly reloads?: true;
  /** What Swoole calls it, aliases after commas; missing where Swoole has no such setting. */
  readonly swoole?: string;
}

type Default<T> = { readonly value: T } | Computed<T>;

/** A default that depends on the machine or on options resolved before it. */
export interface Computed<T> {
  readonly says: string;
  readonly compute: (machine: Machine, chosen: Chosen) => T;
}

/** The options that defaults of later options depend on. */
export interface Chosen {
  readonly reactorNum: number;
  readonly workerNum: number;
  readonly sendBufferSize: number;
  readonly highWatermark: number;
  readonly maxRequest: number;
  readonly maxUptimeMs: number;
  readonly path: string;
  readonly heartbeatIdleMs: number;
  readonly writeTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  readonly mode: 'process' | 'base';
  readonly protocol: ProtocolName;
  readonly packageMaxLength: number;
  readonly sticky: ResolvedSticky | null;
}

const LIMIT_DEFAULT_CONNECTIONS = 100_000;
// Descriptors the server itself needs besides connections: channels, shared memory, epoll, logs, the user's files.
const DESCRIPTORS_KEPT_BACK = 100;
const LIMIT_RINGS_BYTES = 256 * MIB;
/** Shared-memory rings between one reactor and one worker. */
const RINGS_PER_PAIR = 3;

/** Shared memory is laid out for this number; a power of two. */
const MOST_ROOMS = 1_048_576;

const HALF_CLOSE_TIMEOUT_MS = 30_000;

/** HTTP: never longer than the time a connection may be silent, or a client may take nothing. */
function halfCloseTimeout({ protocol, writeTimeoutMs, keepAliveTimeoutMs }: Chosen): number {
  if (!speaksHttp(protocol)) return HALF_CLOSE_TIMEOUT_MS;
  const limits = [writeTimeoutMs, keepAliveTimeoutMs].filter((ms) => ms > 0);
  return Math.max(10, Math.min(HALF_CLOSE_TIMEOUT_MS, ...limits));
}

const option = <Given, Resolved>(it: Definition<Given, Resolved>): Definition<Given, Resolved> => it;

/** In the order in which they are resolved: a computed default sees only options above it. */
export const definitions = {
  host: option({
    kind: host(),
    default: { value: '127.0.0.1' },
    help: 'Address to listen on: IPv4, IPv6 or a name. `0.0.0.0` and `::` are all addresses of the machine.',
    swoole: 'host (constructor)',
  }),
  port: option({
    kind: integer({ min: 0, max: 65_535 }),
    default: { value: 0 },
    help: 'Port to listen on; 0 takes a free one, which `server.port` then holds.',
    swoole: 'port (constructor)',
  }),
  path: option({
    kind: path(107),
    default: { value: '' },
    help: 'Path of a unix socket to listen on, instead of `host` and `port`. A file that a killed server has left is removed.',
    swoole: 'host (constructor) with SWOOLE_SOCK_UNIX_STREAM',
  }),
  type: option({
    kind: choice(['tcp', 'unix', 'udp', 'unix-dgram']),
    default: {
      says: '`unix` where there is a `path`, else `tcp`',
      compute: (_machine, { path }) => socketTypeOf(path),
    },
    help: 'The kind of socket; the last two take datagrams, for the `packet` event.',
    swoole: 'sock_type (constructor)',
  }),
  mode: option({
    kind: choice(['process', 'base']),
    default: { value: 'process' },
    help:
      'Which processes own the connections: [modes.md](modes.md). `process`: reactor threads in the master own the connections, workers ' +
      'run the callbacks. `base`: each worker owns connections itself.',
    swoole: 'mode (constructor)',
  }),
  protocol: option({
    kind: choice(protocols),
    default: { value: 'raw' },
    help: 'The protocol of clients: `http` for an `HttpServer`, whose default it is: [http.md](http.md). `websocket`: HTTP, and WebSocket for clients that ask for it. `raw`: bytes, or packets by `framing`.',
    swoole: 'open_http_protocol',
  }),
  reactorNum: option({
    kind: integer({ min: 1, max: 64 }),
    default: { says: 'the number of cores, at most 8', compute: ({ cores }) => clamp(cores, 1, 8) },
    help: 'Reactor threads in the master; each owns a share of the connections. In BASE mode there are none: a number given there is told of at the start, and has no effect.',
    swoole: 'reactor_num',
  }),
  workerNum: option({
    kind: integer({ min: 1, max: 1000 }),
    default: { says: 'the number of cores', compute: ({ cores }) => clamp(cores, 1, 1000) },
    help: 'Worker processes; they run the callbacks.',
    swoole: 'worker_num',
  }),
  maxWorkerNum: option({
    kind: integer({ min: 1, max: 1000 }),
    default: { says: 'as `workerNum`', compute: (_machine, { workerNum }) => workerNum },
    help: 'The largest number of workers that `tswoole scale` may set at run time; shared memory is laid out for this number. Ids of task workers begin here.',
  }),
  taskWorkerNum: option({
    kind: integer({ min: 0, max: 1000 }),
    default: { value: 0 },
    help: 'Task worker processes; they run the `task` callback.',
    swoole: 'task_worker_num',
  }),
  taskConcurrency: option({
    kind: integer({ min: 1, max: 10_000 }),
    default: { value: 1 },
    help: 'How many tasks one task worker runs at once. More than 1 pays where tasks mostly wait (`async`).',
    swoole: 'task_enable_coroutine',
    reloads: true,
  }),
  taskQueueLimit: option({
    kind: integer({ min: 1, max: 60_000 }),
    default: { value: 8000 },
    help: 'Tasks that may wait for a free task worker, all callers together; beyond it `task` fails with ERR_TASK_QUEUE_FULL.',
  }),
  taskRetries: option({
    kind: integer({ min: 0, max: 15 }),
    default: { value: 0 },
    help: 'How often a task is retried when its task worker dies while it runs; then the caller gets ERR_TASK_WORKER_DIED.',
    reloads: true,
  }),
  taskTimeoutMs: option({
    kind: integer({ min: 1, max: 2_147_483_647 }, 'ms'),
    default: { value: 60_000 },
    unit: 'ms',
    help: 'How long `taskWait` and `taskWaitMulti` wait without a `timeoutMs` of their own.',
    reloads: true,
  }),
  taskMaxRequest: option({
    kind: integer({ min: 0, max: 1_000_000_000 }),
    default: { value: 0 },
    help: 'Tasks after which a task worker is replaced by a new one, as soon as it runs none; 0: never.',
    swoole: 'task_max_request',
    reloads: true,
  }),
  messageBufferSize: option({
    kind: size({ min: 0, max: GIB }),
    default: { value: 64 * MIB },
    unit: 'bytes',
    help: 'The most that one process may hold for receivers that do not keep up with its messages: half of it together, half of it divided among them; beyond it `sendMessage` throws.',
  }),
  maxWaitMs: option({
    kind: integer({ min: 0, max: 3_600_000 }, 'ms'),
    default: { value: 3000 },
    unit: 'ms',
    help: 'How long a worker may take to finish at a reload or shutdown before it is killed.',
    swoole: 'max_wait_time (seconds)',
  }),
  maxRequest: option({
    kind: integer({ min: 0, max: 1_000_000_000 }),
    default: { value: 0 },
    help: 'A worker that has handled this number of packets (HTTP: requests), plus a number of its own from 0 to `maxRequestJitter`, asks for a successor. It is replaced without a gap, and handles packets until its successor is ready. 0: never.',
    swoole: 'max_request',
    reloads: true,
  }),
  maxRequestJitter: option({
    kind: integer({ min: 0, max: 1_000_000_000 }),
    default: {
      says: 'half of `maxRequest`',
      compute: (_machine, { maxRequest }) => Math.floor(maxRequest / 2),
    },
    help: 'Each process draws a number from 0 to this when it starts, and adds it to `maxRequest`, so that not all workers are replaced at once. 0: exactly at `maxRequest`.',
    swoole: 'max_request_grace',
    reloads: true,
  }),
  maxUptimeMs: option({
    // A process looks at its age once a second.
    kind: timeLimit({ min: 1000, max: 31_536_000_000 }),
    default: { value: 0 },
    unit: 'ms',
    help: 'A worker or task worker that has served for this time, plus a time of its own from 0 to `maxUptimeJitterMs`, asks for a successor, and is replaced without a gap; a task worker as soon as it runs no task. At least 1000; 0: never.',
    reloads: true,
  }),
  maxUptimeJitterMs: option({
    kind: integer({ min: 0, max: 31_536_000_000 }, 'ms'),
    default: {
      says: 'a tenth of `maxUptimeMs`',
      compute: (_machine, { maxUptimeMs }) => Math.floor(maxUptimeMs / 10),
    },
    unit: 'ms',
    help: 'Each process draws a time from 0 to this when it starts, and adds it to `maxUptimeMs`, so that not all are replaced at once. 0: exactly at `maxUptimeMs`.',
    reloads: true,
  }),
  cronReload: option({
    kind: cron(),
    default: { value: '' },
    help: 'When the server reloads all workers: a cron expression of five fields (minute, hour, day of the month, month, day of the week) in the time zone of the process, such as `0 4 * * mon-fri`. A reload that is running then is left alone. Empty: never.',
  }),
  heartbeatIdleMs: option({
    kind: integer({ min: 0, max: 2_147_483_647 }, 'ms'),
    default: { value: 0 },
    unit: 'ms',
    help: 'A client that has sent nothing for this time is disconnected, unless `protect` exempts it; 0: never.',
    swoole: 'heartbeat_idle_time (seconds)',
  }),
  heartbeatCheckMs: option({
    kind: integer({ min: 10, max: 3_600_000 }, 'ms'),
    default: {
      says: 'half of `heartbeatIdleMs`, at least 10 and at most 60000',
      compute: (_machine, { heartbeatIdleMs }) => heartbeatCheckFor(heartbeatIdleMs),
    },
    unit: 'ms',
    help: 'How often the server checks for silent clients.',
    swoole: 'heartbeat_check_interval (seconds)',
  }),
  maxIdleMs: option({
    kind: integer({ min: 0, max: 2_147_483_647 }, 'ms'),
    default: { value: 0 },
    unit: 'ms',
    help: 'A client is disconnected when nothing was sent to it and nothing received from it for this time, unless `protect` exempts it; 0: never.',
    swoole: 'max_idle_time (seconds)',
  }),
  writeTimeoutMs: option({
    kind: integer({ min: 0, max: 2_147_483_647 }, 'ms'),
    default: {
      says: '0; of an HttpServer 60000',
      compute: (_machine, { protocol }) => (speaksHttp(protocol) ? 60_000 : 0),
    },
    unit: 'ms',
    help: 'A client that has taken none of the bytes queued for it for this time is disconnected; of HTTP/2 its stream is reset. 0: never.',
  }),
  workerTimeoutMs: option({
    // The watchdog checks the loop of each process a few times a second.
    kind: timeLimit({ min: 1000, max: 3_600_000 }),
    default: { value: 0 },
    unit: 'ms',
    help: 'A worker or task worker whose event loop has been blocked for this time is logged with its stack, killed and replaced; one that turns again after a second or more is logged with where it stood. At least 1000; 0: never.',
  }),
  maxMemory: option({
    kind: memoryLimit(),
    default: { value: 0 },
    unit: 'bytes',
    help: 'Memory above which a worker, task worker or process of `addProcess` is replaced by a new one, without a gap (PM2: `max_memory_restart`), a task worker as soon as it runs no task: resident, without the shared memory of the server, which a successor has as well. 0: any amount.',
    reloads: true,
  }),
  bootTimeoutMs: option({
    kind: integer({ min: 1, max: 3_600_000 }, 'ms'),
    default: { value: 30_000 },
    unit: 'ms',
    help: 'How long the manager, or a worker with its `workerStart` callback, may take to become ready; time in which it gets no CPU does not count. Also how long `beforeReload` and `afterReload` may take.',
  }),
  dispatchMode: option({
    kind: choiceOrModule(['least-connections', 'fd-mod', 'ip-mod', 'uid-mod', 'round-robin', 'idle', 'least-busy']),
    default: {
      says: '`least-connections`; in PROCESS mode of an HttpServer `least-busy`',
      compute: (_machine, { mode, protocol }) =>
        mode === 'process' && speaksHttp(protocol) ? 'least-busy' : 'least-connections',
    },
    help:
      'How the reactor chooses the worker for a packet. `least-connections`: a connection stays with the worker that had the ' +
      'fewest; `fd-mod`: with worker `fd % workerNum` (Swoole: 2); `ip-mod`: all connections of one address with one worker (4); ' +
      '`uid-mod`: all packets of one `bind` uid to one worker (5); `round-robin`: each packet to the next worker (1); ' +
      '`idle`: each packet to a worker that is not busy (3); `least-busy`: each packet to the least busy worker (9); ' +
      '`{module}`: the function `dispatch` of your own module decides (dispatch_func).',
    swoole: 'dispatch_mode, dispatch_func',
  }),
  maxConnections: option({
    kind: integer({ min: 1, max: 1_000_000 }),
    default: {
      says: `${LIMIT_DEFAULT_CONNECTIONS}, or the limit of open files minus ${DESCRIPTORS_KEPT_BACK} when that is less`,
      compute: ({ descriptorLimit }) => clamp(descriptorLimit - DESCRIPTORS_KEPT_BACK, 1, LIMIT_DEFAULT_CONNECTIONS),
    },
    help: 'Connections open at once; further clients wait in the backlog until one ends.',
    swoole: 'max_connection, max_conn',
  }),
  maxConnectionsPerIp: option({
    kind: integer({ min: 0, max: 1_000_000 }),
    default: { value: 0 },
    help: 'Connections one client address may have open at once; a further one is reset at once. 0: any number.',
  }),
  maxRooms: option({
    kind: integer({ min: 1, max: MOST_ROOMS }),
    default: { value: 16_384 },
    help: 'WebSocket: rooms that have members at once, in the whole server; rounded up to a power of two. A room ends with its last member.',
  }),
  backlog: option({
    kind: integer({ min: 1, max: 65_535 }),
    default: { value: 512 },
    help: 'Connections that may wait in the kernel to be accepted.',
    swoole: 'backlog',
  }),
  reusePort: option({
    kind: flag(),
    default: { value: false },
    help: 'BASE mode: each worker has its own socket for each port (SO_REUSEPORT) and the kernel spreads the clients.',
    swoole: 'enable_reuse_port',
  }),
  keepAliveIdleMs: option({
    kind: integer({ min: 0, max: 2_147_483_647 }, 'ms'),
    default: { value: 0 },
    unit: 'ms',
    help: "How long a connection is silent before the kernel probes it, with `keepAlive`; rounded up to seconds. 0: the system's setting.",
    swoole: 'tcp_keepidle (seconds)',
  }),
  keepAliveIntervalMs: option({
    kind: integer({ min: 0, max: 2_147_483_647 }, 'ms'),
    default: { value: 0 },
    unit: 'ms',
    help: "The time between two probes; rounded up to seconds. 0: the system's setting.",
    swoole: 'tcp_keepinterval (seconds)',
  }),
  keepAliveCount: option({
    kind: integer({ min: 0, max: 127 }),
    default: { value: 0 },
    help: "The number of unanswered probes after which a connection is given up. 0: the system's setting.",
    swoole: 'tcp_keepcount',
  }),
  userTimeoutMs: option({
    kind: integer({ min: 0, max: 2_147_483_647 }, 'ms'),
    default: { value: 0 },
    unit: 'ms',
    help: "Linux: a connection is given up when sent bytes are not acknowledged for this time (TCP_USER_TIMEOUT). 0: the system's setting.",
    swoole: 'tcp_user_timeout',
  }),
  deferAccept: option({
    kind: flag(),
    default: { value: false },
    help: 'Linux: a client is accepted when its first bytes have arrived (TCP_DEFER_ACCEPT). Not for protocols in which the server speaks first.',
    swoole: 'tcp_defer_accept',
  }),
  fastOpen: option({
    kind: integer({ min: 0, max: 65_535 }),
    default: { value: 0 },
    help: 'Clients that may wait with data in their SYN (TCP Fast Open); 0: none. The system must allow it: net.ipv4.tcp_fastopen.',
    swoole: 'tcp_fastopen',
  }),
  kernelReceiveBufferSize: option({
    kind: size({ min: 0, max: GIB }),
    default: { value: 0 },
    unit: 'bytes',
    help: "TCP and UDP: the kernel's buffer for what has come and was not read (SO_RCVBUF). UDP loses what does not fit. For TCP it ends the kernel's own adjustment. 0: the system's setting.",
    swoole: 'kernel_socket_recv_buffer_size',
  }),
  kernelSendBufferSize: option({
    kind: size({ min: 0, max: GIB }),
    default: { value: 0 },
    unit: 'bytes',
    help: "TCP and UDP: the kernel's buffer for what was sent and has not left (SO_SNDBUF). For TCP it ends the kernel's own adjustment. 0: the system's setting.",
    swoole: 'kernel_socket_send_buffer_size',
  }),
  sendBufferSize: option({
    kind: size({ min: 64 * KIB, max: GIB }),
    default: { value: 64 * MIB },
    unit: 'bytes',
    help: 'Hard limit of the bytes queued for sending on one connection (a single send may be larger); above it the connection is closed.',
    swoole: 'socket_buffer_size, buffer_output_size',
  }),
  highWatermark: option({
    kind: size({ min: 1, max: GIB }),
    default: {
      says: '1m, or 80 % of `sendBufferSize` when that is less',
      compute: (_machine, { sendBufferSize }) => Math.min(MIB, Math.floor(sendBufferSize * 0.8)),
    },
    unit: 'bytes',
    help: 'When this many bytes are queued for sending on a connection, `bufferFull` fires and `send` returns false.',
    swoole: 'buffer_high_watermark',
  }),
  lowWatermark: option({
    kind: size({ min: 0, max: GIB }),
    default: {
      says: 'a quarter of `highWatermark`',
      compute: (_machine, { highWatermark }) => Math.floor(highWatermark / 4),
    },
    unit: 'bytes',
    help: 'When the queued bytes have fallen to this, `bufferEmpty` fires and `send` returns true again.',
    swoole: 'buffer_low_watermark',
  }),
  maxQueuedBytes: option({
    kind: size({ min: 0, max: GIB }),
    default: { value: 0 },
    unit: 'bytes',
    help: 'Bytes one client may have sent that its worker has not handled yet (`receive` has not returned, or its promise has not settled); above it reading from this client pauses. 0: only the channel between reactor and worker limits it.',
    swoole: 'max_queued_bytes',
  }),
  maxBufferedBytes: option({
    kind: size({ min: 0, max: 1024 * GIB }),
    default: { value: 0 },
    unit: 'bytes',
    help: 'Bytes that the whole server may buffer, all connections together: queued for sending, and of incomplete packets. 0: only the limits of each connection apply.',
  }),
  overloadPolicy: option({
    kind: choice(['pause', 'close']),
    default: { value: 'pause' },
    help: 'What happens above `maxBufferedBytes`. `pause`: no client is read until a fifth has drained; `close`: connections are closed one after the other, those with the most queued bytes first.',
  }),
  channelSize: option({
    kind: size({ min: 64 * KIB, max: 64 * MIB }, 'power of two'),
    default: {
      says: '4m, or as much as keeps the channels of `workerNum` workers within 256m, but at least 128k',
      compute: (_machine, { mode, reactorNum, workerNum }) =>
        channelSizeFor((mode === 'base' ? workerNum : reactorNum) * workerNum),
    },
    unit: 'bytes',
    help: 'Size of each shared-memory ring between a reactor and a worker; when a ring is full, reading from the clients of that worker pauses. It takes memory for as much as has waited in it at one time.',
  }),
  delayReceive: option({
    kind: flag(),
    default: { value: false },
    help: 'No client is read before `confirm` (or `resume`), so that `connect` can check it first. A TLS handshake does not wait.',
    swoole: 'enable_delay_receive',
  }),
  framing: option({
    kind: framing(),
    default: { value: { type: 'raw' } },
    help: 'How packets are delimited in the bytes of a client: [framing.md](framing.md).',
    swoole:
      'open_eof_check, open_eof_split, package_eof, open_length_check, package_length_type, package_length_offset, package_body_offset, package_length_func',
  }),
  packageMaxLength: option({
    kind: size({ min: 1, max: GIB }),
    default: { value: 2 * MIB },
    unit: 'bytes',
    help: 'The largest packet, where packets are framed; a client that sends a larger one is disconnected.',
    swoole: 'package_max_length',
  }),
  bodyLimit: option({
    kind: size({ min: 0, max: 1024 * GIB * 8 }),
    default: { says: 'as `packageMaxLength`', compute: (_machine, { packageMaxLength }) => packageMaxLength },
    unit: 'bytes',
    help: 'HTTP: the largest body of a request, streamed or not; a larger one is answered 413.',
    swoole: 'upload_max_filesize',
  }),
  requestLineLimit: option({
    kind: size({ min: 128, max: 32 * KIB }),
    default: { value: 8 * KIB },
    unit: 'bytes',
    help: 'HTTP: the longest request line; a longer one is answered 414.',
  }),
  headerLimit: option({
    kind: size({ min: KIB, max: 24 * KIB }),
    default: { value: 16 * KIB },
    unit: 'bytes',
    help: 'HTTP: all header fields of a request together; more is answered 431.',
  }),
  headerCountLimit: option({
    kind: integer({ min: 4, max: 1000 }),
    default: { value: 100 },
    help: 'HTTP: header fields of a request; more are answered 431.',
  }),
  headersTimeoutMs: option({
    kind: integer({ min: 0, max: 2_147_483_647 }, 'ms'),
    default: { value: 10_000 },
    unit: 'ms',
    help: 'HTTP: how long the head of a request may take from its first byte on; then it is answered 408. 0: any time.',
  }),
  requestTimeoutMs: option({
    kind: integer({ min: 0, max: 2_147_483_647 }, 'ms'),
    default: { value: 60_000 },
    unit: 'ms',
    help: 'HTTP: how long the body of a request may pause, before the client gets 408; also how long the server may take to begin its answer, before the client gets 503. 0: any time.',
  }),
  minBodyBytesPerSecond: option({
    kind: integer({ min: 0, max: GIB }),
    default: { value: 0 },
    unit: 'bytes',
    help: 'HTTP: the least bytes per second of a body that a client must send, measured over each 5 s in which the server reads it (each `requestTimeoutMs`, where that is shorter); a slower one is answered 408. 0: only a pause of `requestTimeoutMs` ends it.',
  }),
  keepAliveTimeoutMs: option({
    kind: integer({ min: 0, max: 2_147_483_647 }, 'ms'),
    default: { value: 75_000 },
    unit: 'ms',
    help: 'HTTP: how long a connection without a request stays open. 0: any time.',
  }),
  halfCloseTimeoutMs: option({
    kind: integer({ min: 10, max: 2_147_483_647 }, 'ms'),
    default: {
      says: '30000; of an HttpServer at most `writeTimeoutMs` and `keepAliveTimeoutMs`',
      compute: (_machine, chosen) => halfCloseTimeout(chosen),
    },
    unit: 'ms',
    help: 'How long a client that has ended its side (half-close) may take nothing of a pending answer before the connection ends.',
  }),
  maxConcurrency: option({
    kind: integer({ min: 0, max: 10_000_000 }),
    default: { value: 0 },
    help: 'HTTP: requests (of HTTP/2: streams) in flight at once in the whole server; further ones are answered 503 with Retry-After. 0: any number.',
    swoole: 'max_concurrency',
  }),
  workerMaxConcurrency: option({
    kind: integer({ min: 0, max: 10_000_000 }),
    default: { value: 0 },
    help: 'HTTP: requests that one worker serves at once; further ones wait in that worker, in order, for `requestTimeoutMs` at most. 0: any number.',
    swoole: 'worker_max_concurrency',
    reloads: true,
  }),
  rateLimit: option({
    kind: rateLimit(),
    default: { value: null },
    help: 'HTTP: requests per second and client, over all workers: `{perSecond, burst, by, keys}`; further ones are answered 429 with Retry-After. [http.md](http.md).',
  }),
  trustProxy: option({
    kind: trustProxy(),
    default: { value: null },
    help: 'HTTP: proxies whose `X-Forwarded-For`, `-Proto`, `-Host` or `Forwarded` name the client of each request: addresses and ranges, `loopback`, `private`, `unix`, or how many proxies stand in front; `{from, fields}` chooses the fields. The last address that is not a proxy counts, for `remoteAddress`, `rateLimit` and URLs. [behind-a-proxy.md](behind-a-proxy.md).',
  }),
  sticky: option({
    kind: sticky(),
    default: { value: null },
    help: 'HTTP: requests with the same value of a cookie or a header go to the same worker: `{cookie: NAME}` or `{header: NAME}`; others go by `dispatchMode`. HTTP/1 alone. [dispatch.md](dispatch.md#sessions).',
  }),
  compression: option({
    kind: compression(),
    default: { value: null },
    help: 'HTTP: compress answers of workers for clients that accept it; `true`, or `{encodings, minLength, types, level}`.',
    swoole: 'http_compression, http_compression_level, compression_min_length, http_compression_types',
    reloads: true,
  }),
  staticFiles: option({
    kind: staticFiles(),
    default: { value: [] },
    help: 'HTTP: folders whose files are served without a worker: a path, or `{root, prefix, index, maxAge, …}`, or several. [http.md](http.md).',
    swoole: 'enable_static_handler, document_root, static_handler_locations, http_index_files',
  }),
  cluster: option({
    kind: cluster(),
    default: { value: null },
    help: 'Several machines: `{driver, url, nodeId, …}` of a Redis or NATS server that all nodes reach. Rooms, messages and jobs go beyond this machine then. [several-machines.md](several-machines.md).',
  }),
  websocketPath: option({
    kind: urlPath(),
    default: { value: '' },
    help: 'WebSocket: the path at which clients may become WebSockets; elsewhere an upgrade is a request as any other. Empty: every path.',
    reloads: true,
  }),
  allowedOrigins: option({
    kind: origins(),
    default: { value: '*' },
    help: 'WebSocket: pages whose scripts may connect: `"*"` all, `"same"` those of the host that they connect to, or a list such as `["https://example.com", "https://*.example.com"]`. Others get 403. Clients that are no browsers send no Origin, and are accepted.',
    reloads: true,
  }),
  maxMessageBytes: option({
    kind: size({ min: 1, max: GIB }),
    default: { value: MIB },
    unit: 'bytes',
    help: 'WebSocket: longest message of a client, also inflated; a longer one ends it with 1009.',
    swoole: 'package_max_length',
  }),
  pingIntervalMs: option({
    kind: integer({ min: 0, max: 2_147_483_647 }, 'ms'),
    default: { value: 30_000 },
    unit: 'ms',
    help: 'WebSocket: a client that has sent nothing for so long is sent a ping; after two without an answer its connection is reset. 0: never.',
  }),
  websocketCompression: option({
    kind: messageCompression(),
    default: { value: null },
    help: 'WebSocket: compress messages for clients that accept it (permessage-deflate, without context takeover); `true`, or `{threshold}`, the least number of bytes (1024).',
    swoole: 'websocket_compression',
  }),
  slowConsumer: option({
    kind: choice(slowConsumers),
    default: { value: 'close' },
    help: 'WebSocket: what becomes of a member of a room that does not keep up: `close` ends it with 1013, `drop` leaves messages out, `skipToLatest` leaves out all but the latest.',
  }),
  roomHighWatermark: option({
    kind: size({ min: 1024, max: GIB }),
    default: {
      says: '1m, or `sendBufferSize` when that is less',
      compute: (_machine, { sendBufferSize }) => Math.min(MIB, sendBufferSize),
    },
    unit: 'bytes',
    help: 'WebSocket: queued bytes from which a member of a room does not keep up; at most `sendBufferSize`, above which its connection is closed.',
  }),
  http2: option({
    kind: flag(),
    default: { says: 'true; with `sticky` false', compute: (_machine, { sticky }) => sticky === null },
    help: 'HTTP: speak HTTP/2 with clients that ask for it, by ALPN or by its preface (h2c).',
    swoole: 'open_http2_protocol',
  }),
  proxyProtocol: option({
    kind: addressRanges(),
    default: { value: [] },
    help: 'Addresses of load balancers that begin each connection with a PROXY header (version 1 or 2); clients have the address in the header, and connections from other addresses are refused. None: there is no header.',
  }),
  tls: option({
    kind: tls(),
    default: { value: null },
    help: 'Certificates: with them the port speaks TLS 1.2 and 1.3. [tls.md](tls.md) lists the settings.',
    swoole:
      'ssl_cert_file, ssl_key_file, ssl_passphrase, ssl_client_cert_file, ssl_verify_peer, ssl_protocols, ssl_ciphers, ssl_sni_certs',
  }),
  noDelay: option({
    kind: flag(),
    default: { value: true },
    help: 'Send small packets at once (TCP_NODELAY).',
    swoole: 'open_tcp_nodelay',
  }),
  keepAlive: option({
    kind: flag(),
    default: { value: false },
    help: 'Let the kernel probe idle connections (SO_KEEPALIVE).',
    swoole: 'open_tcp_keepalive',
  }),
  name: option({
    kind: text({ min: 0, max: 64 }),
    default: { value: '' },
    help: 'The name of the server where several run: `tswoole status NAME`. Empty: the name of its script, without the ending, or of its folder where the script is called server, index, main or app.',
  }),
  control: option({
    kind: flag(),
    default: { value: true },
    help: 'Whether the server takes commands from `tswoole` and other programs of this user: [operating.md](operating.md).',
  }),
  runDir: option({
    kind: path(80, 'the path of a folder'),
    default: { value: '' },
    help: 'Folder of the control socket, by which `tswoole` finds the server. Empty: `/run/tswoole` for root, `$XDG_RUNTIME_DIR/tswoole`, or a folder of this user among the temporary ones.',
  }),
  admin: option({
    kind: admin(),
    default: { value: null },
    help: 'An HTTP listener with `/metrics`, `/healthz`, `/readyz` and `/api/`: [metrics.md](metrics.md); with `dashboard: true` also [the dashboard](dashboard.md). A port alone listens on loopback.',
    swoole: 'admin_server',
  }),
  watch: option({
    kind: watch(),
    default: { value: [] },
    help: 'Reload when a file changes, for development: `true` for the folder of the script (without `node_modules` and hidden files), or paths.',
  }),
  daemonize: option({
    kind: flag(),
    default: { value: false },
    help: 'Run in the background, in a session of its own. The starting command returns when the server is up, or reports why it is not.',
    swoole: 'daemonize',
  }),
  pidFile: option({
    kind: path(),
    default: { value: '' },
    help: 'File with the pid of the master. It is locked: a second server with the same file does not start. Empty: none.',
    swoole: 'pid_file',
  }),
  user: option({
    kind: text({ min: 0, max: 64 }),
    default: { value: '' },
    help: 'User that workers, task workers and processes of your own run as; needs root. Empty: the user that starts the server.',
    swoole: 'user',
  }),
  group: option({
    kind: text({ min: 0, max: 64 }),
    default: { value: '' },
    help: 'Group of the same processes; needs root. Empty: the first group of `user`.',
    swoole: 'group',
  }),
  chroot: option({
    kind: path(),
    default: { value: '' },
    help: 'Folder that the same processes see as the root of all files, from `start()` on; needs root. Empty: none.',
    swoole: 'chroot',
  }),
  umask: option({
    kind: umask(),
    default: { value: -1 },
    help: 'Permissions removed from files that any process of the server creates, such as `0o027`. −1: inherited from the parent.',
  }),
  workingDir: option({
    kind: path(4096, 'the path of a folder'),
    default: { value: '' },
    help: 'Working directory of all processes from `start()` on. Empty: the one it was started in, also as a daemon. Relative paths among the options start from where the server was started, not from here.',
  }),
  cpuAffinity: option({
    kind: cores(),
    default: { value: [] },
    help: 'Cores that reactors and workers are bound to, in turn; `true`: all cores. None: the system decides.',
    swoole: 'open_cpu_affinity',
  }),
  logFile: option({
    kind: path(),
    default: { value: '' },
    help: 'File that all processes write their log to; a daemon writes its standard output and error there too. Empty: standard error, and nowhere in a daemon.',
    swoole: 'log_file',
  }),
  logFormat: option({
    kind: choice(['auto', 'text', 'json']),
    default: { value: 'auto' },
    help: 'The format of log lines. `auto`: text on a terminal, JSON in files and pipes.',
  }),
  logRotation: option({
    kind: logRotation(),
    default: { value: null },
    help: 'When the log file is rotated, and how many old files are kept.',
    swoole: 'log_rotation',
  }),
  accessLog: option({
    kind: accessLog(),
    default: { value: null },
    help: 'HTTP: a line for each request: `true`, a format, or `{format, file, skip}`. `format`: `combined`, `common` or `json`. `file`: `access.log` beside `logFile` if it is left out, or standard output without a `logFile`, which a daemon does not have. `skip`: `{paths, statusBelow}`. [operating.md](operating.md#access-log).',
  }),
  logger: option({
    kind: logger(),
    default: { value: null },
    help: 'Your own pino logger (or an object with the same methods) in place of all that. Every process creates one, because every process runs the script.',
    reloads: true,
  }),
  logLevel: option({
    kind: choice(['debug', 'info', 'warn', 'error', 'silent']),
    default: { value: 'info' },
    help: 'The least severe messages that are logged.',
    swoole: 'log_level',
  }),
  processTitle: option({
    kind: text({ min: 1, max: 64 }),
    default: { value: 'tswoole' },
    help: 'First word of the title of every process: `TITLE: master`, `TITLE: worker 0`.',
    swoole: 'swoole_set_process_name()',
  }),
  reactorBackend: option({
    kind: choice(['auto', 'epoll', 'poll']),
    default: { value: 'auto' },
    help: 'How descriptors are watched. `epoll`: Linux; `poll`: everywhere, slower; `auto`: the best one available.',
  }),
  ioUring: option({
    kind: flag(),
    default: { value: true },
    help: 'What goes to many connections at once (publications, the answers of one turn) enters the kernel in one call, by io_uring(7), where the system lets us. Off: by one send(2) each, for sandboxes that end a process because it asks.',
  }),
} as const;

/** The options that each further listen port may set for itself. */
export const listenNames = [
  'type',
  'host',
  'port',
  'path',
  'backlog',
  'protocol',
  'delayReceive',
  'framing',
  'packageMaxLength',
  'proxyProtocol',
  'trustProxy',
  'tls',
  'noDelay',
  'heartbeatIdleMs',
  'heartbeatCheckMs',
  'maxIdleMs',
  'keepAlive',
  'keepAliveIdleMs',
  'keepAliveIntervalMs',
  'keepAliveCount',
  'userTimeoutMs',
  'deferAccept',
  'fastOpen',
  'kernelReceiveBufferSize',
  'kernelSendBufferSize',
  'sendBufferSize',
  'highWatermark',
  'lowWatermark',
] as const;

export type OptionName = keyof typeof definitions;
export type ListenOptionName = (typeof listenNames)[number];

/** What a user may give for that option. */
export type GivenOf<N extends OptionName> =
  (typeof definitions)[N] extends Definition<infer Given, infer _> ? Given : never;
/** The checked value that the server uses. */
export type ResolvedOf<N extends OptionName> =
  (typeof definitions)[N] extends Definition<infer _, infer Resolved> ? Resolved : never;

/** The largest power of two with which all rings of all pairs fit into their limit. */
function channelSizeFor(pairs: number): number {
  const share = LIMIT_RINGS_BYTES / (pairs * RINGS_PER_PAIR);
  return clamp(2 ** Math.floor(Math.log2(share)), 128 * KIB, 4 * MIB);
}

export function heartbeatCheckFor(heartbeatIdleMs: number): number {
  return clamp(Math.floor(heartbeatIdleMs / 2), 10, 60_000);
}

export function socketTypeOf(path: string): 'tcp' | 'unix' {
  return path === '' ? 'tcp' : 'unix';
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(Math.max(value, min), max);
}
