// The rules of the tree of `src`, as data: `scripts/imports.mjs` and `scripts/sizes.mjs` prove them with `npm run check`.

/**
 * The folders of `src`, bottom to top; files that lie in `src` itself stand at the end, or below all. `sees` is what a
 * folder may import: only folders that stand above it in this list, so imports point down and circles cannot be.
 */
export const folders = [
  { name: 'errors', holds: 'the table of errors, and how they cross processes', sees: [] },
  { name: 'util', holds: 'what knows no word of servers: clock, log, deferred', sees: [] },
  {
    name: 'options',
    holds: 'the table of options; resolved once, at the edge',
    sees: ['errors', 'util'],
  },
  {
    name: 'config',
    holds: 'tswoole.config.ts: its keys, found, loaded, checked, for one environment',
    sees: ['errors', 'util', 'options'],
  },
  {
    name: 'os',
    holds: 'libc through koffi; what a process does to itself',
    sees: ['errors', 'options'],
  },
  {
    name: 'protocol',
    holds: 'bytes in, packets out: framing, HTTP, PROXY headers; pure',
    sees: ['errors', 'util', 'options', 'os'],
  },
  {
    name: 'files',
    holds: 'static files: folders, cached answers',
    sees: ['util', 'options', 'protocol'],
  },
  {
    name: 'access-log',
    holds: 'a line for each HTTP request, and the file it goes to in batches',
    sees: ['util', 'options', 'os'],
  },
  {
    name: 'memory',
    holds: 'the shared region and all records in it',
    sees: ['errors', 'util', 'options', 'os'],
  },
  {
    name: 'shared',
    holds: "the user's shared objects: table, atomic, lock, cache, limiter",
    sees: ['errors', 'util', 'options', 'os', 'memory'],
  },
  {
    name: 'ipc',
    holds: 'rings, frames, bells, control messages, how a child is started',
    sees: ['errors', 'util', 'options', 'os', 'memory', 'shared', 'entries.ts'],
  },
  {
    name: 'messaging',
    holds: 'tasks and messages between processes',
    sees: ['errors', 'util', 'os', 'memory', 'shared', 'ipc'],
  },
  {
    name: 'listen',
    holds: 'binding and accepting; certificates and framers, loaded',
    sees: ['errors', 'util', 'options', 'os', 'protocol', 'memory', 'ipc'],
  },
  {
    name: 'control',
    holds: 'run directory, pid file, control socket, commands, admin listener, dashboard, metrics',
    sees: ['errors', 'util', 'options', 'os', 'memory', 'shared', 'ipc', 'messaging', 'entries.ts'],
  },
  {
    name: 'cluster',
    holds: 'several machines: drivers, the broker process, what every process sees of it',
    sees: ['errors', 'util', 'options', 'memory', 'shared', 'messaging'],
  },
  {
    name: 'reactor',
    holds: 'role: a thread that owns connections',
    sees: [
      ...['errors', 'util', 'options', 'os', 'protocol', 'files', 'access-log', 'memory', 'shared', 'ipc', 'listen'],
    ],
  },
  {
    name: 'task',
    holds: 'role: runs the `task` callback in the loop of a worker',
    sees: ['errors', 'util', 'messaging'],
  },
  { name: 'user', holds: "role: a process of the user's, in the loop of a worker", sees: ['messaging'] },
  {
    name: 'worker',
    holds: "role: runs the user's callbacks",
    sees: ['errors', 'util', 'options', 'os', 'protocol', 'memory', 'shared', 'ipc', 'messaging', 'entries.ts'],
  },
  {
    name: 'manager',
    holds: 'role: keeps the right number of healthy workers',
    sees: ['errors', 'util', 'options', 'os', 'memory', 'shared', 'ipc', 'messaging'],
  },
  {
    name: 'master',
    holds: 'role: the first process; binds, accepts, leads start and shutdown',
    sees: [
      ...['errors', 'util', 'options', 'os', 'access-log', 'memory', 'shared', 'ipc', 'messaging', 'listen'],
      ...['control', 'entries.ts'],
    ],
  },
  {
    name: 'base',
    holds: 'BASE mode: roles put together where there are no reactor threads',
    sees: [
      ...['errors', 'util', 'options', 'os', 'access-log', 'memory', 'shared', 'ipc', 'messaging', 'listen'],
      ...['reactor', 'worker', 'manager', 'master'],
    ],
  },
  {
    name: 'server',
    holds: 'what a user holds: Server, Connection, events; puts the roles together',
    sees: [
      ...['errors', 'util', 'options', 'os', 'access-log', 'memory', 'shared', 'ipc', 'messaging', 'listen'],
      ...['control', 'cluster', 'reactor', 'task', 'user', 'worker', 'manager', 'master', 'base'],
      ...['entries.ts', 'version.ts'],
    ],
  },
  {
    name: 'http',
    holds: "what a user of HTTP holds, and the worker's half of it",
    sees: [
      ...['errors', 'util', 'options', 'os', 'protocol', 'files', 'access-log', 'memory', 'shared', 'ipc'],
      ...['worker', 'server'],
    ],
  },
  {
    name: 'websocket',
    holds: "what a user of WebSocket holds, and the worker's half of it",
    sees: [
      ...['errors', 'util', 'options', 'protocol', 'memory', 'shared', 'ipc', 'cluster', 'worker', 'server', 'http'],
    ],
  },
  {
    name: 'cli',
    holds: '`tswoole` at a terminal',
    sees: ['errors', 'util', 'options', 'config', 'os', 'shared', 'ipc', 'control', 'entries.ts', 'version.ts'],
  },
];

/** Files that lie in `src` itself, with what they may see. */
export const files = [
  { name: 'version.ts', holds: 'the version', sees: [] },
  { name: 'entries.ts', holds: 'paths of the files that run as programs or threads', sees: [] },
  {
    name: 'index.ts',
    holds: 'public exports, nothing else',
    sees: [
      ...['errors', 'util', 'options', 'config', 'memory', 'shared', 'ipc', 'messaging', 'control', 'cluster'],
      ...['reactor', 'task', 'manager', 'server', 'http', 'websocket', 'version.ts'],
    ],
  },
];

/** Roles never import each other: a parent holds a handle, starts an entry, and speaks in messages. */
export const roles = ['reactor', 'task', 'user', 'worker', 'manager', 'master'];

/** Who may import roles, and why. */
export const composers = {
  base: 'a worker with a reactor of its own; the manager in the process that is started',
  server: '`start()` makes the process one of the roles',
  http: "the worker's half of HTTP is a service of the worker",
  websocket: "the worker's half of WebSocket is a service of the worker",
  'index.ts': 'types that callbacks of a role are given',
};

/** Folders that import nothing from outside of `src` but this, and load no file while they run. */
export const pure = {
  protocol: ['mrmime', 'node:buffer', 'node:crypto', 'node:http', 'node:net', 'node:path'],
};

/** Packages that only one folder knows. */
export const packages = {
  koffi: ['os'],
  pino: ['util'],
  bullmq: ['cluster'],
  pg: ['cluster'],
  commander: ['cli'],
  '@fastify/busboy': ['http'],
  mrmime: ['protocol'],
  ioredis: ['cluster'],
  '@nats-io/transport-node': ['cluster'],
};

/** Circles inside a folder: two files may know each other, not more. */
export const mostFilesInCircle = 2;

/** How large a file and a function may be. */
export const sizes = {
  lines: 500,
  parameters: 5,
  /** Tables are as long as what they list. */
  exceptions: ['errors/table.ts', 'options/definitions.ts'],
};

/**
 * What is being written anew: sizes and circles are looked at when that has arrived. One line each, to be deleted; it is
 * how the paths begin.
 */
export const notYet = [];
