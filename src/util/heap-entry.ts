/**
 * The program of processes whose heap has the size of `heap-argument.ts`: it takes that argument back, and runs the script.
 * V8 has made the heap by now, so the argument has done what it is for; while it stands, V8 refuses the compiled code of
 * Node's own modules, and compiling them is a fifth of a process' boot.
 */
import { takeBackHeapArgument } from './heap-argument.js';
import { runScript } from './run-script.js';

takeBackHeapArgument();
runScript();
