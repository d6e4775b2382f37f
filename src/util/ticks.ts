/** What Node puts off to the end of the running callback: `process.nextTick`, and promises. */

type RunTicks = () => void;

/** Node's own way to run them now (undocumented, for its REPL). Missing: they run at the end of the turn, as ever. */
const { _tickCallback: tickCallback } = process as { readonly _tickCallback?: RunTicks };

/**
 * Runs them now. An exception of one goes Node's way: to `uncaughtException`, or it ends the process. It must not pass
 * through us: Node would still take the tick for running, and end the process ("async hook stack has become corrupted").
 * Thrown again in a microtask it is taken for uncaught at once, which clears that.
 */
export function runTicks(): void {
  if (tickCallback === undefined) return;
  for (;;) {
    try {
      return tickCallback();
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}
