// A Map in the parent; workers ask it by process.send. Variants: 1 or 100 in flight.
import { oneByOne, together } from '../runs.js';
import { mapOperations } from './map-store.js';

export function host() {
  const operations = mapOperations();
  const serve = (child) =>
    child.on('message', ({ id, operation, key, n }) => {
      if (id !== undefined) child.send({ id, answer: operations[operation](key, n) });
    });
  return { serve };
}

export function open({ variant, operations }) {
  const waiting = new Map();
  let last = 0;
  process.on('message', ({ id, answer }) => {
    waiting.get(id)?.(answer);
    waiting.delete(id);
  });
  const ask = (operation) => (key, n) =>
    new Promise((resolve) => {
      waiting.set(++last, resolve);
      process.send({ id: last, operation, key, n });
    });
  const run = variant === '100' ? together : oneByOne;
  return Object.fromEntries(operations.map((operation) => [operation, run(ask(operation))]));
}
