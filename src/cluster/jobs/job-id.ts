import { randomUUID } from 'node:crypto';
import { describe, ServerError, told } from '../../errors/index.js';
import type { JobId } from './queue.js';

/** BullMQ's own ids of the jobs of a schedule begin so. */
const OF_SCHEDULE = 'repeat:';
const MOST_BYTES_OF_ID = 256;
const MOST_BYTES_OF_KEY = 128;

/** Name of a queue, or prefix: BullMQ refuses ':' in it, and what else it may hold is plain in every tool. */
export function checkName(what: string, name: unknown): asserts name is string {
  if (typeof name === 'string' && /^[A-Za-z0-9._-]{1,128}$/.test(name)) return;
  throw told(
    new ServerError('ERR_JOB_OPTION', {
      name: what,
      expected: '1 to 128 of A-Za-z0-9._-',
      received: describe(name),
    }),
  );
}

/** The id a user gives, as BullMQ gets it: with a sign before it, because BullMQ refuses ids that look like integers. */
export function toEngineId(id: unknown): string {
  if (typeof id !== 'string' || !isText(id, MOST_BYTES_OF_ID) || id.startsWith(OF_SCHEDULE)) {
    throw told(
      new ServerError('ERR_JOB_OPTION', {
        name: 'id',
        expected: `1 to ${MOST_BYTES_OF_ID} bytes of text that does not begin with "${OF_SCHEDULE}"`,
        received: describe(id),
      }),
    );
  }
  return `=${escapeColons(id)}`;
}

export function newEngineId(): string {
  return `=${randomUUID()}`;
}

/** Key of a schedule, as BullMQ gets it: colons would let it take the key for one of its old form. */
export function toEngineKey(key: unknown): string {
  if (typeof key === 'string' && isText(key, MOST_BYTES_OF_KEY)) return escapeColons(key);
  throw told(
    new ServerError('ERR_JOB_OPTION', {
      name: 'key',
      expected: `1 to ${MOST_BYTES_OF_KEY} bytes of text`,
      received: describe(key),
    }),
  );
}

/** The key of a schedule, as the user has given it. */
export function fromEngineKey(engineKey: string): string {
  return restoreColons(engineKey);
}

export function toJobId(name: string, engineId: string): JobId {
  return `${name}:${engineId.startsWith('=') ? restoreColons(engineId.slice(1)) : engineId}`;
}

/** The two halves of a `JobId`. */
export function fromJobId(id: unknown): { name: string; engineId: string } {
  const at = typeof id === 'string' ? id.indexOf(':') : -1;
  if (typeof id !== 'string' || at < 1) {
    throw told(new ServerError('ERR_JOB_OPTION', { name: 'id', expected: 'NAME:ID', received: describe(id) }));
  }
  const [name, own] = [id.slice(0, at), id.slice(at + 1)];
  checkName('name', name);
  return { name, engineId: own.startsWith(OF_SCHEDULE) ? own : toEngineId(own) };
}

function isText(value: string, mostBytes: number): boolean {
  // A lone surrogate would reach the engine as another text than it left.
  return value.length > 0 && Buffer.byteLength(value) <= mostBytes && !/\p{Surrogate}/u.test(value);
}

function escapeColons(text: string): string {
  return text.replaceAll('%', '%25').replaceAll(':', '%3A');
}

function restoreColons(text: string): string {
  return text.includes('%') ? text.replaceAll('%3A', ':').replaceAll('%25', '%') : text;
}
