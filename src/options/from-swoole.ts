/** Swoole's own settings, turned into these options. */
import { join } from 'node:path';
import { describe, ServerError, told } from '../errors/index.js';
import { CHILD_VARIABLE } from '../util/child-variable.js';
import { refuseNoObject } from './check.js';
import type { CompressionOptions } from './compression.js';
import type { Framing } from './framing.js';
import { nearest } from './nearest.js';
import type { ServerOptions } from './option-types.js';
import type { StaticFolderOptions } from './static-files.js';
import type { TlsOptions } from './tls.js';

/** What `Server::set` takes in Swoole. */
export type SwooleSettings = Readonly<Record<string, unknown>>;

/** A setting that changes nothing here. */
export interface UnusedSetting {
  /** As Swoole has it. */
  readonly name: string;
  /** A sentence that says why it has no counterpart here. */
  readonly why: string;
}

/** What `fromSwoole()` takes besides the settings. */
export interface FromSwooleOptions {
  /** Called for each setting without a counterpart; without it each is a process warning (code TSWOOLE_SETTING). */
  readonly unused?: (setting: UnusedSetting) => void;
}

type Options = { -readonly [K in keyof ServerOptions]: ServerOptions[K] };
type Turn = (options: Options, value: unknown, name: string) => void;

const same =
  (name: keyof ServerOptions): Turn =>
  (options, value) => {
    Object.assign(options, { [name]: value });
  };

/** Swoole counts in seconds. */
const seconds =
  (name: keyof ServerOptions): Turn =>
  (options, value, setting) => {
    if (typeof value !== 'number' || !(value >= 0)) refuse(setting, 'a number of seconds', value);
    Object.assign(options, { [name]: Math.round(value * 1000) });
  };

/** One of Swoole's numbers, by its meaning. */
const numbered =
  (name: keyof ServerOptions, meanings: Readonly<Record<number, string | null>>): Turn =>
  (options, value, setting) => {
    const meaning = meanings[Number(value)];
    if (meaning === undefined) refuse(setting, `one of ${Object.keys(meanings).join(', ')}`, value);
    Object.assign(options, { [name]: meaning });
  };

const dispatchModes = {
  1: 'round-robin',
  2: 'fd-mod',
  3: 'idle',
  4: 'ip-mod',
  5: 'uid-mod',
  7: 'idle',
  8: 'least-connections',
  9: 'least-busy',
  10: 'least-busy',
};
/** Swoole can rotate each month and each minute too; the nearest is taken. */
const logRotations = { 0: null, 1: 'daily', 2: 'daily', 3: 'hourly', 4: 'hourly' };
const logLevels = { 0: 'debug', 1: 'debug', 2: 'info', 3: 'info', 4: 'warn', 5: 'error', 6: 'silent' };

/** Framing is made of several settings: see `framingOf`. */
const forFraming: Turn = () => {};

/** TLS too: see `tlsOf`. */
const forTls: Turn = () => {};

/** See `compressionOf` and `staticFilesOf`. */
const forCompression: Turn = () => {};
const forStaticFiles: Turn = () => {};

/** In Swoole it is set by `true`. */
const FAST_OPEN_QUEUE = 256;

const turns: Readonly<Record<string, Turn>> = {
  worker_num: same('workerNum'),
  reactor_num: same('reactorNum'),
  task_worker_num: same('taskWorkerNum'),
  max_request: same('maxRequest'),
  max_request_grace: same('maxRequestJitter'),
  task_max_request: same('taskMaxRequest'),
  max_wait_time: seconds('maxWaitMs'),
  dispatch_mode: numbered('dispatchMode', dispatchModes),
  max_connection: same('maxConnections'),
  max_conn: same('maxConnections'),
  backlog: same('backlog'),
  socket_buffer_size: same('sendBufferSize'),
  kernel_socket_recv_buffer_size: same('kernelReceiveBufferSize'),
  kernel_socket_send_buffer_size: same('kernelSendBufferSize'),
  output_buffer_size: same('sendBufferSize'),
  buffer_output_size: same('sendBufferSize'),
  buffer_high_watermark: same('highWatermark'),
  buffer_low_watermark: same('lowWatermark'),
  heartbeat_idle_time: seconds('heartbeatIdleMs'),
  heartbeat_check_interval: seconds('heartbeatCheckMs'),
  max_idle_time: seconds('maxIdleMs'),
  open_tcp_nodelay: same('noDelay'),
  open_tcp_keepalive: same('keepAlive'),
  tcp_keepidle: seconds('keepAliveIdleMs'),
  tcp_keepinterval: seconds('keepAliveIntervalMs'),
  tcp_keepcount: same('keepAliveCount'),
  tcp_user_timeout: same('userTimeoutMs'),
  tcp_defer_accept: (options, value) => {
    options.deferAccept = Boolean(value);
  },
  tcp_fastopen: (options, value) => {
    options.fastOpen = value === true ? FAST_OPEN_QUEUE : Number(value);
  },
  enable_reuse_port: same('reusePort'),
  enable_delay_receive: same('delayReceive'),
  max_queued_bytes: same('maxQueuedBytes'),
  daemonize: (options, value) => {
    options.daemonize = Boolean(value);
  },
  pid_file: same('pidFile'),
  log_file: same('logFile'),
  log_rotation: numbered('logRotation', logRotations),
  user: same('user'),
  group: same('group'),
  chroot: same('chroot'),
  open_cpu_affinity: (options, value) => {
    options.cpuAffinity = Boolean(value);
  },
  log_level: numbered('logLevel', logLevels),
  package_max_length: same('packageMaxLength'),
  open_http_protocol: (options, value) => {
    options.protocol = value ? 'http' : 'raw';
  },
  open_websocket_protocol: (options, value) => {
    if (value) options.protocol = 'websocket';
  },
  websocket_compression: (options, value) => {
    options.websocketCompression = Boolean(value);
  },
  open_http2_protocol: (options, value) => {
    options.http2 = Boolean(value);
  },
  max_concurrency: same('maxConcurrency'),
  worker_max_concurrency: same('workerMaxConcurrency'),
  upload_max_filesize: same('bodyLimit'),
  http_compression: forCompression,
  http_compression_level: forCompression,
  http_gzip_level: forCompression,
  compression_min_length: forCompression,
  http_compression_min_length: forCompression,
  http_compression_types: forCompression,
  compression_types: forCompression,
  enable_static_handler: forStaticFiles,
  document_root: forStaticFiles,
  static_handler_locations: forStaticFiles,
  http_index_files: forStaticFiles,
  open_eof_check: forFraming,
  open_eof_split: forFraming,
  package_eof: forFraming,
  open_length_check: forFraming,
  package_length_type: forFraming,
  package_length_offset: forFraming,
  package_body_offset: forFraming,
  package_body_start: forFraming,
  ssl_cert_file: forTls,
  ssl_key_file: forTls,
  ssl_passphrase: forTls,
  ssl_cafile: forTls,
  ssl_client_cert_file: forTls,
  ssl_verify_peer: forTls,
  ssl_allow_self_signed: forTls,
  ssl_ciphers: forTls,
  ssl_sni_certs: forTls,
};

const NOT_YET = 'this version does not have it yet';
const PINGS = 'the reactor answers pings, and sends its own after pingIntervalMs';
const ALWAYS = 'Node always works that way';
const IN_REACTOR = 'a function cannot be passed to the reactor threads; name a module instead:';

/** Settings without a counterpart here, with the reason. */
export const unused: Readonly<Record<string, string>> = {
  enable_coroutine: `callbacks may be async: ${ALWAYS}`,
  task_enable_coroutine: `callbacks may be async: ${ALWAYS}; taskConcurrency sets how many tasks run at once`,
  max_coroutine: 'promises are not counted',
  max_coro_num: 'promises are not counted',
  hook_flags: `every wait is asynchronous: ${ALWAYS}`,
  send_yield: 'send never blocks; await conn.drain()',
  send_timeout: 'use writeTimeoutMs',
  reload_async: 'every reload lets the old workers finish',
  enable_unsafe_event: 'connect and close fire in every dispatch mode',
  discard_timeout_request: 'packets of a connection that has ended are delivered before its close event',
  single_thread: 'reactors are always threads',
  package_length_func: `${IN_REACTOR} framing: {type: 'custom', length: './frame.js'}`,
  dispatch_func: `${IN_REACTOR} dispatchMode: {module: './dispatch.js'}`,
  message_queue_key: 'tasks travel in shared memory',
  task_ipc_mode: 'tasks travel in shared memory',
  task_tmpdir: 'large tasks travel in anonymous memory, not in files',
  event_object: 'callbacks always get objects',
  task_object: 'callbacks always get objects',
  task_use_object: 'callbacks always get objects',
  start_session_id: 'the first session id cannot be chosen',
  bootstrap: 'processes, not threads',
  init_arguments: 'processes, not threads',
  input_buffer_size: 'use packageMaxLength',
  buffer_input_size: 'use packageMaxLength',
  ssl_protocols: 'TLS 1.2 and 1.3; tls.minVersion and tls.maxVersion narrow it',
  ssl_prefer_server_ciphers: 'OpenSSL decides',
  ssl_compress: 'TLS has no compression any more',
  ssl_dhparam: 'OpenSSL chooses',
  ssl_ecdh_curve: 'OpenSSL chooses',
  ssl_capath: 'name one file: tls.ca',
  ssl_verify_depth: 'the whole chain is checked',
  ssl_method: 'TLS 1.2 and 1.3; tls.minVersion and tls.maxVersion narrow it',
  open_mqtt_protocol: NOT_YET,
  open_redis_protocol: NOT_YET,
  open_websocket_close_frame: 'the close event has the code and the reason',
  open_websocket_ping_frame: PINGS,
  open_websocket_pong_frame: PINGS,
  websocket_subprotocol: 'answer the handshake event by accept({ protocol })',
  cpu_affinity_ignore: 'name the cores that are used: cpuAffinity',
  stats_file: 'scrape /metrics (option admin), or read "tswoole status --json"',
  stats_timer_interval: 'figures are read on demand',
  admin_server: 'give the option admin: a port, or {port, host, token}',
  http_autoindex: 'folders are not listed',
  http_parse_cookie: 'cookies are parsed on demand',
  http_parse_post: 'forms are parsed on demand: req.form()',
  http_parse_files: 'forms are parsed on demand: req.form()',
  upload_tmp_dir: 'files of forms are in the temporary folder of the system; req.form({ folder }) names another one',
};

/**
 * Turns the array that Swoole's `Server::set` takes into options, with its units (seconds become milliseconds) and its
 * numbers (dispatch_mode 2 becomes 'fd-mod').
 * @throws ServerError ERR_OPTION_UNKNOWN for a name unknown to Swoole, ERR_OPTION_VALUE, ERR_OPTION_TYPE
 */
export function fromSwoole(settings: SwooleSettings, { unused: tell = warn }: FromSwooleOptions = {}): ServerOptions {
  refuseNoObject(settings);
  const options: Options = {};
  for (const [name, value] of Object.entries(settings)) {
    const turn = turns[name];
    if (turn !== undefined) turn(options, value, name);
    else tell({ name, why: unused[name] ?? unknown(name) });
  }
  const framing = framingOf(settings);
  if (framing !== undefined) options.framing = framing;
  const compression = compressionOf(settings);
  if (compression !== undefined) options.compression = compression;
  const staticFiles = staticFilesOf(settings);
  if (staticFiles !== undefined) options.staticFiles = staticFiles;
  const tls = tlsOf(settings);
  if (tls !== undefined) options.tls = tls;
  if (options.heartbeatIdleMs === undefined && options.heartbeatCheckMs !== undefined) {
    options.heartbeatIdleMs = options.heartbeatCheckMs * 2; // as Swoole does
  }
  return options;
}

/** In Swoole the delimiter takes precedence over the length. */
function framingOf(settings: SwooleSettings): Framing | undefined {
  if (settings['open_eof_split'] || settings['open_eof_check']) {
    const delimiter = settings['package_eof'] ?? '\r\n\r\n';
    return { type: 'eof', delimiter: delimiter as string, split: Boolean(settings['open_eof_split']) };
  }
  if (!settings['open_length_check']) return undefined;
  const bodyOffset = settings['package_body_offset'] ?? settings['package_body_start'] ?? 4;
  return {
    type: 'length',
    field: (settings['package_length_type'] ?? 'N') as string,
    offset: (settings['package_length_offset'] ?? 0) as number,
    bodyOffset: bodyOffset as number,
  };
}

/** In Swoole compression is on by default; here only where a setting names it. */
function compressionOf(settings: SwooleSettings): CompressionOptions | boolean | undefined {
  const level = settings['http_compression_level'] ?? settings['http_gzip_level'];
  const minLength = settings['compression_min_length'] ?? settings['http_compression_min_length'];
  const types = settings['http_compression_types'] ?? settings['compression_types'];
  if (settings['http_compression'] === false) return false;
  const given = { level, minLength, types };
  if (settings['http_compression'] === undefined && Object.values(given).every((value) => value === undefined)) return;
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)); // checked where it is used
}

/** Swoole looks up the whole path below its root, for every location. */
function staticFilesOf(settings: SwooleSettings): StaticFolderOptions[] | undefined {
  const { enable_static_handler: isOn, document_root: root, static_handler_locations: locations } = settings;
  if (!isOn || root === undefined) return undefined;
  const index = settings['http_index_files'] as readonly string[] | undefined;
  const prefixes = Array.isArray(locations) && locations.length > 0 ? (locations as string[]) : ['/'];
  return prefixes.map((prefix) => ({
    root: join(String(root), prefix),
    prefix,
    ...(prefix === '/' ? {} : { fallthrough: false }),
    ...(index === undefined ? {} : { index }),
  }));
}

function tlsOf(settings: SwooleSettings): TlsOptions | undefined {
  const { ssl_cert_file: cert, ssl_key_file: key } = settings as Record<string, string | undefined>;
  if (cert === undefined && key === undefined) return undefined;
  const tls: Record<string, unknown> = { cert, key };
  const ca = settings['ssl_client_cert_file'] ?? settings['ssl_cafile'];
  if (ca !== undefined) tls['ca'] = ca;
  if (settings['ssl_passphrase'] !== undefined) tls['passphrase'] = settings['ssl_passphrase'];
  if (settings['ssl_ciphers'] !== undefined) tls['ciphers'] = settings['ssl_ciphers'];
  if (settings['ssl_verify_peer']) {
    tls['requestCert'] = true;
    tls['rejectUnauthorized'] = !settings['ssl_allow_self_signed'];
  }
  const names = (settings['ssl_sni_certs'] ?? {}) as Record<string, Record<string, unknown>>;
  const sni = Object.entries(names).map(([name, one]) => [
    name,
    { cert: one['ssl_cert_file'], key: one['ssl_key_file'] },
  ]);
  if (sni.length > 0) tls['sni'] = Object.fromEntries(sni);
  return tls as unknown as TlsOptions; // checked where it is used
}

/** Every process of a server runs the script: only the first one warns. */
const isFirstProcess = process.env[CHILD_VARIABLE] === undefined;

function warn({ name, why }: UnusedSetting): void {
  if (!isFirstProcess) return;
  process.emitWarning(`the Swoole setting "${name}" changes nothing here: ${why}`, { code: 'TSWOOLE_SETTING' });
}

function unknown(name: string): never {
  const near = nearest(name, [...Object.keys(turns), ...Object.keys(unused)]);
  throw told(new ServerError('ERR_OPTION_UNKNOWN', { name, ...(near === undefined ? {} : { nearest: near }) }));
}

function refuse(name: string, expected: string, value: unknown): never {
  throw told(new ServerError('ERR_OPTION_VALUE', { name, expected, received: describe(value) }));
}
