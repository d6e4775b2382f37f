/**
 * From how much of V8's old space on a full collection begins. V8 counts the memory of buffers to it. Its own first limit
 * shrinks to a few MiB above what is alive where most garbage dies young, as in a server: then some 2,000 bodies of 4 KiB
 * bring about a full collection each time, where the collections of the young space would do.
 */
import { totalmem } from 'node:os';

const ARGUMENT = '--initial-old-space-size=64';
/** Each process may have as much garbage; a machine that is smaller does not get the argument. */
const LEAST_MEMORY_BYTES = 2 ** 30;
/** Whoever sizes the heap has thought of it. */
const SIZES = /^--(initial|max)[-_](heap|old[-_]space)[-_]size\b/;

/** @param given Node's arguments and NODE_OPTIONS, in words @returns arguments of Node for a process that runs callbacks */
export function heapArguments(
  given: readonly string[],
  memoryBytes: number = Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY),
): string[] {
  return memoryBytes < LEAST_MEMORY_BYTES || given.some((word) => SIZES.test(word)) ? [] : [ARGUMENT];
}

/** Keeps the argument from `process.execArgv`: threads that are given those are refused arguments of V8. */
export function forgetHeapArgument(): void {
  process.execArgv = process.execArgv.filter((word) => word !== ARGUMENT);
}

/** Of this process, as its children inherit them. */
export function inheritedWords(): string[] {
  return [...process.execArgv, ...(process.env['NODE_OPTIONS'] ?? '').split(/\s+/)];
}
