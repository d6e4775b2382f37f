/** What each kind of shared object tells of itself, and what is to be done for it when a process has died. */
import type { SharedObject } from './arena.js';
import { atomicFigures, settleDeadAtomic } from './atomic.js';
import { cacheFigures } from './cache/cache-core.js';
import type { Figures } from './figures.js';
import type { Kind } from './kinds.js';
import { lockFigures, settleDeadLock } from './lock.js';
import { openArenas } from './objects.js';
import { onceFigures, settleDeadOnce } from './once.js';
import { limiterFigures } from './rate-limiter.js';
import { semaphoreFigures, settleDeadSemaphore } from './semaphore.js';
import { tableFigures } from './table/figures.js';
import { settleDeadTopic, topicFigures } from './topic.js';

interface Entry {
  figures(object: SharedObject): Figures;
  /** What the dead have held goes on to those that wait. Missing: whoever comes next sees it by itself. */
  settle?(object: SharedObject): void;
}

const bytesAlone = (object: SharedObject): Figures => ({ bytes: object.memory.byteLength });

const entries: Readonly<Record<Kind, Entry>> = {
  table: { figures: tableFigures },
  atomic: { figures: atomicFigures, settle: settleDeadAtomic },
  lock: { figures: lockFigures, settle: settleDeadLock },
  semaphore: { figures: semaphoreFigures, settle: settleDeadSemaphore },
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

/** Called by whoever has reaped a process. */
export function processDied(pid: number): void {
  for (const { arena } of openArenas()) {
    arena.owners.markDead(pid);
    for (const object of arena.objects()) entries[object.kind].settle?.(object);
  }
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
