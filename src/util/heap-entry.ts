/**
 * Loaded by Node before all else in processes whose heap has the size of `heap-argument.ts`. Node brings its own modules
 * compiled, and V8 takes that code only while its flags are as they were then: with the argument it compiles each module anew,
 * which is a fifth of a process' boot. V8 has made the heap by now, so the argument has done what it is for.
 */
import { setFlagsFromString } from 'node:v8';
import { SIZE_BY_DEFAULT } from './heap-argument.js';

const isOurs = (word: string): boolean => word.startsWith('--require=') && /[\\/]util[\\/]heap-entry\.c?js$/.test(word);

const at = process.execArgv.findIndex(isOurs);
if (at >= 0) process.execArgv.splice(at, 1);
setFlagsFromString(SIZE_BY_DEFAULT);
