import { describe, expect, it } from 'vitest';
import { Lock } from '../../src/shared/lock.js';
import { sharedObjectDetails } from '../../src/shared/registry.js';
import { Semaphore } from '../../src/shared/semaphore.js';
import { Table } from '../../src/shared/table/table.js';

const detailsOf = (name: string): unknown => sharedObjectDetails().find((object) => object.name === name);

describe('the shared objects', () => {
  it('tell which processes hold a lock or permits, each once, and how many wait', async () => {
    const [lock, permits] = [new Lock({ name: 'till' }), new Semaphore(3, { name: 'desks' })];
    expect(detailsOf('till')).toMatchObject({ kind: 'lock', holders: [], held: 0, waiting: 0 });
    const held = await lock.acquire();
    const next = lock.acquire();
    const desks = [await permits.acquire(), await permits.acquire()];
    expect(detailsOf('till')).toMatchObject({ holders: [process.pid], held: 1, waiting: 1 });
    expect(detailsOf('desks')).toMatchObject({
      ...{ kind: 'semaphore', holders: [process.pid], held: 2 },
      declared: 'a semaphore of 3 permits for 1024 waiters',
    });
    held.release();
    (await next).release();
    for (const desk of desks) desk.release();
    expect([detailsOf('till'), detailsOf('desks')]).toMatchObject([{ holders: [] }, { holders: [] }]);
  });

  it('tell the figures of a table beside its name', () => {
    const table = new Table(16, { n: 'int' }, { name: 'rows' });
    expect(table).toBeDefined();
    expect(detailsOf('rows')).toMatchObject({ kind: 'table', holders: [], bytes: expect.any(Number) });
  });
});
