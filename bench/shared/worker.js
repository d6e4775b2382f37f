// One of the processes that use a store: opens it, checks an answer, runs the operation until it is warm, waits, measures.
import { checkAnswer, keys, ROWS } from './cases.js';

const WARM_UP_MS = 400;
const CHECKED = 77;
const HOT = 1;
const settings = JSON.parse(process.argv[2]);
const { file, operation, over, seconds } = settings;
const store = await import(`./stores/${file}`);
const { [operation]: run } = await store.open({ ...settings, operations: [operation] });

let random = process.pid;
function spread() {
  random = (Math.imul(random, 1664525) + 1013904223) | 0;
  return (random >>> 4) % ROWS;
}
const next = over === 'hot' ? () => HOT : spread;
const keyOf = (n) => keys[n];

checkAnswer(operation, await run.once(keys[CHECKED], CHECKED), CHECKED);
await work(WARM_UP_MS);
process.on('message', async (message) => {
  if (message === 'go') process.send({ type: 'done', ...(await work(seconds * 1000)) });
  if (message === 'end') process.exit();
});
process.send({ type: 'ready' });

async function work(ms) {
  const begin = performance.now();
  let count = 0;
  while (performance.now() - begin < ms) {
    const done = run.chunk(next, keyOf);
    count += typeof done === 'number' ? done : await done;
  }
  return { count, ms: performance.now() - begin };
}
