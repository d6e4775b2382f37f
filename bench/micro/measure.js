import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const WARM_UP = 2000;
const WINDOWS = 6000;

/** @returns loads modules of a built checkout, with all that they export */
export const loaderOf = (tree) => async (names) => {
  const modules = await Promise.all(names.map((name) => import(pathToFileURL(join(tree, 'build', `${name}.js`)).href)));
  return Object.assign({}, ...modules);
};

/**
 * Prints the nanoseconds per item of `turn`, which handles `items` of them: of short windows the 15th percentile, so that
 * neither other processes nor collections of garbage count.
 */
export function report(items, turn) {
  for (let i = 0; i < WARM_UP; i++) turn(i);
  const times = [];
  for (let i = 0; i < WINDOWS; i++) {
    const start = process.hrtime.bigint();
    turn(i);
    times.push(Number(process.hrtime.bigint() - start) / items);
  }
  times.sort((a, b) => a - b);
  console.log(times[Math.floor(WINDOWS * 0.15)]);
}

export const shape = {
  ...{ reactorNum: 1, workerNum: 1, taskWorkerNum: 0, userProcessNum: 0, tlsSlots: 0, tlsRecordBytes: 0 },
  ...{ dataSlots: 0, rooms: 0, slots: 64, ringBytes: 1 << 18, messageSlots: 64 },
};

export const HEAD = Buffer.from(
  'GET /hello HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n',
);
