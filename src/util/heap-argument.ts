/**
 * From how much of V8's old space on a full collection begins. V8 counts the memory of buffers to it. Its own first limit
 * shrinks to a few MiB above what is alive where most garbage dies young, as in a server: then some 2,000 bodies of 4 KiB
 * bring about a full collection each time, where the collections of the young space would do.
 */
import { availableParallelism, totalmem } from 'node:os';

const ARGUMENT = '--initial-old-space-size=64';
/** What V8 has without it. */
const SIZE_BY_DEFAULT = '--initial-old-space-size=0';
/** Each process may have as much garbage, and there are about as many as cores: a smaller machine does not get the argument. */
const LEAST_MEMORY_BYTES = 2 ** 30;
const PER_CORE_BYTES = 2 ** 28;
/** Whoever sizes the heap has thought of it. */
const SIZES = /^"?--(initial|max)[-_](heap|old[-_]space)[-_]size\b/;

/**
 * @param given Node's arguments of a process that runs callbacks @param nodeOptions its variable NODE_OPTIONS
 * @returns what it gets besides
 */
export function heapArguments(
  given: readonly string[] = process.execArgv,
  nodeOptions: string = process.env['NODE_OPTIONS'] ?? '',
  { memoryBytes, cores } = machine(),
): string[] {
  if (memoryBytes < Math.max(LEAST_MEMORY_BYTES, cores * PER_CORE_BYTES)) return [];
  return [...given, ...nodeOptions.split(/\s+/)].some((word) => SIZES.test(word)) ? [] : [ARGUMENT];
}

/** Of this process' cgroup, if that has a limit. */
function machine(): { memoryBytes: number; cores: number } {
  const limit = process.constrainedMemory() || Number.POSITIVE_INFINITY;
  return { memoryBytes: Math.min(totalmem(), limit), cores: availableParallelism() };
}

/** Keeps the argument from `process.execArgv`: threads that are given those are refused arguments of V8. */
export function forgetHeapArgument(): void {
  process.execArgv = process.execArgv.filter((word) => word !== ARGUMENT);
}

/**
 * V8 has made the heap: without the argument it takes the compiled code of Node's modules, of which none that can wait should
 * have been loaded by now. The size stays.
 */
export function takeBackHeapArgument(): void {
  if (process.execArgv.includes(ARGUMENT)) process.getBuiltinModule('node:v8').setFlagsFromString(SIZE_BY_DEFAULT);
  forgetHeapArgument();
}
