/**
 * The files that run as separate programs or threads. The build bundles all others around them (`scripts/build.mjs`), so
 * only this module may hold paths to files of the program; it must stay at the root of `src`.
 */

/** The bundle is CommonJS: a process or thread that needs no ES module is up some 10 ms sooner. */
const KIND = import.meta.url.endsWith('.cjs') ? 'cjs' : 'js';
const entry = (path: string): URL => new URL(`${path}.${KIND}`, import.meta.url);

/** A reactor thread. */
export const REACTOR_ENTRY = entry('./reactor/entry');
/** The thread that finds where an event loop is blocked. */
export const STACK_WATCH_ENTRY = entry('./worker/stack-watch-entry');
/** The program of `tswoole start APP --http`. */
export const RUN_APP_ENTRY = entry('./http/run-app');
/** The program of the first manager: starts the first workers, and runs the script. */
export const FIRST_ENTRY = entry('./manager/first-entry');
/** The program of processes whose heap is sized, which runs the script. */
export const HEAP_ENTRY = entry('./util/heap-entry');
/** Loaded by `tswoole start` before the script. */
export const SCRIPT_GUARD_ENTRY = new URL('./cli/script-guard.js', import.meta.url);
/** The built page of the dashboard: `index.html` and `assets`. */
export const DASHBOARD_FOLDER = new URL('./dashboard/', import.meta.url);
/** The command line. */
export const CLI_ENTRY = new URL('./cli/main.cjs', import.meta.url);
