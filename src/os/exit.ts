/** Ending a process for certain. */
import * as C from './constants.js';
import { libc } from './libc.js';

type ReallyExit = (code?: number) => never;
const STANDARD = [0, 1, 2] as const;
let flags: readonly number[] = [];

/** Remembers the flags of the standard descriptors, to restore them at exit: other processes share them. */
export function keepStandardFlags(): void {
  flags = STANDARD.map((descriptor) => libc.fcntl(descriptor, C.F_GETFL, 0));
}

/**
 * From here on `process.exit()` (after the 'exit' listeners) leaves by `_exit(2)`, without tearing V8 down. The teardown
 * joins V8's compiler threads, and one that needs memory at that moment waits for a garbage collection by the very
 * thread that joins it: on Node 26 about one worker in 200 hung there for good. Skipping it costs nothing, because the
 * kernel frees the resources. Profiles and coverage are written in the teardown, so a process that takes any keeps it.
 */
export function exitWithoutTeardown(): void {
  if (process.env['NODE_V8_COVERAGE'] !== undefined || process.execArgv.some((arg) => arg.includes('prof'))) return;
  keepStandardFlags();
  // Node itself leaves here, and tools that watch for the end of a process hook it.
  const node = process as unknown as { reallyExit: ReallyExit };
  node.reallyExit = (code) => {
    // Node makes pipes non-blocking; other processes that share them do not expect it.
    for (const descriptor of STANDARD) {
      const before = flags[descriptor] ?? -1;
      if (before >= 0) libc.fcntl(descriptor, C.F_SETFL, before);
    }
    return libc._exit(code ?? 0);
  };
}
