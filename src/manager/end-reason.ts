/** Why a process has ended, in words for people. */
import type { SerializedError } from '../errors/index.js';
import type { ProcessEnd } from '../ipc/message.js';
import type { EndReason } from '../memory/region.js';
import { signalName } from '../util/signal-name.js';
import type { LeaveReason, WorkerHandle } from './worker-handle.js';

type EndedProcess = Pick<
  WorkerHandle,
  'name' | 'exitCode' | 'signal' | 'wasReady' | 'overdue' | 'sentSignal' | 'lastError' | 'wrote'
>;

/** A process that hangs in its boot is reported before it has ended. */
export function howEnded({ exitCode, signal, wasReady, overdue, sentSignal }: EndedProcess): string {
  if (overdue !== undefined) {
    return `${overdue} and was ${sentSignal === 'SIGKILL' ? 'killed' : 'ended'} by ${sentSignal ?? 'a signal'}`;
  }
  const how = signal === 0 ? `exited with code ${exitCode}` : `was killed by ${signalName(signal)}`;
  return wasReady ? how : `${how} before it was ready`;
}

/** The cause, as metrics count it. */
export function causeOf({ reason, signal }: WorkerHandle, wasBooting: boolean): EndReason {
  if (reason !== undefined) return reason;
  if (wasBooting) return 'boot';
  return signal === 0 ? 'exit' : 'signal';
}

const PLANNED: { readonly [R in LeaveReason]?: string } = {
  asked: 'it was asked to end',
  maxRequest: 'it had run as much as a process may',
  maxUptime: 'maxUptimeMs',
  memory: 'maxMemory',
  reload: 'a reload',
  scale: 'fewer workers',
};

/** What a process was ended for, whatever it was doing; empty: by a fault that may be that of what it did. */
export function whyEnded({ reason }: Pick<WorkerHandle, 'reason'>, isShutdown: boolean): string {
  const why = reason === undefined ? undefined : PLANNED[reason];
  return why ?? (isShutdown && reason === undefined ? 'the end of the server' : '');
}

const LONGEST_REASON = 2048;
const LONGEST_STACK = 8192;

/** For the list of ends. @param now of the clock that the handle has its start from */
export function endOf(handle: WorkerHandle, wasBooting: boolean, now: number): ProcessEnd {
  const { role, id, name, pid, exitCode, signal, lastError, stack, startedAt } = handle;
  return {
    ...{ kind: role, id, name, pid, cause: causeOf(handle, wasBooting), code: exitCode, signal: signalName(signal) },
    reason: reasonOf(handle).slice(0, LONGEST_REASON),
    uptimeMs: Math.round(now - startedAt),
    stack: (stack === '' ? (lastError?.stack ?? '') : stack).slice(0, LONGEST_STACK),
  };
}

/** With its error, each cause of that, and its output on standard error. */
export function reasonOf(ended: EndedProcess): string {
  const { name, lastError, wrote } = ended;
  const threw = lastError === undefined ? '' : `: ${chainOf(lastError).join('\n  because: ').replace(/\.$/, '')}`;
  const said = wrote === '' ? '' : `\nIt wrote to standard error:\n${wrote}`;
  return `${name} ${howEnded(ended)}${threw}${said}`;
}

function chainOf(error: SerializedError): string[] {
  const { name, code, message, cause } = error;
  const kind = name === 'ServerError' && code !== undefined ? String(code) : name;
  return [`${kind}: ${message}`, ...(cause === undefined ? [] : chainOf(cause))];
}
