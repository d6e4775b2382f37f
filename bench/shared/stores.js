// Which stores are compared, and what each can do.
import { whyNot } from './packages.js';

const known = [
  { name: 'tswoole', file: 'tswoole.js' },
  {
    name: 'tswoole Atomic',
    file: 'tswoole.js',
    variant: 'atomic',
    does: ({ operation, over }) => operation === 'incr' && over === 'hot',
  },
  { name: 'Map, not shared', file: 'map.js', does: ({ processes }) => processes === 1 },
  { name: 'lmdb', file: 'lmdb.js', needs: 'lmdb' },
  { name: 'better-sqlite3', file: 'sqlite.js', needs: 'better-sqlite3' },
  { name: 'Redis, pipelines of 100', file: 'redis.js', variant: '100', needs: 'redis' },
  { name: 'Redis, 1 in flight', file: 'redis.js', variant: '1', needs: 'redis' },
  { name: 'process.send, 100 in flight', file: 'process-send.js', variant: '100' },
  { name: 'process.send, 1 in flight', file: 'process-send.js', variant: '1' },
];

/** @param say is told of each store that is left out, and why */
export function listStores(say, wanted) {
  return known
    .filter(({ name }) => wanted.split(',').some((part) => name.includes(part)))
    .filter(({ name, needs }) => {
      const reason = needs === undefined ? undefined : whyNot(needs);
      if (reason !== undefined) say(`${name}: left out: ${reason}`);
      return reason === undefined;
    });
}

export const canDo = ({ does = () => true }, one) => does(one);
