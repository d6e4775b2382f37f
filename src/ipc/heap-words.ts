/** Node's arguments for the heap of a process that runs callbacks, with what makes its boot as fast as without them. */
import { fileURLToPath } from 'node:url';
import { HEAP_ENTRY } from '../entries.js';
import { heapArguments } from '../util/heap-argument.js';

/** @param given Node's arguments of the process @param nodeOptions its variable NODE_OPTIONS */
export function heapWords(given?: readonly string[], nodeOptions?: string): string[] {
  const words = heapArguments(given, nodeOptions);
  return words.length === 0 ? [] : [...words, `--require=${fileURLToPath(HEAP_ENTRY)}`];
}
