/** What each kind of shared object tells of itself, and what is to be done for it when a process has died. */
import type { SharedObject } from './arena.js';
import { atomicFigures, settleDeadAtomic } from './atomic.js';
import { cacheFigures } from './cache/cache-core.js';
import type { Figures } from './figures.js';
import type { Kind } from './kinds.js';
import { lockFigures, lockQueue, settleDeadLock } from './lock.js';
import { openArenas } from './objects.js';
import { onceFigures, settleDeadOnce } from './once.js';
import type { Owners } from './owners.js';
import { limiterFigures } from './rate-limiter.js';
import { semaphoreFigures, semaphoreQueue, settleDeadSemaphore } from './semaphore.js';
import { tableFigures } from './table/figures.js';
import { settleDeadTopic, topicFigures } from './topic.js';
import type { Queue } from './waiting/queue.js';

interface Entry {
  figures(object: SharedObject): Figures;
  /** Of those who hold it and those who wait. */
  queue?(object: SharedObject): Queue;
  /** What the dead have held goes on to those that wait. Missing: whoever comes next sees it by itself. */
  settle?(object: SharedObject): void;
}

const bytesAlone = (object: SharedObject): Figures => ({ bytes: object.memory.byteLength });

const entries: Readonly<Record<Kind, Entry>> = {
  table: { figures: tableFigures },
  atomic: { figures: atomicFigures, settle: settleDeadAtomic },
  lock: { figures: lockFigures, queue: lockQueue, settle: settleDeadLock },
  semaphore: { figures: semaphoreFigures, queue: semaphoreQueue, settle: settleDeadSemaphore },
  cache: { figures: cacheFigures },
  limiter: { figures: limiterFigures },
  once: { figures: onceFigures, settle: settleDeadOnce },
  topic: { figures: topicFigures, settle: settleDeadTopic },
  waiters: { figures: bytesAlone },
  file: { figures: bytesAlone },
};

/**
 * One shared object: its memory in bytes, and what its kind counts. Objects without a name are called `#1`, `#2`, …, those in
 * files by the path.
 */
export interface SharedObjectStats {
  readonly kind: Kind;
  readonly name: string;
  readonly figures: Figures;
}

/** A shared object, with its figures beside its name, and who holds it. */
export interface SharedObjectDetails {
  readonly kind: Kind;
  readonly name: string;
  /** What it was declared with, in words. */
  readonly declared: string;
  /** Processes that hold it now (locks and semaphores), each once; one that is dead is not among them. */
  readonly holders: readonly number[];
  readonly [figure: string]: unknown;
}

/** Called by whoever has reaped a process. */
export function processDied(pid: number): void {
  for (const { arena } of openArenas()) {
    arena.owners.markDead(pid);
    for (const object of arena.objects()) entries[object.kind].settle?.(object);
  }
}

/** The same as `sharedObjects`, with who holds what: costs more. */
export function sharedObjectDetails(): SharedObjectDetails[] {
  return openArenas().flatMap(({ arena, path }) =>
    arena
      .objects()
      .filter(({ kind }) => kind !== 'file')
      .map((object) => ({
        ...entries[object.kind].figures(object),
        kind: object.kind,
        name: path ?? object.name,
        declared: object.schema,
        holders: holdersOf(object, arena.owners),
      })),
  );
}

function holdersOf(object: SharedObject, owners: Owners): number[] {
  const queue = entries[object.kind].queue?.(object);
  if (queue === undefined) return [];
  return [...new Set(queue.holders().map((word) => owners.pidOf(word)))].filter((pid) => pid > 0);
}

/** Of all objects of the server, made by any process. */
export function sharedObjects(): SharedObjectStats[] {
  return openArenas().flatMap(({ arena, path }) =>
    arena
      .objects()
      .filter(({ kind }) => kind !== 'file')
      .map((object) => ({
        kind: object.kind,
        name: path ?? object.name,
        figures: entries[object.kind].figures(object),
      })),
  );
}
