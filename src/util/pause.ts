/** Resolves after `ms`, or at once when `signal` aborts; never rejects. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    if (signal?.aborted === true) done();
    else signal?.addEventListener('abort', done);
  });
}

const GONE_MS = 10;

/**
 * For who waits for room of a client that has gone. Many a handler sends in a loop and waits in it, and does not look whether
 * anybody is there: resolved at once, its promise would let the loop run in one turn, without end, and nothing else.
 */
export function afterGone(): Promise<void> {
  return pause(GONE_MS);
}
