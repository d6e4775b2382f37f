/**
 * Programs of ours that act before the script runs, and then run it. They are no files that Node loads before its program
 * (`--require`) where that can be: those it would load in each thread of the user too, also where the package cannot be read
 * any more.
 */
import { fileURLToPath } from 'node:url';
import { HEAP_ENTRY } from '../entries.js';
import { heapArguments } from '../util/heap-argument.js';

/** What these load would come before our program, and take it for the script. */
const COMES_FIRST = /^"?(-r\b|--(require|import|loader|experimental-loader|entry-url|inspect))/;

/** @param nodeArgs of Node, for the process @returns true where a program of ours may stand in place of the script */
export function mayComeFirst(nodeArgs: readonly string[]): boolean {
  const nodeOptions = (process.env['NODE_OPTIONS'] ?? '').split(/\s+/);
  return ![...nodeArgs, ...nodeOptions].some((word) => COMES_FIRST.test(word));
}

/**
 * How Node is called for a process that runs callbacks: its heap has a size, and its boot is as fast as without one.
 * @param nodeArgs of Node @param command the script and its arguments @returns the arguments of Node, all together
 */
export function withSizedHeap(nodeArgs: readonly string[], command: readonly string[]): string[] {
  const size = heapArguments();
  const program = size.length > 0 && mayComeFirst(nodeArgs) ? [fileURLToPath(HEAP_ENTRY)] : []; // else load.cjs does it
  return [...size, ...nodeArgs, ...program, ...command];
}
