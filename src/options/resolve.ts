import { ServerError } from '../errors/index.js';
import { accessLogOf } from './access-log.js';
import { refuseNoObject } from './check.js';
import {
  type Chosen,
  type Definition,
  definitions,
  heartbeatCheckFor,
  listenNames,
  type OptionName,
  socketTypeOf,
} from './definitions.js';
import { currentMachine, type Machine } from './machine.js';
import { describeUnknown } from './nearest.js';
import type { ListenOptions, ResolvedListen, ResolvedOptions, ServerOptions } from './option-types.js';

export const optionNames = Object.keys(definitions) as OptionName[];

/**
 * Checks the user's options and fills in the rest. The server reads no option before this.
 * @throws ServerError ERR_OPTION_UNKNOWN, ERR_OPTION_TYPE, ERR_OPTION_RANGE, ERR_OPTION_VALUE, ERR_OPTION_CONFLICT
 */
export function resolveOptions(given: ServerOptions = {}, machine: Machine = currentMachine()): ResolvedOptions {
  refuseUnknown(given, optionNames);
  const resolved: Record<string, unknown> = {};
  for (const name of optionNames) {
    const definition: Definition<unknown, unknown> = definitions[name];
    const value = Reflect.get(given, name);
    // Sound because a computed default asks only for options above its own.
    const fallback = () => defaultOf(definition, machine, resolved as unknown as Chosen);
    resolved[name] = value === undefined ? fallback() : definition.kind.check(name, value);
  }
  const options = resolved as unknown as ResolvedOptions;
  refuseConflicts(options);
  return Object.freeze(options);
}

/** The same for a further listen port: missing options are as on the server, and the port is a free one. */
export function resolveListen(given: ListenOptions, server: ResolvedOptions): ResolvedListen {
  refuseUnknown(given, listenNames);
  const resolved: Record<string, unknown> = {};
  const takesDatagrams = given.type === 'udp' || given.type === 'unix-dgram';
  const own: Partial<Record<string, unknown>> = {
    ...watermarksBelow(given, server),
    ...checksFor(given),
    ...(takesDatagrams && { tls: null }),
    port: 0,
    path: '',
    type: socketTypeOf(String(given.path ?? '')),
  };
  for (const name of listenNames) {
    const value = Reflect.get(given, name);
    const fallback = name in own ? own[name] : server[name];
    resolved[name] = value === undefined ? fallback : definitions[name].kind.check(name, value);
  }
  refusePath(resolved as unknown as ResolvedListen);
  refuseWatermarks(resolved as unknown as ResolvedListen);
  refuseTls(resolved as unknown as ResolvedListen);
  return Object.freeze(resolved as unknown as ResolvedListen);
}

function defaultOf(definition: Definition<unknown, unknown>, machine: Machine, chosen: Chosen): unknown {
  return 'value' in definition.default ? definition.default.value : definition.default.compute(machine, chosen);
}

/** Words of other servers, and of our own flags. */
const OTHER_WORDS: readonly [word: string, name: OptionName][] = [
  ['workers', 'workerNum'],
  ['instances', 'workerNum'],
  ['taskWorkers', 'taskWorkerNum'],
  ['reactors', 'reactorNum'],
  ['threads', 'reactorNum'],
];

function refuseUnknown(given: unknown, known: readonly OptionName[]): asserts given is object {
  refuseNoObject(given);
  const [name, ...others] = Object.keys(given).filter((each) => !known.includes(each as OptionName));
  if (name === undefined) return;
  const what = describeUnknown([name, ...others], known, otherWords(known));
  throw new ServerError('ERR_OPTION_UNKNOWN', { name, ...what });
}

/** Each word that Swoole and others have for an option, with the option. */
export function otherWords(known: readonly OptionName[]): (readonly [word: string, name: string])[] {
  const ofSwoole = known.flatMap((name) => {
    const { swoole = '' }: Definition<unknown, unknown> = definitions[name];
    const words = swoole.split(/[ ,]+/).filter((word) => /^[a-z][a-z0-9_]*$/.test(word));
    return words.map((word): [string, string] => [word, name]);
  });
  return [...ofSwoole, ...OTHER_WORDS.filter(([, name]) => known.includes(name))];
}

function refuseTls({ type, tls }: { readonly type: string; readonly tls: unknown }): void {
  if (tls === null || type === 'tcp' || type === 'unix') return;
  throw new ServerError('ERR_OPTION_CONFLICT', {
    name: 'tls',
    other: 'type',
    why: `a socket of type ${type} has no TLS`,
  });
}

function refusePath({ type, path }: { readonly type: string; readonly path: string }): void {
  const needsPath = type === 'unix' || type === 'unix-dgram';
  if (needsPath === (path !== '')) return;
  const why = needsPath ? 'a unix socket needs a path' : `a socket of type ${type} has no path, received ${path}`;
  throw new ServerError('ERR_OPTION_CONFLICT', { name: 'type', other: 'path', why });
}

const LIMIT_PROCESSES = 1000;

function refuseConflicts(options: ResolvedOptions): void {
  const { maxWorkerNum: workerNum, taskWorkerNum } = options;
  refusePath(options);
  refuseTls(options);
  if (workerNum + taskWorkerNum > LIMIT_PROCESSES) {
    throw new ServerError('ERR_OPTION_CONFLICT', {
      name: 'taskWorkerNum',
      other: 'workerNum',
      why: `together they must be at most ${LIMIT_PROCESSES}, received ${taskWorkerNum} and ${workerNum}`,
    });
  }
  refuseScaling(options);
  if (options.reusePort && options.mode !== 'base') {
    throw new ServerError('ERR_OPTION_CONFLICT', {
      name: 'reusePort',
      other: 'mode',
      why: `only workers of BASE mode have sockets of their own; mode is '${options.mode}'`,
    });
  }
  refuseSticky(options);
  refuseAccessLog(options);
  refuseWatermarks(options);
  const { roomHighWatermark, sendBufferSize } = options;
  if (roomHighWatermark > sendBufferSize) {
    throw new ServerError('ERR_OPTION_CONFLICT', {
      name: 'roomHighWatermark',
      other: 'sendBufferSize',
      why: `it must be at most sendBufferSize, or a slow member is closed before slowConsumer applies, received ${roomHighWatermark} and ${sendBufferSize} bytes`,
    });
  }
}

function refuseSticky({ sticky, http2 }: ResolvedOptions): void {
  if (sticky === null || !http2) return;
  const why = 'a connection of HTTP/2 carries the requests of many sessions to one worker; leave http2 out, or false';
  throw new ServerError('ERR_OPTION_CONFLICT', { name: 'sticky', other: 'http2', why });
}

function refuseAccessLog(options: ResolvedOptions): void {
  const log = accessLogOf(options);
  if (log === null) return;
  const conflict = (other: string, why: string): never => {
    throw new ServerError('ERR_OPTION_CONFLICT', { name: 'accessLog', other, why });
  };
  if (log.file === '' && options.daemonize)
    conflict('daemonize', 'a daemon has no standard output: give `logFile`, or a `file` for it');
  if (log.file !== '' && log.file === options.logFile) {
    conflict('logFile', 'their lines have different forms: name different files');
  }
}

function refuseScaling({ mode, workerNum, maxWorkerNum }: ResolvedOptions): void {
  if (maxWorkerNum === workerNum || (maxWorkerNum > workerNum && mode === 'process')) return;
  const why =
    mode === 'process'
      ? `it must be at least workerNum, received ${maxWorkerNum} and ${workerNum}`
      : 'in BASE mode workers own their connections, and their number cannot change while they run';
  throw new ServerError('ERR_OPTION_CONFLICT', {
    name: 'maxWorkerNum',
    other: mode === 'process' ? 'workerNum' : 'mode',
    why,
  });
}

/** A port with its own heartbeat is checked as often as that needs. */
function checksFor({ heartbeatIdleMs }: ListenOptions): { readonly heartbeatCheckMs?: number } {
  if (heartbeatIdleMs === undefined) return {};
  const { kind } = definitions.heartbeatIdleMs;
  return { heartbeatCheckMs: heartbeatCheckFor(kind.check('heartbeatIdleMs', heartbeatIdleMs)) };
}

type Watermarks = Pick<ResolvedOptions, 'lowWatermark' | 'highWatermark' | 'sendBufferSize'>;

/** A port that sets some of these itself: the defaults of those below follow. */
function watermarksBelow(given: ListenOptions, server: ResolvedOptions): Partial<Watermarks> {
  const bytes = (name: keyof Watermarks): number =>
    given[name] === undefined ? server[name] : definitions[name].kind.check(name, given[name]);
  const highest = Math.floor(bytes('sendBufferSize') * 0.8);
  const highWatermark =
    given.highWatermark === undefined ? Math.min(server.highWatermark, highest) : bytes('highWatermark');
  return { highWatermark, lowWatermark: Math.min(server.lowWatermark, Math.floor(highWatermark / 4)) };
}

function refuseWatermarks({ lowWatermark, highWatermark, sendBufferSize }: Watermarks): void {
  if (highWatermark > sendBufferSize) {
    throw new ServerError('ERR_OPTION_CONFLICT', {
      name: 'highWatermark',
      other: 'sendBufferSize',
      why: `highWatermark must be at most sendBufferSize, received ${highWatermark} and ${sendBufferSize} bytes`,
    });
  }
  if (lowWatermark < highWatermark) return;
  throw new ServerError('ERR_OPTION_CONFLICT', {
    name: 'lowWatermark',
    other: 'highWatermark',
    why: `lowWatermark must be below highWatermark, received ${lowWatermark} and ${highWatermark} bytes`,
  });
}
