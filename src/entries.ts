/**
 * The files that run as programs or threads of their own. The build draws all others together around them
 * (`scripts/build.mjs`), so this is the only place from where a path leads to a file of the program; it must stay at the
 * root of `src`.
 */

/** A reactor thread. */
export const REACTOR_ENTRY = new URL('./reactor/entry.js', import.meta.url);
/** The thread that finds out where an event loop stands still. */
export const STACK_WATCH_ENTRY = new URL('./worker/stack-watch-entry.js', import.meta.url);
/** The program of `tswoole start APP --http`. */
export const RUN_APP_ENTRY = new URL('./http/run-app.js', import.meta.url);
/** What `tswoole start` loads before the script. */
export const SCRIPT_GUARD_ENTRY = new URL('./cli/script-guard.js', import.meta.url);
/** The command line. */
export const CLI_ENTRY = new URL('./cli/main.js', import.meta.url);
