// What is measured, and the data: the same rows, keys and texts in every store.

export const ROWS = 10_000;
export const keys = Array.from({ length: ROWS }, (_, index) => `user:${index}`);
const texts = Array.from({ length: 64 }, (_, index) => `Mozilla ${index} abcdefgh`);
/** 200 bytes each. */
export const values = texts.map((text) => text.padEnd(200, '.'));

/** The row that has the number `n`. */
export const rowOf = (n) => ({ a: n & 0xffff, b: n * 0.5, s: texts[n & 63] });
export const textOf = (n) => values[n & 63];

/** Of the limiter. A take costs so little that none is refused: it would be a cheaper one. */
export const PER_SECOND = 1e6;
export const BURST = 1e6;
export const COST = 1e-3;

/** Whether the answer for a key is right, of stores that answer. Counters begin at `n & 0xffff`, and grow. */
const operations = {
  'get row': (answer, n) => isRow(answer, rowOf(n)),
  'get column': (answer, n) => Number(answer) === rowOf(n).b,
  has: (answer) => Boolean(answer),
  set: () => true,
  incr: (answer, n) => Number(answer) > rowOf(n).a,
  'limiter take': (answer) => Boolean(answer),
  'cache get': (answer, n) => answer === textOf(n),
  'cache set': () => true,
};

/** @throws when a store answers something else than the others: what it does would be another operation */
export function checkAnswer(operation, answer, n) {
  if (!operations[operation](answer, n)) throw new Error(`${operation} answers ${JSON.stringify(answer)}`);
}

function isRow(answer, { a, b, s }) {
  return Number(answer?.a) === a && Number(answer?.b) === b && answer.s === s;
}

export const cases = Object.keys(operations).flatMap((operation) =>
  ['spread', 'hot'].flatMap((over) => [1, 4].map((processes) => caseOf(operation, over, processes))),
);

export function processesOf(count) {
  return `${count} process${count > 1 ? 'es' : ''}`;
}

function caseOf(operation, over, processes) {
  const title = `${operation}, ${over === 'hot' ? 'one hot key' : 'spread keys'}, ${processesOf(processes)}`;
  return { title, operation, over, processes };
}
