/** The commands: the arguments of each, checked by the same rules as options, and its action. Runs in the master. */
import { describe, ServerError, told } from '../errors/index.js';
import { choice, flag, integer, type Kind, path, refuse, text } from '../options/check.js';
import { nearest } from '../options/index.js';
import { type Controlled, MOST_DEAD_JOBS, MOST_SCHEDULES } from './controlled.js';

/** The handler of `addCommand`. It runs in the master; its return value, or the value it resolves to, is the answer (JSON). */
export type CommandHandler = (given: Readonly<Record<string, unknown>>) => unknown;

type Arguments = Readonly<Record<string, unknown>>;

export interface Command {
  readonly help: string;
  /** False for read-only commands. */
  readonly changes: boolean;
  /** By name; only those in `required` must be given. */
  readonly takes: Readonly<Record<string, Pick<Kind<unknown, unknown>, 'check'>>>;
  readonly required?: readonly string[];
  run(server: Controlled, given: Arguments): unknown;
}

const WORKER_ID = integer({ min: 0, max: 2000 });
const BOOLEAN = flag();
const FD = integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const levels = ['debug', 'info', 'warn', 'error', 'silent'] as const;
const MOST_CONNECTIONS = 1000;
const severities = ['debug', 'info', 'warn', 'error'] as const;
const MOST_ROOMS = 10_000;
const MOST_LINES = 1000;
const MOST_ENDS = 100;

export const commands = {
  status: {
    help: 'What runs, since when, and where it listens.',
    changes: false,
    takes: {},
    run: (server) => server.status(),
  },
  stats: { help: 'The figures of the whole server.', changes: false, takes: {}, run: (server) => server.stats() },
  workers: {
    help: 'The figures of each worker, task worker and process of your own.',
    changes: false,
    takes: {},
    run: (server) => server.workers(),
  },
  metrics: {
    help: 'Every figure that /metrics has, as JSON.',
    changes: false,
    takes: {},
    run: (server) => server.metrics(),
  },
  connections: {
    help: 'Open connections, page by page, of one worker, client address or listen port where you say so.',
    changes: false,
    takes: {
      after: integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
      count: integer({ min: 1, max: MOST_CONNECTIONS }),
      workerId: WORKER_ID,
      address: text({ min: 1, max: 64 }),
      port: integer({ min: 0, max: 65_535 }),
    },
    run: (server, given) => server.connections({ after: 0, count: 100, ...given }),
  },
  rooms: {
    help: 'The rooms with the most WebSockets in them, and how many there are in all.',
    changes: false,
    takes: { count: integer({ min: 1, max: MOST_ROOMS }) },
    run: (server, { count = 100 }) => server.rooms(count as number),
  },
  history: {
    help: 'Requests, connections, bytes, latencies, load and memory of each second of the last 15 minutes.',
    changes: false,
    takes: {},
    run: (server) => server.history(),
  },
  log: {
    help: 'The newest lines that the processes have logged, where the dashboard is on: after a number, from a level up, with a text.',
    changes: false,
    takes: {
      after: integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
      count: integer({ min: 1, max: MOST_LINES }),
      level: choice(severities),
      text: text({ min: 0, max: 256 }),
    },
    run: (server, given) => server.log({ after: 0, count: 200, ...given }),
  },
  ends: {
    help: 'The last processes that have ended, with the reason, code, signal and stack.',
    changes: false,
    takes: { count: integer({ min: 1, max: MOST_ENDS }) },
    run: (server, { count = MOST_ENDS }) => server.ends(count as number),
  },
  objects: {
    help: 'The tables, caches, locks and other objects that all processes share, with who holds them.',
    changes: false,
    takes: {},
    run: (server) => server.objects(),
  },
  publish: {
    help: 'Sends a text to all WebSockets in a room, and tells how many these are.',
    changes: true,
    takes: { room: anyText(), text: anyText() },
    required: ['room', 'text'],
    run: (server, { room, text: message }) => server.publish(room as string, message as string),
  },
  nodes: {
    help: 'The nodes of the cluster, how this one is in it, and how far a reload of all nodes is.',
    changes: false,
    takes: {},
    run: (server) => server.nodes(),
  },
  jobs: {
    help: 'How many durable jobs of each name wait, run and are dead, over all nodes.',
    changes: false,
    takes: {},
    run: (server) => server.countJobs(),
  },
  findJob: {
    help: 'A durable job, with where it stands and, if it is done, what its handler has returned; null: there is none.',
    changes: false,
    takes: { id: anyText() },
    required: ['id'],
    run: (server, { id }) => server.findJob(id as string),
  },
  deadJobs: {
    help: 'Durable jobs of a name that failed for the last time, newest first, page by page.',
    changes: false,
    takes: {
      name: anyText(),
      offset: integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
      count: integer({ min: 1, max: MOST_DEAD_JOBS }),
    },
    required: ['name'],
    run: (server, { name, offset = 0, count = MOST_DEAD_JOBS }) =>
      server.deadJobs(name as string, offset as number, count as number),
  },
  retryJob: {
    help: 'Runs a dead job again, with all its attempts.',
    changes: true,
    takes: { id: anyText() },
    required: ['id'],
    run: (server, { id }) => server.retryJob(id as string),
  },
  jobSchedules: {
    help: 'The schedules of durable jobs of a name, the next to tick first, page by page.',
    changes: false,
    takes: {
      name: anyText(),
      offset: integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
      count: integer({ min: 1, max: MOST_SCHEDULES }),
    },
    required: ['name'],
    run: (server, { name, offset = 0, count = MOST_SCHEDULES }) =>
      server.jobSchedules(name as string, offset as number, count as number),
  },
  unschedule: {
    help: 'Ends a schedule of durable jobs of a name, and tells whether there was one.',
    changes: true,
    takes: { name: anyText(), key: anyText() },
    required: ['name', 'key'],
    run: (server, { name, key }) => server.unschedule(name as string, key as string),
  },
  removeJob: {
    help: 'Removes a durable job that is not under way, and tells whether there was one.',
    changes: true,
    takes: { id: anyText() },
    required: ['id'],
    run: (server, { id }) => server.removeJob(id as string),
  },
  removeDeadJobs: {
    help: 'Removes dead jobs of a name, 1,000 at most, and tells how many, and whether there may be more.',
    changes: true,
    takes: { name: anyText() },
    required: ['name'],
    run: (server, { name }) => server.removeDeadJobs(name as string),
  },
  settings: {
    help: 'Every option with its value; secrets are left out.',
    changes: false,
    takes: {},
    run: (server) => server.settings(),
  },
  reload: {
    help: 'Replaces every worker, or with tasksOnly every task worker, by one that runs the script as it is now; with allNodes on every node of the cluster, one after another.',
    changes: true,
    takes: { tasksOnly: BOOLEAN, allNodes: BOOLEAN },
    run: (server, { tasksOnly = false, allNodes = false }) => {
      if (allNodes !== true) return server.reload(tasksOnly as boolean);
      if (tasksOnly === true) refuseBoth('allNodes', 'tasksOnly');
      return server.reloadNodes();
    },
  },
  shutdown: {
    help: 'Ends the server in order.',
    changes: true,
    takes: {},
    run: (server) => server.shutdown(),
  },
  scale: {
    help: 'Changes the number of workers: to workerNum, or by a difference.',
    changes: true,
    takes: {
      workerNum: integer({ min: 1, max: 1000 }),
      by: integer({ min: -1000, max: 1000 }),
    },
    run: (server, { workerNum, by = 0 }) =>
      server.scale((workerNum ?? server.status().workerNum + Number(by)) as number),
  },
  profile: {
    help: 'A process (an id, "master" or "manager") writes a CPU profile of so many seconds, or a snapshot of its heap, to a new file; over HTTP the answer is the profile, and there is no path.',
    changes: true,
    takes: {
      target: target(),
      kind: choice(['cpu', 'heap']),
      seconds: integer({ min: 1, max: 600 }),
      path: path(),
    },
    required: ['target', 'path'],
    run: (server, { target: of, kind = 'cpu', seconds = 10, path: to }) =>
      server.profile({
        target: of as number | 'master' | 'manager',
        kind: kind as 'cpu' | 'heap',
        durationMs: Number(seconds) * 1000,
        path: to as string,
      }),
  },
  stopWorker: {
    help: 'Replaces one worker without a gap; with force it is killed.',
    changes: true,
    takes: { workerId: WORKER_ID, force: BOOLEAN },
    required: ['workerId'],
    run: (server, { workerId, force = false }) => server.stopWorker(workerId as number, force as boolean),
  },
  closeConnection: {
    help: 'Closes a connection when what was sent has left; with reset at once.',
    changes: true,
    takes: { fd: FD, reset: BOOLEAN },
    required: ['fd'],
    run: (server, { fd, reset = false }) => server.closeConnection(fd as number, reset as boolean),
  },
  reopenLogs: {
    help: 'Every process opens its log file again, after it was moved.',
    changes: true,
    takes: {},
    run: (server) => server.reopenLogs(),
  },
  logLevel: {
    help: 'Sets the least severe messages that are logged, in every process at once.',
    changes: true,
    takes: { level: choice(levels) },
    required: ['level'],
    run: (server, { level }) => server.setLogLevel(level as string),
  },
} as const satisfies Readonly<Record<string, Command>>;

export type CommandName = keyof typeof commands;

function refuseBoth(name: string, other: string): never {
  throw new ServerError('ERR_OPTION_CONFLICT', { name, other, why: 'nodes replace all of their workers' });
}

function target(): Kind<number | string, number | 'master' | 'manager'> {
  const expected = 'the id of a process, "master" or "manager"';
  return {
    type: 'number | string',
    expected,
    show: String,
    check(name, value) {
      if (value === 'master' || value === 'manager') return value;
      if (typeof value === 'number' && Number.isInteger(value) && value >= 0) return value;
      return refuse('ERR_OPTION_VALUE', name, expected, value);
    },
  };
}

/** Of any length: what it means is checked where it is used. */
function anyText(): Kind<string, string> {
  const expected = 'a string';
  return {
    type: 'string',
    expected,
    show: String,
    check: (name, value) => (typeof value === 'string' ? value : refuse('ERR_OPTION_TYPE', name, expected, value)),
  };
}

/** Arguments that are words. */
const TOLD: ReadonlySet<string> = new Set(['target', 'kind', 'level', 'room', 'id', 'name', 'key']);

const NAME = /^[a-z][A-Za-z0-9:_-]{0,63}$/;

/** @throws ServerError ERR_COMMAND_NAME */
function checkCommandName(name: unknown): asserts name is string {
  const expected = 'a letter and up to 63 letters, digits, ":", "_" or "-"';
  if (typeof name !== 'string' || !NAME.test(name)) {
    throw told(new ServerError('ERR_COMMAND_NAME', { expected, received: describe(name) }));
  }
  if (name === 'commands' || Object.hasOwn(commands, name)) {
    throw told(
      new ServerError('ERR_COMMAND_NAME', { expected: 'one that the server does not have itself', received: name }),
    );
  }
}

/** @throws ServerError ERR_COMMAND_NAME, ERR_CALLBACK_TYPE */
export function checkCommand(name: string, handler: unknown): void {
  checkCommandName(name);
  if (typeof handler === 'function') return;
  throw told(
    new ServerError('ERR_CALLBACK_TYPE', { event: name, method: 'addCommand()', received: describe(handler) }),
  );
}

export class CommandTable {
  readonly #server: Controlled;
  readonly #own: ReadonlyMap<string, CommandHandler>;
  /** Profiles for remote clients lie in memory, so one at a time. */
  #isProfiling = false;

  constructor(server: Controlled, own: ReadonlyMap<string, CommandHandler>) {
    this.#server = server;
    this.#own = own;
  }

  has(name: string): boolean {
    return name === 'commands' || this.#own.has(name) || builtIn(name) !== undefined;
  }

  /** False for a read-only command; unknown ones and the user's own may change something. */
  changes(name: string): boolean {
    return name !== 'commands' && builtIn(name)?.changes !== false;
  }

  /**
   * What the log may tell of the arguments: numbers, booleans and short words of the server's own commands. Texts, and what
   * the user's commands take, may be secret.
   */
  loggable(name: string, given: Arguments): Record<string, unknown> {
    const takes = builtIn(name)?.takes;
    if (takes === undefined) return {};
    const isTold = (key: string, value: unknown): boolean =>
      Object.hasOwn(takes, key) &&
      (typeof value === 'number' || typeof value === 'boolean' || (typeof value === 'string' && TOLD.has(key)));
    return Object.fromEntries(
      Object.entries(given)
        .filter(([key, value]) => isTold(key, value))
        .map(([key, value]) => [key, typeof value === 'string' ? value.slice(0, 128) : value]),
    );
  }

  /** @throws ServerError ERR_COMMAND_UNKNOWN, ERR_OPTION_*, and the command's own error */
  async run(name: string, given: Arguments): Promise<unknown> {
    if (name === 'commands') return this.list();
    const own = this.#own.get(name);
    if (own !== undefined) return jsonable(name, await own(given));
    const command = builtIn(name);
    if (command === undefined) return this.refuseUnknown(name);
    return command.run(this.#server, checkArguments(command, given));
  }

  /**
   * The same for a client that is not a user of this machine: no command takes a path from it, and a profile is returned
   * (`TakenProfile`) instead of written. @throws as `run`
   */
  async runForRemote(name: string, given: Arguments): Promise<unknown> {
    if (name !== 'profile') return this.run(name, given);
    const { path: _, ...takes } = commands.profile.takes;
    const { target: of, kind = 'cpu', seconds = 10 } = checkArguments({ takes, required: ['target'] }, given);
    if (this.#isProfiling) throw new ServerError('ERR_PROFILE', { why: 'another one is being taken over HTTP' });
    this.#isProfiling = true;
    try {
      return await this.#server.takeProfile({
        target: of as number | 'master' | 'manager',
        kind: kind as 'cpu' | 'heap',
        durationMs: Number(seconds) * 1000,
      });
    } finally {
      this.#isProfiling = false;
    }
  }

  /** @throws ServerError ERR_COMMAND_UNKNOWN */
  refuseUnknown(name: string): never {
    throw new ServerError('ERR_COMMAND_UNKNOWN', { name, nearest: nearest(name, this.#names()) });
  }

  /** Every command with its help. */
  list(): { name: string; help: string; takes: readonly string[] }[] {
    const described = Object.entries(commands as Readonly<Record<string, Command>>).map(([name, { help, takes }]) => ({
      name,
      help,
      takes: Object.keys(takes),
    }));
    return [...described, ...[...this.#own.keys()].map((name) => ({ name, help: 'of this server', takes: [] }))];
  }

  #names(): string[] {
    return [...Object.keys(commands), ...this.#own.keys()];
  }
}

/** A reply is JSON. @throws ServerError ERR_COMMAND_FAILED */
function jsonable(name: string, result: unknown): unknown {
  try {
    JSON.stringify(result);
    return result;
  } catch (cause) {
    const [why = ''] = (cause instanceof Error ? cause.message : describe(cause)).split('\n');
    const detail = { name, why: `its result, ${describe(result)}, cannot be written as JSON: ${why}` };
    throw new ServerError('ERR_COMMAND_FAILED', detail, { cause });
  }
}

function builtIn(name: string): Command | undefined {
  return Object.hasOwn(commands, name) ? commands[name as CommandName] : undefined;
}

function checkArguments({ takes, required = [] }: Pick<Command, 'takes' | 'required'>, given: Arguments): Arguments {
  const checked: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(given)) {
    const kind = takes[name];
    if (kind === undefined || !Object.hasOwn(takes, name)) {
      throw new ServerError('ERR_OPTION_UNKNOWN', { name, nearest: nearest(name, Object.keys(takes)) });
    }
    if (value !== undefined) checked[name] = kind.check(name, value);
  }
  for (const name of required) {
    if (!(name in checked)) takes[name]?.check(name, undefined);
  }
  return checked;
}
