import { type DetailOf, type Fields, fitsFields } from './fields.js';

/** One kind of failure: the fields of its detail, the sentence made of them, and the advice for the reader. */
export interface ErrorEntry<F extends Fields> {
  /** The detail, field by field. The type of `detail`, its check when it crosses processes and the docs come from it. */
  readonly fields: F;
  /** What was expected and what came. */
  readonly sentence: (detail: DetailOf<F>) => string;
  /** What to do next. */
  readonly advice: string;
  /** The same for that very case, where there is more to say, or something else. */
  readonly adviceFor?: (detail: DetailOf<F>) => string | undefined;
}

const TRIED_IN_VAIN =
  'Correct user, password, rights, TLS or database, here or at the engine; until then each new connection is refused too.';
const MAY_HAVE_HAPPENED = 'What was asked may have been carried out all the same.';
/** A state of ERR_CLUSTER_DOWN: the connection is not there. Any other is what the engine, or its client, has said. `{`: of the docs. */
const LOST = /^(?:down|lost|closed|silent|busy|starting|stopped|reconnecting|not |\{)/;
/** What the engine said is true until somebody corrects it. */
const REFUSED =
  /WRONGPASS|NOAUTH|NOPERM|cannot be selected|authentication failed|no pg_hba|(?:role|database) "[^"]*" does not exist|certificate/i;
const REFUSING = /^refusing: /;
const DROP_ADDRESS = 'Drop an address at the close event of its connection.';
const BROKER_IS_SLOW =
  'The broker process stands still, or does not keep up: try later, and less at once, or raise "messageBufferSize".';
/** `publication`. */
const LOST_FOR_OTHERS =
  'A publication is lost for other nodes, which are told of a gap (clusterGap) once that takes messages again; members of a room on this node have got it.';
const GIVE_JOBS = 'Give cluster: {driver, url, jobs: {}} to the server; docs/jobs.md.';

/** The option "cluster" in a script, in the environment and on the command line. */
const OF_CLUSTER = /^(?:cluster|TSWOOLE_OPTION_CLUSTER|--cluster)\b/;

function pageOfCluster(name: string): string {
  return /\.jobs\b/.test(name) ? 'docs/jobs.md' : 'docs/several-machines.md';
}

function connectionOf({
  fd,
  node,
  address,
}: {
  fd: number;
  node?: string | undefined;
  address?: string | undefined;
}): string {
  return address === undefined ? `fd ${fd}` : `fd ${fd} on node "${node}" (${address})`;
}

const entry = <const F extends Fields>(it: ErrorEntry<F>): ErrorEntry<F> => it;

/**
 * Every error tswoole throws, once. The code is the contract; the sentence is help and may change.
 * `received` is always the result of `describe()` for the received value.
 */
export const errorTable = {
  ERR_OPTION_UNKNOWN: entry({
    fields: { name: 'string', nearest: 'string?', known: 'string?', others: 'string?' },
    sentence: ({ name, nearest, known, others }) =>
      `There is no option "${name}"${nearestName(nearest)}.${known === undefined ? '' : ` There are: ${known}.`}${unknownToo(others)}`,
    advice: 'Correct the name or remove it; docs/options.md lists the options of a server.',
    adviceFor: ({ known }) => (known === undefined ? undefined : 'Correct the name or remove it.'),
  }),
  ERR_OPTION_TYPE: entry({
    fields: { name: 'string', expected: 'string', received: 'string' },
    sentence: ({ name, expected, received }) => `Option "${name}" must be ${expected}, received ${received}.`,
    advice: 'Pass such a value.',
  }),
  ERR_OPTION_RANGE: entry({
    fields: { name: 'string', expected: 'string', received: 'string' },
    sentence: ({ name, expected, received }) => `Option "${name}" must be ${expected}, received ${received}.`,
    advice: 'Pass such a value.',
  }),
  ERR_OPTION_VALUE: entry({
    fields: { name: 'string', expected: 'string', received: 'string' },
    sentence: ({ name, expected, received }) => `Option "${name}" must be ${expected}, received ${received}.`,
    advice: 'Correct the value; docs/options.md says what it may be.',
    adviceFor: ({ name }) =>
      OF_CLUSTER.test(name) ? `Correct the value; ${pageOfCluster(name)} says more.` : undefined,
  }),
  ERR_CONFIG: entry({
    fields: { file: 'string', why: 'string' },
    sentence: ({ file, why }) => `The config file ${file} cannot be used: ${why}.`,
    advice: 'Correct it; docs/config.md describes the file.',
  }),
  ERR_CONFIG_KEY: entry({
    fields: { file: 'string', app: 'string?', key: 'string', nearest: 'string?', others: 'string?' },
    sentence: ({ file, app, key, nearest, others }) =>
      `The config file ${file} has an unknown key "${key}"${ofApp(app)}${nearestName(nearest)}.${unknownToo(others)}`,
    advice: 'Correct the key or remove it; docs/config.md lists them.',
  }),
  ERR_CONFIG_VALUE: entry({
    fields: { file: 'string', app: 'string?', key: 'string', expected: 'string', received: 'string' },
    sentence: ({ file, app, key, expected, received }) =>
      `In the config file ${file}, "${key}"${ofApp(app)} must be ${expected}, received ${received}.`,
    advice: 'Correct the value; docs/config.md describes each key.',
  }),
  ERR_OPTION_CONFLICT: entry({
    fields: { name: 'string', other: 'string', why: 'string' },
    sentence: ({ name, other, why }) => `Options "${name}" and "${other}" do not fit together: ${why}.`,
    advice: 'Change one of the two, or leave one out to get a default that fits.',
  }),
  ERR_EVENT_UNKNOWN: entry({
    fields: { name: 'string', nearest: 'string?' },
    sentence: ({ name, nearest }) => `There is no event "${name}"${nearestName(nearest)}.`,
    advice: 'Correct the name of the event given to on() or off().',
  }),
  ERR_CALLBACK_TYPE: entry({
    fields: { event: 'string', method: 'string?', received: 'string' },
    sentence: ({ event, method, received }) =>
      method === undefined
        ? `The callback of event "${event}" must be a function, received ${received}.`
        : `The callback that ${method} is given for "${event}" must be a function, received ${received}.`,
    advice: 'Pass a function as the second argument of on().',
    adviceFor: ({ method }) => (method === undefined ? undefined : 'Pass a function as its second argument.'),
  }),
  ERR_CALLBACK_MISSING: entry({
    fields: { event: 'string', where: 'string', port: 'number?' },
    sentence: ({ event, where, port }) =>
      `A callback for the event "${event}" is needed by ${where}${port === undefined ? '' : `, port ${port}`}, but there is none.`,
    advice:
      'Register it with on() on the server, or on its listen port, before start(): "receive" for streams, "packet" for datagrams, "request" (or fetch, listener, app, staticFiles) for HTTP, "task" (or server.jobs.work) for task workers. A port that asks for "receive" and has a "request" callback does not speak HTTP: create the server with new HttpServer, or the port with protocol "http".',
  }),
  ERR_CALLBACK_UNUSED: entry({
    fields: { event: 'string', speaks: 'string', where: 'string', port: 'number?' },
    sentence: ({ event, speaks, where, port }) =>
      `The callback for the event "${event}" of ${where}${port === undefined ? '' : `, port ${port}`}, is never called: that port is for ${speaks}.`,
    advice:
      'A port without a protocol of its own has that of the server. Pass protocol to listen() ("raw" for "receive", "http" for "request", "websocket" for "open" and "message"), type "udp" or "unix-dgram" for "packet"; or remove the callback.',
  }),
  ERR_NOT_COMMAND_LINE: entry({
    fields: { why: 'string' },
    sentence: ({ why }) => `start() works only in a program that Node runs from a file: ${why}.`,
    advice: 'Put the server into a file and run it with "node FILE": every process of the server runs that file again.',
  }),
  ERR_ONE_SERVER: entry({
    fields: {},
    sentence: () => 'This process already has a server; one process can have only one.',
    advice: 'Use listen() for more addresses on the same server, or start the other server as a program of its own.',
  }),
  ERR_ALREADY_STARTED: entry({
    fields: {},
    sentence: () => 'This server has already been started.',
    advice: 'Set options, listen ports and callbacks before start(), and call start() once.',
  }),
  ERR_NOT_STARTED: entry({
    fields: { method: 'string' },
    sentence: ({ method }) => `${method}() needs a started server, and this one has not been started.`,
    advice: 'Wait for start() first, or call it in a callback.',
  }),
  ERR_PLATFORM: entry({
    fields: { platform: 'string', why: 'string' },
    sentence: ({ platform, why }) => `tswoole cannot run on ${platform}: ${why}.`,
    advice: 'Run it on Linux (x64 or arm64) or macOS; on Windows use WSL 2 or a container.',
  }),
  ERR_KOFFI: entry({
    fields: { platform: 'string', why: 'string' },
    sentence: ({ platform, why }) =>
      `The package koffi, by which tswoole calls the system, must have its binary for ${platform}, and cannot be loaded: ${why}.`,
    advice:
      'It is a package of its own (@koromix/koffi-…), which --omit=optional and a lock file of another platform leave out. Install on this platform: rm -rf node_modules && npm install --include=optional.',
  }),
  ERR_PORT_IN_USE: entry({
    fields: { host: 'string', port: 'number', holder: 'string?' },
    sentence: ({ host, port, holder }) =>
      `${address(host, port)} must be free to listen on, but ${holder ?? 'another process'} is using it.`,
    advice:
      'Stop that process, choose another port, or use port 0 to get a free one. A server of your own that runs already (`tswoole list`) takes a changed script by `tswoole reload`.',
  }),
  ERR_PATH_IN_USE: entry({
    fields: { path: 'string', holder: 'string' },
    sentence: ({ path, holder }) => `The path ${path} must be free to listen on, but there is ${holder}.`,
    advice: 'Stop that server, remove the file, or choose another path.',
  }),
  ERR_LISTEN_PATH: entry({
    fields: { path: 'string', code: 'string', syscall: 'string' },
    sentence: ({ path, code, syscall }) =>
      `The unix socket ${path} cannot be listened on: ${syscall} failed with ${code}.`,
    advice: 'Check that its folder exists and is writable, and that the path has less than 108 bytes.',
  }),
  ERR_FILE: entry({
    fields: { path: 'string', why: 'string', status: 'number?' },
    sentence: ({ path, why, status }) =>
      `The file ${path} cannot be sent${status === undefined ? '' : ` (status ${status})`}: ${why}.`,
    advice: 'Give the path of a file that the server may read.',
  }),
  ERR_FILE_RANGE: entry({
    fields: { path: 'string', offset: 'string', length: 'string', size: 'number' },
    sentence: ({ path, offset, length, size }) =>
      `The file ${path} has ${size} bytes; an offset of ${offset} and a length of ${length} are not within it.`,
    advice: 'Give offset and length as integers, offset + length at most the size of the file.',
  }),
  ERR_ACTIVATION: entry({
    fields: { inherited: 'string', declared: 'string' },
    sentence: ({ inherited, declared }) =>
      `This process was started with sockets (LISTEN_FDS) that no listen port declares: ${inherited}; declared are ${declared}.`,
    advice:
      'Declare a listen port of the same type and address, or remove the socket from the unit that starts the server.',
  }),
  ERR_TLS_FILE: entry({
    fields: { path: 'string', code: 'string', why: 'string?' },
    sentence: ({ path, code, why }) =>
      `A certificate, or its key, cannot be read: ${path} (${code}${why === undefined ? '' : `: ${why}`}).`,
    advice:
      'Give PEM text, or the path of a PEM file that this user may read; paths are relative to the folder of the script.',
  }),
  ERR_TLS_KEYS: entry({
    fields: { name: 'string', why: 'string' },
    sentence: ({ name, why }) => `The TLS settings${name === '' ? '' : ` for ${name}`} cannot be used: ${why}.`,
    advice: 'Check that cert and key are PEM, that they belong together, and that ca, ciphers and versions are right.',
  }),
  ERR_PORT_PRIVILEGED: entry({
    fields: { host: 'string', port: 'number' },
    sentence: ({ host, port }) => `Listening on ${address(host, port)} needs a privilege this process does not have.`,
    advice:
      'Use a port from 1024 up, or give Node the right with: setcap cap_net_bind_service=+ep "$(command -v node)".',
  }),
  ERR_LISTEN: entry({
    fields: { host: 'string', port: 'number', code: 'string', syscall: 'string' },
    sentence: ({ host, port, code, syscall }) =>
      `Could not listen on ${address(host, port)}: ${syscall} failed with ${code}.`,
    advice: 'Check that the host is an address of this machine and that the name resolves.',
  }),
  ERR_FRAMING_MODULE: entry({
    fields: { module: 'string', why: 'string' },
    sentence: ({ module, why }) => `The module for custom framing, ${module}, cannot be used: ${why}.`,
    advice:
      'It must export a function packetLength(buffer) that returns the length of the first packet, 0 if more bytes are needed, -1 if malformed.',
  }),
  ERR_DISPATCH_MODULE: entry({
    fields: { module: 'string', why: 'string' },
    sentence: ({ module, why }) => `The module for dispatch, ${module}, cannot be used: ${why}.`,
    advice: 'It must export a function dispatch(info) that returns a worker id, "discard", "close" or "fallback".',
  }),
  ERR_MANAGER_BOOT: entry({
    fields: { exitCode: 'number|null', signal: 'string|null', wrote: 'string?' },
    sentence: ({ exitCode, signal }) =>
      `The manager must become ready, but it ${ended(exitCode, signal)} while booting.`,
    advice: 'The cause, or what it wrote to stderr, says why.',
  }),
  ERR_WORKER_BOOT: entry({
    fields: { workerId: 'number', exitCode: 'number|null', signal: 'string|null', wrote: 'string?' },
    sentence: ({ workerId, exitCode, signal }) =>
      `Worker ${workerId} must become ready, but it ${ended(exitCode, signal)} while booting.`,
    advice:
      'The cause, or what it wrote to stderr, says why; code before start() and the workerStart callback run there.',
  }),
  ERR_BOOT_TIMEOUT: entry({
    fields: { role: 'string', workerId: 'number?', timeoutMs: 'number' },
    sentence: ({ role, workerId, timeoutMs }) =>
      `The ${role}${workerId === undefined ? '' : ` ${workerId}`} must be ready within ${timeoutMs} ms, and was not.`,
    advice: 'Make the code before start() and the workerStart callback faster, or raise the option "bootTimeoutMs".',
  }),
  ERR_RELOAD_FAILED: entry({
    fields: { why: 'string' },
    sentence: ({ why }) => `The reload failed and the old workers continue to serve: ${why}.`,
    advice: 'Correct the code of the worker and reload again.',
  }),
  ERR_RELOAD_CALLBACK: entry({
    fields: { event: 'string', timeoutMs: 'number' },
    sentence: ({ event, timeoutMs }) => `The ${event} callback must be done within ${timeoutMs} ms, and was not.`,
    advice: 'Make it faster, see that its promise settles, or raise the option "bootTimeoutMs".',
  }),
  ERR_RELOAD_RUNNING: entry({
    fields: {},
    sentence: () => 'A reload is running; only one can run at a time.',
    advice: 'Wait for the afterReload event, then reload again.',
  }),
  ERR_SHUTTING_DOWN: entry({
    fields: {},
    sentence: () => 'The server is shutting down and takes no new work.',
    advice: 'Start it again when it has ended.',
  }),
  ERR_START_ENDED: entry({
    fields: {},
    sentence: () => 'The server was stopped before its start was complete, and has ended in order.',
    advice: 'Start it again; a signal to the server, `tswoole stop` or shutdown() has stopped it.',
  }),
  ERR_WORKER_ID: entry({
    fields: { received: 'string', count: 'number', workers: 'number?' },
    sentence: ({ received, count, workers }) => {
      const now = workers === undefined ? '' : `; ${workers} workers run now`;
      return `A worker id must be an integer, 0 or more and below ${count}${now}, received ${received}.`;
    },
    advice: 'Use an id that server.workers or `tswoole workers` lists.',
  }),
  ERR_SESSION_NOT_FOUND: entry({
    fields: { fd: 'number', node: 'string?', address: 'string?' },
    sentence: (it) => `An open connection was expected, but none has ${connectionOf(it)}.`,
    advice: 'It was closed before, or never existed; check exists(fd) first, and drop an fd at its close event.',
    adviceFor: ({ address }) =>
      address === undefined
        ? undefined
        : `It was closed before, or that node has been started anew since. ${DROP_ADDRESS}`,
  }),
  ERR_SESSION_CLOSED: entry({
    fields: { fd: 'number', node: 'string?', address: 'string?' },
    sentence: (it) => `An open connection was expected, but the one with ${connectionOf(it)} is closed or closing.`,
    advice: 'Send before close(), and drop an fd at its close event.',
    adviceFor: ({ address }) => (address === undefined ? undefined : DROP_ADDRESS),
  }),
  ERR_SESSION_ID: entry({
    fields: { received: 'string' },
    sentence: ({ received }) => `An fd must be a positive integer below 2^53, received ${received}.`,
    advice: 'Use the fd of a connection that a callback was given.',
  }),
  ERR_SEND_BUFFER_FULL: entry({
    fields: { fd: 'number', queuedBytes: 'number', limitBytes: 'number' },
    sentence: ({ fd, queuedBytes, limitBytes }) =>
      `The data was taken, but the client of connection ${fd} does not keep up: ${queuedBytes} of at most ${limitBytes} bytes wait.`,
    advice: 'Wait for conn.drain() or bufferEmpty before you send more; above the limit the connection is closed.',
  }),
  ERR_ROOM_BUFFER_FULL: entry({
    fields: { queuedBytes: 'number', limitBytes: 'number' },
    sentence: ({ queuedBytes, limitBytes }) =>
      `Nothing more is taken for rooms: ${queuedBytes} of at most ${limitBytes} bytes wait for a reactor that does not keep up.`,
    advice: 'Publish less at once, or raise the option "sendBufferSize".',
  }),
  ERR_ROOM_NAME: entry({
    fields: { received: 'string' },
    sentence: ({ received }) =>
      `The name of a room must be a well-formed string of 1 to 128 bytes (UTF-8), received ${received}.`,
    advice: 'Give a text; where it may be longer, for example its hash.',
  }),
  ERR_ROOM_QUESTION: entry({
    fields: { why: 'string' },
    sentence: ({ why }) => `Who is in a room can be asked by a worker, and was not answered: ${why}.`,
    advice: 'Ask in a callback of a connection; roomSize() and rooms can be read in every process.',
  }),
  ERR_NO_ROOMS: entry({
    fields: {},
    sentence: () => 'Rooms need a port that speaks WebSocket, and this server has none.',
    advice: 'Make a WebSocketServer in place of the HttpServer: it serves requests as well.',
  }),
  ERR_ROOM_LIMIT: entry({
    fields: { room: 'string', maxRooms: 'number' },
    sentence: ({ room, maxRooms }) =>
      `The room "${room}" cannot be made: there are as many as maxRooms allows, ${maxRooms}.`,
    advice: 'Raise the option "maxRooms", or leave rooms that are not needed: a room without members is gone.',
  }),
  ERR_CONNECTION_DATA: entry({
    fields: { why: 'string' },
    sentence: ({ why }) => `The data of a connection must be cloneable and take at most 4096 bytes: ${why}.`,
    advice: 'Keep a key in conn.data, and what it stands for in a database or a shared table.',
  }),
  ERR_NOT_WEBSOCKET: entry({
    fields: { fd: 'number' },
    sentence: ({ fd }) => `Connection ${fd} is no WebSocket.`,
    advice: 'Use the fd of a connection that "open" or "message" was called with.',
  }),
  ERR_IS_WEBSOCKET: entry({
    fields: { fd: 'number', method: 'string' },
    sentence: ({ fd, method }) =>
      `The method ${method}() cannot be used on connection ${fd}: it is a WebSocket, and bytes outside of a message would break its framing.`,
    advice: 'Send the content as a message, server.push(fd, bytes), or offer the file over HTTP and send its URL.',
  }),
  ERR_NO_WEBSOCKET: entry({
    fields: { command: 'string' },
    sentence: ({ command }) => `The command "${command}" is for a server that speaks WebSocket; this one does not.`,
    advice: 'Name another server ("tswoole list" shows them), or use a WebSocketServer.',
  }),
  ERR_CLOSE_CODE: entry({
    fields: { received: 'string' },
    sentence: ({ received }) =>
      `The code of a close must be 1000 to 1003, 1007 to 1014 or 3000 to 4999, and its reason a string, received ${received}.`,
    advice: 'Codes of your own begin at 4000 (RFC 6455, 7.4.2).',
  }),
  ERR_PING_LENGTH: entry({
    fields: { bytes: 'number' },
    sentence: ({ bytes }) => `The data of a ping must be at most 125 bytes, received ${bytes}.`,
    advice: 'Longer data goes as a message (RFC 6455, 5.5).',
  }),
  ERR_HANDSHAKE: entry({
    fields: { why: 'string' },
    sentence: ({ why }) => `A handshake must be answered by accept() or reject(): ${why}.`,
    advice:
      'Return accept(), accept({ protocol, data, headers }) or reject(status, body) from the "handshake" callback.',
  }),
  ERR_DATA_TYPE: entry({
    fields: { received: 'string', json: 'string?' },
    sentence: ({ received, json }) =>
      json === undefined
        ? `Data must be a string or a Uint8Array (a Buffer is one), received ${received}.`
        : `A value for json() must be one that JSON can express, received ${received}: ${json}.`,
    advice: 'Convert it first, for example with JSON.stringify().',
    adviceFor: ({ json }) =>
      json === undefined
        ? undefined
        : 'Make a bigint a string or a number, and leave out what refers back to an object around it.',
  }),
  ERR_CHANNEL_BROKEN: entry({
    fields: { why: 'string' },
    sentence: ({ why }) => `The channel between two processes of the server broke: ${why}.`,
    advice:
      'The process at the other end has ended, or does not read; the log of the manager says why. A client whose worker has died reconnects by itself.',
  }),
  ERR_PEER_FRAME: entry({
    fields: { why: 'string' },
    sentence: ({ why }) => `A process of the server sent a frame that is not valid: ${why}.`,
    advice: 'Make sure that every process runs the same version of tswoole; if it does, please report this.',
  }),
  ERR_HEARTBEAT: entry({
    fields: { why: 'string' },
    sentence: ({ why }) => `Silent clients cannot be listed by heartbeat(): ${why}.`,
    advice: 'Set heartbeatIdleMs for the server or for a port, or pass a time: heartbeat({ idleMs: 30_000 }).',
  }),
  ERR_UID: entry({
    fields: { received: 'string' },
    sentence: ({ received }) => `A uid must be an integer from 1 to 2^31 - 1, received ${received}.`,
    advice: 'Map your own identifiers to such a number before bind().',
  }),
  ERR_ALREADY_BOUND: entry({
    fields: { fd: 'number', uid: 'number' },
    sentence: ({ fd, uid }) => `Connection ${fd} must be unbound to be bound, but it is bound to uid ${uid}.`,
    advice: 'Bind a connection once.',
  }),
  ERR_DATAGRAM: entry({
    fields: { bytes: 'number', code: 'string' },
    sentence: ({ bytes, code }) =>
      `A datagram of ${bytes} bytes was to be sent, and the kernel refused it with ${code}.`,
    advice:
      'EMSGSIZE: it is too long; EAGAIN: too many wait to be sent; ECONNREFUSED, ENOENT: no socket receives there; ENOTCONN, EINVAL: its sender has no address, or no port, to be answered at.',
  }),
  ERR_DATAGRAM_ADDRESS: entry({
    fields: { received: 'string' },
    sentence: ({ received }) =>
      `A datagram goes to an IP address and a port from 1 to 65535, or to the path of a unix socket, received ${received}.`,
    advice: 'Use the address and port of a peer; look names up first.',
  }),
  ERR_NO_DATAGRAM_PORT: entry({
    fields: { address: 'string' },
    sentence: ({ address }) => `A datagram for ${address} needs a listen port of that type, and the server has none.`,
    advice: 'Add one: listen({type: "udp", host, port}) or listen({type: "unix-dgram", path}).',
  }),
  ERR_NO_TASK_WORKERS: entry({
    fields: {},
    sentence: () => 'A task needs task workers, and the option "taskWorkerNum" is 0.',
    advice: 'Set "taskWorkerNum" to the number of tasks that are to run at once.',
  }),
  ERR_TASK_IN_TASK_WORKER: entry({
    fields: { workerId: 'number' },
    sentence: ({ workerId }) =>
      `Task worker ${workerId} gave a task to itself or to any free task worker: it could wait for itself.`,
    advice: 'Do the work in place, or name another task worker: {workerId}.',
  }),
  ERR_TASK_WORKER_ID: entry({
    fields: { received: 'string', first: 'number', last: 'number' },
    sentence: ({ received, first, last }) =>
      `A task worker's id must be an integer from ${first} to ${last}, received ${received}.`,
    advice: 'The ids of task workers follow those of the workers; without an id the task goes to any free task worker.',
  }),
  ERR_TASK_QUEUE_FULL: entry({
    fields: { limit: 'number' },
    sentence: ({ limit }) =>
      `The task was not taken: ${limit} tasks wait already, or as many of this process are in flight.`,
    advice: 'Wait for tasks to end before you submit more, add task workers, or raise "taskQueueLimit".',
  }),
  ERR_TASK_TIMEOUT: entry({
    fields: { taskId: 'number', timeoutMs: 'number' },
    sentence: ({ taskId, timeoutMs }) => `Task ${taskId} had to end within ${timeoutMs} ms, and has not.`,
    advice: 'Give it more time with {timeoutMs}, or let it stop early by its task.signal.',
  }),
  ERR_TASK_GIVEN_UP: entry({
    fields: { taskId: 'number' },
    sentence: ({ taskId }) => `The caller of task ${taskId} no longer waits for it.`,
    advice: 'Stop the work: its result would be dropped. This is the reason of task.signal.',
  }),
  ERR_TASK_TIMEOUT_VALUE: entry({
    fields: { received: 'string' },
    sentence: ({ received }) => `The option timeoutMs must be a number of milliseconds above 0, received ${received}.`,
    advice: 'Leave it out to wait as long as the option "taskTimeoutMs" says.',
  }),
  ERR_TASK_WORKER_DIED: entry({
    fields: { workerId: 'number', exitCode: 'number', signal: 'string', why: 'string', tries: 'number' },
    sentence: ({ workerId, exitCode, signal, why, tries }) =>
      `Task worker ${workerId} ended while it ran the task (${why === '' ? '' : `${why}; `}${signal || `code ${exitCode}`}, try ${tries}).`,
    advice:
      'If the task may run twice, set "taskRetries" (for a job: "attempts"); the log of the manager says more about the death.',
  }),
  ERR_TASK_LIST: entry({
    fields: { received: 'string' },
    sentence: ({ received }) => `The list of taskWaitMulti() must be an array of task data, received ${received}.`,
    advice: 'Pass one element per task.',
  }),
  ERR_DATA_NOT_CLONEABLE: entry({
    fields: { why: 'string' },
    sentence: ({ why }) => `Data for another process must be cloneable by the structured clone algorithm: ${why}`,
    advice:
      'Leave out functions, symbols and the like, and pass the data they were made from; what is too deep can go as JSON text.',
  }),
  ERR_DATA_STORE: entry({
    fields: { bytes: 'number', why: 'string' },
    sentence: ({ bytes, why }) =>
      `The memory that processes share must take ${bytes} bytes on their way to another one, and did not: ${why}.`,
    advice: 'For ENOSPC and ENOMEM give the machine (or the container) more memory, or pass large data as a file.',
  }),
  ERR_SHARED_SCHEMA: entry({
    fields: { kind: 'string', name: 'string', there: 'string', declared: 'string' },
    sentence: ({ kind, name, there, declared }) =>
      `The shared ${kind} "${name}" is there as ${there}; the script declares it as ${declared}.`,
    advice: 'Restart the server to change what is shared, or give the new one another name.',
  }),
  ERR_SHARED_LIMIT: entry({
    fields: { kind: 'string', name: 'string', why: 'string' },
    sentence: ({ kind, name, why }) => `The shared ${kind} "${name}" cannot be made: ${why}.`,
    advice: 'Declare shared objects once, at the top of the script; put many small things into one table.',
  }),
  ERR_SHARED_NAME: entry({
    fields: { received: 'string' },
    sentence: ({ received }) =>
      `The name of a shared object must be a string of 1 to 256 bytes (UTF-8) that does not begin with "#", received "${received}".`,
    advice: 'Use another name.',
  }),
  ERR_SHARED_FILE: entry({
    fields: { path: 'string', why: 'string' },
    sentence: ({ path, why }) => `The file "${path}" cannot hold this shared object: ${why}.`,
    advice:
      'Make room or give rights where these are missing. Where it holds something else, give another path, or stop the server and move the file away.',
  }),
  ERR_SHARED_BUSY: entry({
    fields: { name: 'string' },
    sentence: ({ name }) =>
      `The shared object "${name}" was not attached: a process that is stopped holds the directory of shared objects.`,
    advice: 'Let the stopped process go on (SIGCONT), or end it.',
  }),
  ERR_SHARED_OWNERS: entry({
    fields: { limit: 'number' },
    sentence: ({ limit }) => `This shared memory is used by ${limit} processes already, and no more can use it.`,
    advice: 'Start fewer processes.',
  }),
  ERR_SHARED_TIMEOUT: entry({
    fields: { kind: 'string', name: 'string', timeoutMs: 'number' },
    sentence: ({ kind, name, timeoutMs }) =>
      `The shared ${kind} "${name}" was not to be had within ${timeoutMs} ms: others hold it.`,
    advice: 'Hold it for a shorter time, raise "timeoutMs", or see whether a process waits for what it holds itself.',
  }),
  ERR_SHARED_WAITERS: entry({
    fields: { kind: 'string', name: 'string', limit: 'number', option: 'string' },
    sentence: ({ kind, name, limit, option }) =>
      `The shared ${kind} "${name}" has room for ${limit} ${option}, and all are in use.`,
    advice: 'Raise that option of its constructor, or let fewer callers wait at a time.',
  }),
  ERR_SHARED_STUCK: entry({
    fields: { kind: 'string', name: 'string' },
    sentence: ({ kind, name }) =>
      `The shared ${kind} "${name}" was not changed: a process that is stopped is in the midst of changing it.`,
    advice: 'Let the stopped process go on (SIGCONT), or end it.',
  }),
  ERR_SHARED_VALUE_SIZE: entry({
    fields: { kind: 'string', name: 'string', what: 'string', bytes: 'number', limit: 'number', option: 'string' },
    sentence: ({ kind, name, what, bytes, limit, option }) =>
      `The shared ${kind} "${name}" takes a ${what} of at most ${limit} bytes ("${option}"), received ${bytes}.`,
    advice: 'Raise that option of its constructor, or share less: a name of what lies elsewhere.',
  }),
  ERR_SHARED_KEYS: entry({
    fields: { kind: 'string', name: 'string', limit: 'number' },
    sentence: ({ kind, name, limit }) => `The shared ${kind} "${name}" has ${limit} keys, and all are in use.`,
    advice: 'Raise the option "keys" of its constructor, or work on fewer keys at a time.',
  }),
  ERR_SHARED_ARGUMENT: entry({
    fields: { what: 'string', expected: 'string', received: 'string' },
    sentence: ({ what, expected, received }) => `The argument "${what}" must be ${expected}, received ${received}.`,
    advice: 'Pass a value of that kind.',
  }),
  ERR_LIMITER_BUSY: entry({
    fields: { name: 'string' },
    sentence: ({ name }) =>
      `The rate limiter "${name}" gave no answer: a process that is stopped holds the cell of the key.`,
    advice: 'Let the stopped process go on (SIGCONT), or end it.',
  }),
  ERR_TABLE_DECLARATION: entry({
    fields: { part: 'string', expected: 'string', received: 'string' },
    sentence: ({ part, expected, received }) => `The ${part} of a table must be ${expected}, received ${received}.`,
    advice: 'Correct the declaration: new Table(rows, { column: kind }, options).',
  }),
  ERR_TABLE_KEY: entry({
    fields: { table: 'string', received: 'string' },
    sentence: ({ table, received }) =>
      `A key of table "${table}" must be a string of well-formed Unicode, received ${received}.`,
    advice: 'Make a string of it; half of a surrogate pair cannot be stored.',
  }),
  ERR_TABLE_KEY_TOO_LONG: entry({
    fields: { table: 'string', bytes: 'number', limit: 'number' },
    sentence: ({ table, bytes, limit }) =>
      `A key of table "${table}" takes at most ${limit} bytes (UTF-8), received ${bytes}.`,
    advice: 'Raise keyBytes in the declaration of the table, or use a hash of the key.',
  }),
  ERR_TABLE_COLUMN: entry({
    fields: { table: 'string', column: 'string', columns: 'string' },
    sentence: ({ table, column, columns }) => `Table "${table}" has no column "${column}"; it has ${columns}.`,
    advice: 'Correct the name, or declare the column.',
  }),
  ERR_TABLE_VALUE: entry({
    fields: { table: 'string', part: 'string', expected: 'string', received: 'string' },
    sentence: ({ table, part, expected, received }) =>
      `In table "${table}", ${part} must be ${expected}, received ${received}.`,
    advice: 'Pass a value of the declared kind; nothing was changed.',
  }),
  ERR_TABLE_VALUE_TOO_LONG: entry({
    fields: { table: 'string', column: 'string', bytes: 'number', limit: 'number' },
    sentence: ({ table, column, bytes, limit }) =>
      `Column "${column}" of table "${table}" takes at most ${limit} bytes, received ${bytes}.`,
    advice: 'Raise the size of the column, or cut the value; nothing was changed.',
  }),
  ERR_TABLE_FULL: entry({
    fields: { table: 'string', rows: 'number' },
    sentence: ({ table, rows }) => `All ${rows} rows of table "${table}" are taken.`,
    advice: "Declare more rows, give rows an expiresMs, or set onFull to 'evict'.",
  }),
  ERR_TABLE_BUSY: entry({
    fields: { table: 'string' },
    sentence: ({ table }) =>
      `A process that is alive has been writing to table "${table}" for a second: it is in a long update() function, stopped, or gets no processor.`,
    advice:
      'Shorten the function; let a stopped process go on (SIGCONT), or end it; then write again. Reading works meanwhile.',
  }),
  ERR_TABLE_NESTED: entry({
    fields: { table: 'string' },
    sentence: ({ table }) =>
      `Table "${table}" was written to in the midst of another write: by the function of update(), or by a getter of a row.`,
    advice: 'Change the row that update() passes, and write other rows afterwards.',
  }),
  ERR_TABLE_CHANGE: entry({
    fields: { table: 'string', received: 'string' },
    sentence: ({ table, received }) =>
      `The method update() of table "${table}" takes a function that is done when it returns, received ${received}.`,
    advice: 'Await first, then call update() with a synchronous function; other processes wait while it runs.',
  }),
  ERR_MESSAGE_QUEUE_FULL: entry({
    fields: { workerId: 'number', limitBytes: 'number', cluster: 'string?' },
    sentence: ({ workerId, limitBytes, cluster }) => {
      const whose = cluster === undefined ? `process ${workerId}` : `the broker process (process ${workerId})`;
      return `The ${cluster ?? 'message'} for ${whose} was not taken: its share of the ${limitBytes} bytes that may wait in this process is full, and so is what all share.`;
    },
    advice: 'Await sendMessage(), or raise "messageBufferSize".',
    adviceFor: ({ cluster }) => {
      if (cluster === undefined) return undefined;
      return cluster === 'message' ? BROKER_IS_SLOW : `${LOST_FOR_OTHERS} ${BROKER_IS_SLOW}`;
    },
  }),
  ERR_MESSAGE_TO_SELF: entry({
    fields: { workerId: 'number' },
    sentence: ({ workerId }) => `Process ${workerId} sent a message to itself.`,
    advice: 'Call the function in place.',
  }),
  ERR_USER_PROCESS: entry({
    fields: { expected: 'string', received: 'string' },
    sentence: ({ expected, received }) => `The argument of addProcess() must be ${expected}, received ${received}.`,
    advice: 'Pass a function, or {name, run}.',
  }),
  ERR_TIMER: entry({
    fields: { expected: 'string', received: 'string' },
    sentence: ({ expected, received }) => `A timer takes ${expected}, received ${received}.`,
    advice: 'Call tick(ms, callback) or after(ms, callback); clearTimer() takes the number they return.',
  }),
  ERR_LOG_FILE: entry({
    fields: { path: 'string', why: 'string' },
    sentence: ({ path, why }) => `The log file ${path} must be writable, and it cannot be opened: ${why}.`,
    advice: 'Create its folder, or let the user of the server write there, or choose another file.',
  }),
  ERR_PID_FILE: entry({
    fields: { path: 'string', why: 'string' },
    sentence: ({ path, why }) => `The pid file ${path} must be writable, and it is not: ${why}.`,
    advice: 'Create its folder, or let the user of the server write there, or choose another "pidFile".',
  }),
  ERR_PID_FILE_LOCKED: entry({
    fields: { path: 'string', pid: 'number' },
    sentence: ({ path, pid }) =>
      `Only one server may hold the pid file ${path}, and ${pid === 0 ? 'another process' : `process ${pid}`} holds it already.`,
    advice: 'Stop that one ("tswoole stop"), reload it, or choose another "pidFile".',
  }),
  ERR_DAEMON: entry({
    fields: { how: 'string', logFile: 'string', wrote: 'string?' },
    sentence: ({ how, logFile }) => `The daemon had to report that it is up, and it ${how} (log file: ${logFile}).`,
    advice: 'Read the log file, or start it without "daemonize" to see its output.',
  }),
  ERR_USER: entry({
    fields: { name: 'string', option: 'string' },
    sentence: ({ name, option }) =>
      `The option "${option}" must name a ${option} that this system knows, received "${name}".`,
    advice: 'Correct the name, or create it with the tools of the system.',
  }),
  ERR_NOT_ROOT: entry({
    fields: { option: 'string' },
    sentence: ({ option }) => `The option "${option}" needs a server started by root, and this one was not.`,
    advice: 'Start it as root, or leave the option out and start it as the user it is to run as.',
  }),
  ERR_CORES: entry({
    fields: { received: 'string', allowed: 'string' },
    sentence: ({ received, allowed }) =>
      `The option "cpuAffinity" must name cores this process may use (${allowed}), received ${received}.`,
    advice: 'Name other cores, or give true to use them all.',
  }),
  ERR_SCALE: entry({
    fields: { why: 'string' },
    sentence: ({ why }) => `The number of workers cannot be changed: ${why}.`,
    advice: 'Set maxWorkerNum to the largest number you need; it needs PROCESS mode.',
  }),
  ERR_PROFILE: entry({
    fields: { why: 'string' },
    sentence: ({ why }) => `The process cannot take a profile: ${why}.`,
    advice: 'See docs/operating.md; the metrics show which process is busy, even when it hangs.',
  }),
  ERR_HTTP_APP: entry({
    fields: { path: 'string', why: 'string' },
    sentence: ({ path, why }) => `${path} cannot answer requests: ${why}.`,
    advice:
      'Mend what the cause names; where there is none, export the app (`export default app`; in CommonJS `module.exports = app`), or let it listen(): docs/frameworks.md shows it for each framework.',
  }),
  ERR_RELOAD: entry({
    fields: { why: 'string', generation: 'number?' },
    sentence: ({ why, generation }) =>
      generation === undefined
        ? `The workers were not replaced: ${why}.`
        : `The workers were replaced (generation ${generation}), and a new process crashed at once: ${why}.`,
    advice:
      'As long as the server runs, the old ones continue to serve: mend what the cause names and reload again. The log says more.',
    adviceFor: ({ generation }) =>
      generation === undefined
        ? undefined
        : 'The old ones have ended, and the server starts what crashes again, after pauses: mend what the cause names and reload again. "tswoole status" says how it is.',
  }),
  ERR_RESTART_NEEDED: entry({
    fields: { differences: 'string' },
    sentence: ({ differences }) => `The script as it is now does not fit the running server: ${differences}.`,
    advice: 'Only a start applies that: run "tswoole restart", or undo the change and reload again.',
  }),
  ERR_RUN_DIR: entry({
    fields: { path: 'string', why: 'string' },
    sentence: ({ path, why }) => `The run directory ${path} must be a folder of this user's own, and ${why}.`,
    advice: 'Remove it, or choose another one with the option "runDir" (or the variable TSWOOLE_OPTION_RUN_DIR).',
  }),
  ERR_COMMAND_UNKNOWN: entry({
    fields: { name: 'string', nearest: 'string?' },
    sentence: ({ name, nearest }) => `The server has no command "${name}"${nearestName(nearest)}.`,
    advice: 'The command "commands" lists all; add your own with addCommand() before start().',
  }),
  ERR_COMMAND_NAME: entry({
    fields: { expected: 'string', received: 'string' },
    sentence: ({ expected, received }) => `The name of a command must be ${expected}, received ${received}.`,
    advice: 'Call addCommand(name, handler) with another name.',
  }),
  ERR_COMMAND_REQUEST: entry({
    fields: { why: 'string' },
    sentence: ({ why }) => `A request must be one line with a JSON object {id, command, arguments}, and ${why}.`,
    advice: 'See docs/operating.md for the protocol of the control socket.',
  }),
  ERR_COMMAND_FAILED: entry({
    fields: { name: 'string', why: 'string' },
    sentence: ({ name, why }) => `The command "${name}" failed: ${why}.`,
    advice: 'The log of the server may say more.',
  }),
  ERR_COMMAND_TIMEOUT: entry({
    fields: { name: 'string', timeoutMs: 'number' },
    sentence: ({ name, timeoutMs }) => `The command "${name}" must be answered within ${timeoutMs} ms, and was not.`,
    advice: 'See whether processes of the server hang: "tswoole status", "tswoole top".',
  }),
  ERR_MASTER_SILENT: entry({
    fields: { pid: 'number', timeoutMs: 'number', why: 'string' },
    sentence: ({ pid, timeoutMs, why }) =>
      `The master (process ${pid}) must answer within ${timeoutMs} ms, and does not: ${why}.`,
    advice:
      'Where it is stopped, "kill -CONT PID" lets it go on, and with what it was given before; else its log has what it did last, and "kill -KILL PID" ends it.',
  }),
  ERR_CONTROL_PEER: entry({
    fields: { uid: 'number' },
    sentence: ({ uid }) =>
      `The control socket is for the user of the server and for root, and user ${uid} has connected.`,
    advice: 'Call tswoole as the user who runs the server.',
  }),
  ERR_LIMIT_DESCRIPTORS: entry({
    fields: { limit: 'number', needed: 'number' },
    sentence: ({ limit, needed }) =>
      `The server needs ${needed} open files, but the limit of this process is ${limit}.`,
    advice: 'Raise the limit (ulimit -n, or LimitNOFILE= in systemd), or lower the option "maxConnections".',
  }),
  ERR_SYSCALL: entry({
    fields: { syscall: 'string', code: 'string' },
    sentence: ({ syscall, code }) => `The system call ${syscall} must succeed, and failed with ${code}.`,
    advice: 'The manual page of the call ("man 2 NAME") says what the code means.',
  }),
  ERR_HTTP_CLIENT_GONE: entry({
    fields: {},
    sentence: () => 'The client of this request has gone, or the time for its answer is over.',
    advice: 'Stop the work: an answer no longer arrives. This is the reason of request.signal.',
  }),
  ERR_HTTP_BODY_CUT: entry({
    fields: { reason: 'string', status: 'number', why: 'string' },
    sentence: ({ reason, status, why }) =>
      `The body of this request is incomplete (${reason}${status === 0 ? '' : `, answered ${status}`}): ${why}.`,
    advice:
      'Discard the bytes received. "reason" is "timeout", "limit", "malformed", "server" (the connection was ended here) or "answered" (read the body before the answer ends); a client that has left is ERR_HTTP_CLIENT_GONE.',
  }),
  ERR_HTTP_BODY_USED: entry({
    fields: { method: 'string' },
    sentence: ({ method }) => `${method} needs a body that has not been read, and this one was read as a stream.`,
    advice: 'Read a body once as a stream, or as often as you like with body(), text() and json().',
  }),
  ERR_HTTP_BODY_JSON: entry({
    fields: { status: 'number', why: 'string' },
    sentence: ({ status, why }) => `The body must be JSON (status ${status}): ${why}.`,
    advice: 'Answer with that status: the client sent something else.',
  }),
  ERR_HTTP_BODY_CHARSET: entry({
    fields: { status: 'number', charset: 'string' },
    sentence: ({ status, charset }) =>
      `The body must be in a charset that TextDecoder knows (status ${status}), received "${charset}".`,
    advice: 'Answer with that status, or read the bytes with body().',
  }),
  ERR_HTTP_REQUEST_URL: entry({
    fields: { status: 'number', received: 'string' },
    sentence: ({ status, received }) => `Host and target must make a URL (status ${status}), received ${received}.`,
    advice: 'Answer with that status, or read the target with request.url.',
  }),
  ERR_HTTP_FORM_TYPE: entry({
    fields: { status: 'number', received: 'string' },
    sentence: ({ status, received }) =>
      `A form must be application/x-www-form-urlencoded or multipart/form-data (status ${status}), received "${received}".`,
    advice: 'Answer with that status, or read the body with body(), text() or json().',
  }),
  ERR_HTTP_FORM_BROKEN: entry({
    fields: { status: 'number', why: 'string' },
    sentence: ({ status, why }) => `The form must be complete and well formed (status ${status}): ${why}.`,
    advice: 'Answer with that status: the client sent something else.',
  }),
  ERR_HTTP_FORM_LIMIT: entry({
    fields: { status: 'number', limit: 'string', value: 'number' },
    sentence: ({ status, limit, value }) => `The form is above the limit "${limit}" of ${value} (status ${status}).`,
    advice: 'Answer with that status, or raise the limit with form({ … }) or the option "form".',
  }),
  ERR_HTTP_FORM_FILE: entry({
    fields: { path: 'string', why: 'string' },
    sentence: ({ path, why }) => `A file of a form cannot be stored at ${path}: ${why}.`,
    advice: 'Free space and check the permissions of the folder; keep(path) works once, before the answer has ended.',
  }),
  ERR_HTTP_HEADER_NAME: entry({
    fields: { received: 'string', why: 'string' },
    sentence: ({ received, why }) => `The header ${received} cannot be set or read: ${why}.`,
    advice: "A name consists of letters, digits and !#$%&'*+-.^_`|~ only.",
  }),
  ERR_HTTP_HEADER_VALUE: entry({
    fields: { name: 'string', received: 'string' },
    sentence: ({ name, received }) =>
      `The header "${name}" must be a text without line breaks and other controls, of characters up to U+00FF, received ${received}.`,
    advice: 'Encode it first, for example with encodeURIComponent().',
  }),
  ERR_HTTP_HEADERS_SENT: entry({
    fields: { method: 'string' },
    sentence: ({ method }) => `${method} must come before the head of the answer is sent, and it is sent.`,
    advice: 'Set status and headers before write(), end() and methods that call them; check headersSent.',
  }),
  ERR_HTTP_ANSWER_ENDED: entry({
    fields: { method: 'string' },
    sentence: ({ method }) => `${method} needs an answer that has not been ended, and this one has been.`,
    advice: 'Answer a request once; check "ended".',
  }),
  ERR_HTTP_DETACH: entry({
    fields: { why: 'string' },
    sentence: ({ why }) => `Another process cannot send this answer: ${why}.`,
    advice: 'Detach requests of HTTP/1 whose body has been read, and pass on the number that detach() returned.',
  }),
  ERR_HTTP_STATUS: entry({
    fields: { expected: 'string', received: 'string' },
    sentence: ({ expected, received }) => `The status of an answer must be ${expected}, received ${received}.`,
    advice: 'Use a status of RFC 9110.',
  }),
  ERR_HTTP_STATUS_MESSAGE: entry({
    fields: { received: 'string' },
    sentence: ({ received }) =>
      `The status message must be a text without line breaks and other controls, of characters up to U+00FF, received ${received}.`,
    advice: 'Leave it out to send the usual one.',
  }),
  ERR_HTTP_CONTENT_LENGTH: entry({
    fields: { declared: 'string', received: 'string' },
    sentence: ({ declared, received }) =>
      `The answer says content-length ${declared}, and its body differs: ${received}.`,
    advice: 'Leave content-length out: the server sets it where it is known.',
  }),
  ERR_HTTP_TRAILER: entry({
    fields: { name: 'string', why: 'string' },
    sentence: ({ name, why }) => `The trailer "${name}" cannot be sent: ${why}.`,
    advice: 'Send it as a header, or leave it out.',
  }),
  ERR_HTTP_COOKIE: entry({
    fields: { name: 'string', why: 'string' },
    sentence: ({ name, why }) => `The cookie ${name} cannot be set: ${why}.`,
    advice: 'Browsers would drop it, or read it differently.',
  }),
  ERR_HTTP_SSE: entry({
    fields: { field: 'string', expected: 'string', received: 'string' },
    sentence: ({ field, expected, received }) =>
      `The field "${field}" of an event must be ${expected}, received ${received}.`,
    advice: 'Only data may have line breaks.',
  }),
  ERR_HTTP_FETCH_RESULT: entry({
    fields: { got: 'string' },
    sentence: ({ got }) => `A fetch handler must return a Response, or a promise of one, and returned ${got}.`,
    advice:
      'Return "new Response(...)" on every path; of a framework, pass its fetch function, as in fetch: app.fetch.',
  }),
  ERR_CLUSTER_PACKAGE: entry({
    fields: { package: 'string', range: 'string', why: 'string', neededBy: 'string?' },
    sentence: (it) =>
      `For the ${it.neededBy ?? 'driver'} of the cluster the package ${it.package}, version ${it.range}, is needed, and cannot be loaded: ${it.why}.`,
    advice: 'It is an optional peer of tswoole, to be installed beside it.',
  }),
  ERR_CLUSTER_CONNECT: entry({
    fields: { engine: 'string', address: 'string', why: 'string' },
    sentence: ({ engine, address, why }) => `${engine} at ${address} must accept this connection, and did not: ${why}.`,
    advice: 'Check that it runs, that the address can be reached from here, and user, password and TLS.',
  }),
  ERR_CLUSTER_ENGINE: entry({
    fields: { engine: 'string', address: 'string', needed: 'string', received: 'string' },
    sentence: ({ engine, address, needed, received }) =>
      `${engine} at ${address} must be version ${needed} or newer, received ${received}.`,
    advice: 'Update it, or use another one.',
  }),
  ERR_CLUSTER_DOWN: entry({
    fields: { engine: 'string', state: 'string' },
    sentence: ({ engine, state }) => {
      if (LOST.test(state)) return `This needs the connection to ${engine}, which is ${state}.`;
      return `What was asked of ${engine} has failed: ${state.replace(REFUSING, '')}.`;
    },
    advice: `A lost connection is made again by itself: try later. ${MAY_HAVE_HAPPENED}`,
    adviceFor: ({ state }) => {
      if (!LOST.test(state))
        return `Correct what that says (rights, memory, versions), or try later. ${MAY_HAVE_HAPPENED}`;
      return REFUSED.test(state) ? TRIED_IN_VAIN : undefined;
    },
  }),
  ERR_CLUSTER_TIMEOUT: entry({
    fields: { node: 'string', timeoutMs: 'number', who: 'string?' },
    sentence: ({ node, timeoutMs, who }) =>
      who === undefined
        ? `Node "${node}" must answer within ${timeoutMs} ms, and did not.`
        : `No answer came within ${timeoutMs} ms: on node "${node}" ${who} says nothing.`,
    advice: 'The request may have run there: repeat only what may be repeated, or wait longer.',
    adviceFor: ({ who }) =>
      who === undefined ? undefined : `Look whether that process stands still, or has no core. ${MAY_HAVE_HAPPENED}`,
  }),
  ERR_NODE_LOST: entry({
    fields: { node: 'string', known: 'string?' },
    sentence: ({ node, known }) =>
      known === undefined
        ? `Node "${node}" is no longer in the cluster.`
        : `Node "${node}" is not in the cluster, which has ${known}: nothing was asked of it, and nothing has run there.`,
    advice: 'Ask one of cluster.nodes. The request may have run there before the node was lost.',
    adviceFor: ({ known }) => (known === undefined ? undefined : 'Ask one of cluster.nodes.'),
  }),
  ERR_NODE_RESTARTED: entry({
    fields: { node: 'string' },
    sentence: ({ node }) => `The broker process of node "${node}" ended before an answer came, and is another one now.`,
    advice: 'Ask again if that may be done twice: the request may have run there.',
  }),
  ERR_NODE_RELOAD: entry({
    fields: { node: 'string', left: 'string', why: 'string' },
    sentence: ({ node, left, why }) =>
      `The reload of all nodes stopped at node "${node}"${left === '' ? '' : ` (before ${left})`}: ${why}.`,
    advice: 'Nodes before it have new workers; it and those after it serve on. Correct it and reload all nodes again.',
  }),
  ERR_CLUSTER_NODE_ID: entry({
    fields: { node: 'string', address: 'string' },
    sentence: ({ node, address }) => `The node id "${node}" belongs to a living server at ${address}.`,
    advice: 'Give each server an id of its own, or leave the id out: host name and pid are the default.',
  }),
  ERR_CLUSTER_CONFLICT: entry({
    fields: { key: 'string', expected: 'number', found: 'number' },
    sentence: ({ key, expected, found }) =>
      `Key "${key}" must have version ${expected} to be written, and has ${found}.`,
    advice: 'Get it again, decide again, and put it with the version you got.',
  }),
  ERR_CLUSTER_PAYLOAD: entry({
    fields: { what: 'string?', bytes: 'number', most: 'number' },
    sentence: ({ what, bytes, most }) =>
      what === undefined
        ? `One message may have ${most} bytes on this cluster, received ${bytes}.`
        : `${what} may have ${most} bytes, received ${bytes}.`,
    advice: 'Send less, or put the data where the other node can get it.',
    adviceFor: ({ what }) => (what === undefined ? undefined : 'Keep the bulk elsewhere, and its name there.'),
  }),
  ERR_CLUSTER_FULL: entry({
    fields: { what: 'string', most: 'number' },
    sentence: ({ what, most }) => `There are already ${what} (at most ${most}).`,
    advice: 'Slow down: the engine or the other node does not keep up; "maxBufferedBytes" is the bound for bytes.',
  }),
  ERR_NO_CLUSTER: entry({
    fields: { method: 'string' },
    sentence: ({ method }) => `${method} needs the option "cluster", which this server was not given.`,
    advice: 'Give cluster: {driver, url} to the server; docs/several-machines.md.',
    adviceFor: ({ method }) => (/\bjobs\b/.test(method) ? GIVE_JOBS : undefined),
  }),
  ERR_NO_DASHBOARD: entry({
    fields: { command: 'string' },
    sentence: ({ command }) => `The command "${command}" needs the dashboard, which is off: nothing is kept for it.`,
    advice: 'Give admin: {port, dashboard: true} to the server; docs/dashboard.md.',
  }),
  ERR_CLUSTER_ADDRESS: entry({
    fields: { received: 'string' },
    sentence: ({ received }) => `The address of a connection must be NODE~INCARNATION:FD, received ${received}.`,
    advice: 'Take it from cluster.addressOf(fd) on the node that has the connection.',
  }),
  ERR_CLUSTER_TOO_EARLY: entry({
    fields: { state: 'string' },
    sentence: ({ state }) =>
      `A process may ask other nodes once it serves, and this one does not yet, or is the master or the manager; the engine is ${state}.`,
    advice: 'Ask in a callback that comes later than workerStart, or in a user process.',
  }),
  ERR_CLUSTER_DEAF: entry({
    fields: { subject: 'string' },
    sentence: ({ subject }) =>
      `The master and the manager take no messages of other nodes: a subscription of "${subject}" would hear nothing here.`,
    advice: 'Subscribe at the top of the script, before start(), or in workerStart.',
  }),
  ERR_CLUSTER_NO_HANDLER: entry({
    fields: { node: 'string' },
    sentence: ({ node }) => `Node "${node}" has no callback for requests of other nodes.`,
    advice: 'Register it there with server.on("clusterRequest", (data, from) => answer).',
  }),
  ERR_CLUSTER_UNSUPPORTED: entry({
    fields: { engine: 'string', what: 'string', why: 'string' },
    sentence: ({ engine, what, why }) => `${engine} cannot do ${what} here: ${why}.`,
    advice: 'Change the settings of the engine as said, or use the driver "redis".',
  }),
  ERR_CLUSTER_REFUSED: entry({
    fields: { engine: 'string', subject: 'string', why: 'string' },
    sentence: ({ engine, subject, why }) =>
      `${engine} must let this node publish to "${subject}", and refuses what it sends there: ${why}.`,
    advice:
      'Give its user at the engine the rights in docs/several-machines.md; until then that is lost, and counted in stats().cluster.lost.',
  }),
  ERR_CLUSTER_SUBJECT: entry({
    fields: { what: 'string', expected: 'string', received: 'string' },
    sentence: ({ what, expected, received }) => `A ${what} must be ${expected}, received ${received}.`,
    advice: 'Shorten or correct it; a long name can be replaced by its hash.',
  }),
  ERR_NO_JOBS: entry({
    fields: { method: 'string' },
    sentence: ({ method }) => `${method} needs the option "cluster.jobs", which this server was not given.`,
    advice: GIVE_JOBS,
  }),
  ERR_JOB_NO_TASK_WORKERS: entry({
    fields: { name: 'string' },
    sentence: ({ name }) => `The handler of the jobs "${name}" runs in task workers, and taskWorkerNum is 0.`,
    advice: 'Give taskWorkerNum, or register no handler on a node that only enqueues.',
  }),
  ERR_JOB_NO_HANDLER: entry({
    fields: { name: 'string' },
    sentence: ({ name }) => `This task worker has no handler for the jobs "${name}".`,
    advice: 'Call server.jobs.work(name, handler) at the top of the script, in every process.',
  }),
  ERR_JOB_OPTION: entry({
    fields: { name: 'string', expected: 'string', received: 'string', nearest: 'string?', known: 'string?' },
    sentence: ({ name, expected, received, nearest, known }) =>
      known === undefined
        ? `The "${name}" of a job must be ${expected}, received ${received}.`
        : `There is no "${name}" for jobs${nearestName(nearest)}. It must be ${expected} (${known}), received ${received}.`,
    advice: 'Correct the value; nothing was carried out.',
    adviceFor: ({ known }) =>
      known === undefined ? undefined : 'Correct the name or remove it; nothing was carried out.',
  }),
  ERR_JOB_DATA: entry({
    fields: { path: 'string', expected: 'string', received: 'string' },
    sentence: ({ path, expected, received }) => `The "${path}" of a job must be ${expected}, received ${received}.`,
    advice: 'A job is kept as JSON: leave the field out, or turn it into text.',
  }),
  ERR_JOB_SIZE: entry({
    fields: { path: 'string?', bytes: 'number', maxBytes: 'number' },
    sentence: ({ path, bytes, maxBytes }) =>
      `The JSON of ${path === undefined ? '' : `the "${path}" of `}a job must have at most ${maxBytes} bytes, and has at least ${bytes}.`,
    advice: 'Keep the bulk elsewhere and give the job its name, or raise maxJobBytes.',
  }),
  ERR_JOB_NOT_DEAD: entry({
    fields: { id: 'string' },
    sentence: ({ id }) => `Job "${id}" cannot be retried: it is not there, or not dead.`,
    advice: 'Take the id from dead(); the engine keeps only as many as "keep" says.',
  }),
  ERR_JOB_NOT_REMOVED: entry({
    fields: { id: 'string', why: 'string' },
    sentence: ({ id, why }) => `Job "${id}" cannot be removed: ${why}.`,
    advice: 'Wait until it has ended; the next tick of a schedule goes with unschedule(name, key).',
  }),
  ERR_JOB_LEASE_LOST: entry({
    fields: { id: 'string' },
    sentence: ({ id }) => `The lease of job "${id}" is lost: it runs again, here or elsewhere.`,
    advice: 'End this run; its result is not recorded. Give a longer lease if the machine stalls for so long.',
  }),
  ERR_JOB_GIVEN_BACK: entry({
    fields: { id: 'string' },
    sentence: ({ id }) => `Job "${id}" is given back, because this node takes no more: another one runs it at once.`,
    advice: 'End this run; its result is not recorded.',
  }),
} as const;

export type ErrorCode = keyof typeof errorTable;

/** The detail of each code. */
export type ErrorDetails = { readonly [C in ErrorCode]: DetailOf<(typeof errorTable)[C]['fields']> };

export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(errorTable, value);
}

/** What to do next. */
export function adviceOf<C extends ErrorCode>(code: C, detail: ErrorDetails[C]): string {
  const { advice, adviceFor } = entryOf(code);
  return adviceFor?.(detail) ?? advice;
}

/** The whole message: what was expected, what came, what to do next; below it the output of failed processes. */
export function messageOf<C extends ErrorCode>(code: C, detail: ErrorDetails[C]): string {
  const { sentence } = entryOf(code);
  const advice = adviceOf(code, detail);
  // A reason from elsewhere may be a sentence itself.
  const { wrote } = detail as { readonly wrote?: string };
  const told = sentence(detail).replace(/(?<!\.)\.\.$/, '.');
  const lineEnd = told.indexOf('\n');
  if (lineEnd === -1) return `${told} ${advice}${written(wrote)}`;
  // The reason ends with what another process wrote.
  const [first, output] = [told.slice(0, lineEnd), told.slice(lineEnd).replace(/\.$/, '')];
  return `${first}${/[.:]$/.test(first) ? '' : '.'} ${advice}${output}${written(wrote)}`;
}

/** Whether a value from another process is the detail of that code. */
export function isDetailOf<C extends ErrorCode>(code: C, detail: unknown): detail is ErrorDetails[C] {
  return fitsFields(entryOf(code).fields, detail);
}

interface SpecificEntry<C extends ErrorCode> {
  readonly fields: Fields;
  readonly sentence: (detail: ErrorDetails[C]) => string;
  readonly advice: string;
  readonly adviceFor?: (detail: ErrorDetails[C]) => string | undefined;
}

/** The compiler cannot see that an entry's fields and `ErrorDetails[C]` are the same for a generic code. */
function entryOf<C extends ErrorCode>(code: C): SpecificEntry<C> {
  return errorTable[code] as unknown as SpecificEntry<C>;
}

function ofApp(app: string | undefined): string {
  return app === undefined ? '' : ` of app "${app}"`;
}

function nearestName(nearest: string | undefined): string {
  return nearest === undefined ? '' : `; the nearest known name is "${nearest}"`;
}

function unknownToo(others: string | undefined): string {
  return others === undefined ? '' : ` Unknown too: ${others}.`;
}

function address(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** The standard error of a process before it ended. */
function written(wrote: string | undefined): string {
  return wrote === undefined || wrote === '' ? '' : `\nIt wrote to standard error:\n${wrote}`;
}

function ended(exitCode: number | null, signal: string | null): string {
  if (signal !== null) return `was killed by ${signal}`;
  return exitCode === null ? 'ended' : `exited with code ${exitCode}`;
}
