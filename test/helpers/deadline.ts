/** How much slower than a quiet machine this one is: measured when the run starts (`vitest.config.ts`), at least 1. */
export const PACE = Math.max(1, Number(process.env['TSWOOLE_TEST_PACE'] ?? 1));

/** For what happens as soon as processes get CPU; a promise that is told in milliseconds has a deadline of its own. */
export const DEADLINE_MS = 40_000 * PACE;
