/**
 * The files that run as separate programs or threads. The build bundles all others around them (`scripts/build.mjs`), so
 * only this module may hold paths to files of the program; it must stay at the root of `src`.
 */

/** A reactor thread. */
export const REACTOR_ENTRY = new URL('./reactor/entry.js', import.meta.url);
/** The thread that finds where an event loop is blocked. */
export const STACK_WATCH_ENTRY = new URL('./worker/stack-watch-entry.js', import.meta.url);
/** The program of `tswoole start APP --http`. */
export const RUN_APP_ENTRY = new URL('./http/run-app.js', import.meta.url);
/** Loaded by `tswoole start` before the script. */
export const SCRIPT_GUARD_ENTRY = new URL('./cli/script-guard.js', import.meta.url);
/** The command line. */
export const CLI_ENTRY = new URL('./cli/main.js', import.meta.url);
