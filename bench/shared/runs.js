// Ways to run an operation of a store many times. Each is `{ once, chunk }`: once(key, n) answers; chunk(next) runs some
// operations, and tells how many. `next()` is a random number, of which keyOf makes the key.
const CHUNK = 500;
const IN_FLIGHT = 100;

/** What the last operation answered: an answer that nobody uses may be optimised away. */
export const sink = { last: undefined };

/** @param operation (key, n) => answer */
export const sync = (operation) => ({
  once: operation,
  chunk: (next, keyOf) => {
    for (let i = 0; i < CHUNK; i++) {
      const n = next();
      sink.last = operation(keyOf(n), n);
    }
    return CHUNK;
  },
});

/** One in flight. @param operation (key, n) => promise of the answer */
export const oneByOne = (operation) => ({
  once: operation,
  chunk: async (next, keyOf) => {
    const n = next();
    sink.last = await operation(keyOf(n), n);
    return 1;
  },
});

/** 100 in flight; the next 100 when all are answered. */
export const together = (operation) => ({
  once: operation,
  chunk: async (next, keyOf) => {
    const promises = new Array(IN_FLIGHT);
    for (let i = 0; i < IN_FLIGHT; i++) {
      const n = next();
      promises[i] = operation(keyOf(n), n);
    }
    sink.last = await Promise.all(promises);
    return IN_FLIGHT;
  },
});

/** 100 in one batch. @param begin () => batch @param add (batch, key, n) @param end (batch) => promise of the answers */
export const batched = (begin, add, end) => ({
  once: async (key, n) => {
    const batch = begin();
    add(batch, key, n);
    return (await end(batch))?.[0];
  },
  chunk: async (next, keyOf) => {
    const batch = begin();
    for (let i = 0; i < IN_FLIGHT; i++) {
      const n = next();
      add(batch, keyOf(n), n);
    }
    sink.last = await end(batch);
    return IN_FLIGHT;
  },
});
