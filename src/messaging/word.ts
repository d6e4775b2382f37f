/**
 * The word of a slot: all state that two processes could disagree about, in 32 bits that change by one compare-and-swap.
 *
 * ```
 *  31        20 19     16 15          5   4        3     2   0
 * ┌────────────┬─────────┬─────────────┬─────────┬──────┬──────┐
 * │ use (12)   │ tries(4)│ runner (11) │ aborted │ gone │ state│
 * └────────────┴─────────┴─────────────┴─────────┴──────┴──────┘
 * ```
 * free → writing → queued → running → done | failed → free. When a runner dies, running becomes queued again, or failed.
 * When another process frees a slot whose caller no longer waits (`gone`, `aborted`), the owner has to find it.
 */
export const SlotState = { free: 0, writing: 1, queued: 2, running: 3, done: 4, failed: 5 } as const;
export type SlotState = (typeof SlotState)[keyof typeof SlotState];

/** The process that wanted the result has died. */
export const GONE = 1 << 3;
/** The caller has given up: its time-out has passed. The runner should stop. */
export const ABORTED = 1 << 4;

const STATE = 7;
const RUNNER_AT = 5;
const RUNNER = 0x7ff;
const TRIES_AT = 16;
const TRIES = 15;
const USE_AT = 20;

export const stateOf = (word: number): number => word & STATE;
export const runnerOf = (word: number): number => (word >>> RUNNER_AT) & RUNNER;
export const triesOf = (word: number): number => (word >>> TRIES_AT) & TRIES;
export const useOf = (word: number): number => word >>> USE_AT;
/** The caller no longer waits for the result. */
export const isUnwanted = (word: number): boolean => (word & (GONE | ABORTED)) !== 0;

export const inState = (word: number, state: SlotState): number => (word & ~STATE) | state;

/** The same use, now run by `runner`. */
export const runBy = (word: number, runner: number): number =>
  (word & ~(STATE | (RUNNER << RUNNER_AT))) | SlotState.running | (runner << RUNNER_AT);

/** The same use, queued for another try. */
export const tryAgain = (word: number): number =>
  (word & ~(STATE | (TRIES << TRIES_AT))) | SlotState.queued | ((triesOf(word) + 1) << TRIES_AT);

/** The next use of a slot that was free. */
export const nextUse = (word: number): number => ((useOf(word) + 1) << USE_AT) | SlotState.writing;

/** Unused, until its owner takes it again. */
export const freed = (word: number): number => (useOf(word) << USE_AT) | SlotState.free;

/**
 * An entry of a queue: owner (11), slot + 1 (16; so no entry is 0), and the last bits of the use. With those bits the entry
 * of an abandoned task seldom matches the next task in the same slot (and if it does, that one is merely found early).
 */
export const entryOf = (owner: number, slot: number, word: number): number =>
  (owner << 21) | ((slot + 1) << 5) | (useOf(word) & 31);
export const ownerOfEntry = (entry: number): number => entry >>> 21;
export const slotOfEntry = (entry: number): number => ((entry >>> 5) & 0xffff) - 1;
export const isOfUse = (entry: number, word: number): boolean => (entry & 31) === (useOf(word) & 31);
