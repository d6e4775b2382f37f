import type { JobsOptions, RateLimiterOptions, RepeatOptions } from 'bullmq';
import { describe, ServerError, told } from '../../errors/index.js';
import { CRON_EXPECTED, cronFault } from './cron-fault.js';
import { checkFields, wrong } from './known-fields.js';
import { integer, LONGEST_MS, numeric } from './limits.js';
import type { JobBackoff, JobOptions, JobPage, JobRule, WorkOptions } from './queue.js';

/** What BullMQ takes as the most urgent but nought. */
const LOWEST_PRIORITY = 2 ** 21;
/** A year, in milliseconds; BullMQ keeps delays in doubles with a counter below them. */
const LONGEST_DELAY_MS = 366 * 24 * 3600 * 1000;
const MOST_OF_A_PAGE = 1_000;
const KEPT_DONE = 1_000;
const KEPT_DEAD = 10_000;
/** Stacks of so many failed attempts are kept. */
const KEPT_STACKS = 5;

/** Everything but the id and the delay: what a schedule gives its jobs too. */
export function toTemplate(o: JobOptions): JobsOptions {
  if (o.keep !== undefined) checkFields('keep', 'keep', o.keep);
  const options: JobsOptions = {
    attempts: integer('attempts', o.attempts ?? 1, { min: 1, max: 1_000 }),
    removeOnComplete: keep('keep.done', o.keep?.done ?? KEPT_DONE),
    removeOnFail: keep('keep.dead', o.keep?.dead ?? KEPT_DEAD),
  };
  if (options.attempts !== 1) options.stackTraceLimit = KEPT_STACKS;
  if (o.priority !== undefined) options.priority = integer('priority', o.priority, { min: 1, max: LOWEST_PRIORITY });
  if (o.backoff !== undefined) options.backoff = toBackoff(o.backoff);
  return options;
}

/** @throws ServerError ERR_JOB_OPTION */
export function toPage(page: JobPage): Required<JobPage> {
  checkFields('page', 'page', page);
  const { offset = 0, limit = 100 } = page;
  return {
    offset: integer('offset', offset, { min: 0, max: LONGEST_MS }),
    limit: integer('limit', limit, { min: 1, max: MOST_OF_A_PAGE }),
  };
}

export function toDelay(delayMs = 0): number {
  return integer('delayMs', delayMs, { min: 0, max: LONGEST_DELAY_MS });
}

function checkCron(cron: unknown): void {
  if (typeof cron !== 'string') throw wrong('cron', CRON_EXPECTED, cron);
  const fault = cronFault(cron);
  if (fault === undefined) return;
  const received = fault.part === cron ? describe(cron) : `"${fault.part}" in ${describe(cron)}`;
  throw told(new ServerError('ERR_JOB_OPTION', { name: 'cron', expected: fault.expected, received }));
}

/** @param why of the engine's own parser; missing: the rule has no time that comes */
export function unusableCron(cron: string, why: string | undefined): ServerError {
  const received = why === undefined ? describe(cron) : `${describe(cron)} (${why})`;
  return told(
    new ServerError('ERR_JOB_OPTION', { name: 'cron', expected: `${CRON_EXPECTED}, of a time that comes`, received }),
  );
}

/** @throws ServerError ERR_JOB_OPTION; what is left of `cron` is checked by the engine's own parser */
export function toRepeat(rule: JobRule): Omit<RepeatOptions, 'key'> {
  checkFields('rule', 'rule', rule);
  if ('everyMs' in rule && 'cron' in rule) throw wrong('rule', 'one with cron or with everyMs, not both', rule);
  if ('everyMs' in rule) return { every: integer('everyMs', rule.everyMs, { min: 100, max: LONGEST_DELAY_MS }) };
  const { cron, tz } = rule;
  if (cron === undefined) throw wrong('rule', 'one with cron, such as {cron: "0 4 * * *"}, or with everyMs', rule);
  checkCron(cron);
  return { pattern: cron.trim(), ...(tz !== undefined && { tz: timeZone(tz) }) };
}

/** A whole number of starts per window: below one a second the window is longer. */
export function toLimiter(rate: NonNullable<WorkOptions['rate']>): RateLimiterOptions {
  checkFields('rate', 'rate', rate);
  const perSecond = numeric('rate.perSecond', rate.perSecond, { min: 0.001, max: 1_000_000 });
  if (perSecond < 1) return { max: 1, duration: Math.ceil(1000 / perSecond) };
  return { max: integer('rate.perSecond', perSecond, { min: 1, max: 1_000_000 }), duration: 1000 };
}

/** 0 keeps none; BullMQ says that otherwise. */
function keep(name: string, count: number): boolean | { count: number } {
  return integer(name, count, { min: 0, max: 10_000_000 }) === 0 ? true : { count };
}

/** BullMQ's own "exponential" knows no end: the twentieth pause of a minute is two years. */
const CAPPED = 'exponential-capped';
const DAY_MS = 24 * 3600 * 1000;

interface CappedBackoff extends KeepBackoff {
  readonly type: typeof CAPPED;
  readonly maxDelayMs: number;
}

interface KeepBackoff {
  readonly type: string;
  readonly delay: number;
  readonly jitter: number;
}

function toBackoff(backoff: JobBackoff): KeepBackoff | CappedBackoff {
  checkFields('backoff', 'backoff', backoff);
  const { type, delayMs, maxDelayMs = DAY_MS, jitter = 0 } = backoff;
  const delay = integer('backoff.delayMs', delayMs, { min: 0, max: LONGEST_DELAY_MS });
  const most = integer('backoff.maxDelayMs', maxDelayMs, { min: 0, max: LONGEST_DELAY_MS });
  const part = numeric('backoff.jitter', jitter, { min: 0, max: 1 });
  if (type === 'fixed') return { type, delay, jitter: part };
  if (type === 'exponential') return { type: CAPPED, delay, maxDelayMs: most, jitter: part };
  throw told(
    new ServerError('ERR_JOB_OPTION', {
      name: 'backoff.type',
      expected: '"fixed" or "exponential"',
      received: describe(type),
    }),
  );
}

/** Pause after the attempt of that number, in milliseconds: what BullMQ's worker asks for every type it does not know. */
export function backoffOf(attemptsMade: number, backoff: unknown): number {
  const { delay = 0, maxDelayMs = DAY_MS, jitter = 0 } = (backoff ?? {}) as Partial<CappedBackoff>;
  const whole = Math.min(maxDelayMs, delay * 2 ** (attemptsMade - 1));
  return Math.round(whole * (1 - jitter * Math.random()));
}

function timeZone(tz: string): string {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: tz }).resolvedOptions().timeZone;
  } catch {
    throw told(
      new ServerError('ERR_JOB_OPTION', {
        name: 'tz',
        expected: 'the name of a time zone, as in Europe/Berlin',
        received: describe(tz),
      }),
    );
  }
}
