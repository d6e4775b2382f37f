import { isDeepStrictEqual } from 'node:util';
import type { JobSchedulerJson, JobsOptions, Queue, RepeatOptions } from 'bullmq';

/** As BullMQ takes it. */
export interface Schedule {
  readonly key: string;
  readonly repeat: Omit<RepeatOptions, 'key'>;
  readonly name: string;
  readonly data: unknown;
  readonly opts: JobsOptions;
}

/** When a rule ticks next after a time, both in milliseconds since 1970: BullMQ's own reckoning. */
export type NextTick = (afterMs: number, repeat: Schedule['repeat']) => number | undefined;

/** Ticks in a row that may have been taken already. */
const MOST_ATTEMPTS = 5;

/**
 * Makes or replaces a schedule, and runs no tick twice nor drops one. BullMQ by itself does both: its upsert takes away the tick
 * that waits, even one that is overdue, and makes the next one after the *caller's* time, even where another node has run
 * that one already, because its clock is ahead or because it was faster. So a schedule that is the same is left alone, and a
 * cron rule goes on from the tick that waits. The caller sees to it that no two nodes do this at the same time. (A worker may
 * take that tick in between, a round trip long: only a replaced job then runs at that tick again.)
 */
export async function upsertSchedule(queue: Queue, wanted: Schedule, nextTick: NextTick): Promise<void> {
  const { key, repeat, name, data, opts } = wanted;
  let after = 0;
  for (let attempt = 1; ; attempt++) {
    const known = await queue.getJobScheduler(key);
    if (known !== undefined && isSame(known, wanted)) return;
    if (known?.next !== undefined && hasSameCron(known, repeat)) after = Math.max(after, known.next - 1);
    try {
      await queue.upsertJobScheduler(key, repeat, { name, data, opts: { ...opts, prevMillis: after } });
      return;
    } catch (error) {
      if (attempt === MOST_ATTEMPTS || !isTaken(error)) throw error;
    }
    // That tick runs, or has run: the one behind it.
    after = nextTick(Math.max(after, Date.now()), repeat) ?? after;
  }
}

function isSame(known: JobSchedulerJson, { repeat, name, data, opts }: Schedule): boolean {
  const { prevMillis: _, ...knownOpts } = known.template?.opts ?? {};
  const rule = (of: Schedule['repeat']) => [of.pattern, of.tz, of.every];
  return (
    isDeepStrictEqual(rule(known as Schedule['repeat']), rule(repeat)) &&
    // BullMQ keeps no data that is empty.
    isDeepStrictEqual([known.name, known.template?.data ?? {}, knownOpts], [name, asJson(data), asJson(opts)])
  );
}

function hasSameCron(known: JobSchedulerJson, { pattern, tz }: Schedule['repeat']): boolean {
  return pattern !== undefined && known.pattern === pattern && known.tz === tz;
}

function asJson(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value ?? {}));
}

/** BullMQ has a job of that tick which it does not replace. */
function isTaken(error: unknown): boolean {
  return (error as Error).message.includes('job ID already exists');
}
