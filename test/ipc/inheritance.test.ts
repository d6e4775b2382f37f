import { afterEach, describe, expect, it, vi } from 'vitest';
import { keepsBootOutput } from '../../src/ipc/boot-output.js';
import { bequeath, CONTROL_DESCRIPTOR, takeInheritance } from '../../src/ipc/inheritance.js';
import { letGoOfSecrets } from '../../src/ipc/secrets.js';
import { CHILD_VARIABLE } from '../../src/util/child-variable.js';

vi.mock(import('../../src/ipc/secrets.js'), async (original) => ({ ...(await original()), letGoOfSecrets: vi.fn() }));

const shared = {
  ...{ region: 20, overflow: 21, arena: 12, settings: 13, datagrams: [-1, 30] },
  bells: [
    { read: 40, write: 40 },
    { read: 41, write: 42 },
  ],
};
const worker = { role: 'worker', id: 3, lane: 1, generation: 7 } as const;

afterEach(() => {
  delete process.env[CHILD_VARIABLE];
});

/** What a child that was started so would find, its descriptors as those of this process. */
function found({ stdio, env }: ReturnType<typeof bequeath>) {
  process.env[CHILD_VARIABLE] = env[CHILD_VARIABLE];
  const inheritance = takeInheritance();
  if (inheritance === undefined) throw new Error('nothing was inherited');
  const at = (index: number): unknown => (index < 0 ? index : (stdio as unknown[])[index]);
  return { inheritance, at };
}

describe('a child', () => {
  it('finds everything that its parent holds, under numbers of its own', () => {
    const { inheritance, at } = found(bequeath(worker, shared, undefined, { printed: true, relayed: false }));
    expect(inheritance).toMatchObject({ ...worker, printed: true });
    expect([at(inheritance.region), at(inheritance.overflow), at(CONTROL_DESCRIPTOR)]).toEqual([20, 21, 'pipe']);
    expect(at(inheritance.settings)).toBe(13);
    expect(inheritance.datagrams.map(at)).toEqual([-1, 30]);
    expect(inheritance.bells.map(({ read, write }) => [at(read), at(write)])).toEqual([
      [40, 40],
      [41, 42],
    ]);
    expect(inheritance).not.toHaveProperty('own');
    expect(inheritance).not.toHaveProperty('relay');
    expect(inheritance).not.toHaveProperty('standardError');
  });

  it('that owns connections finds what it accepts from, and by which these go over', () => {
    const own = { listeners: [50, -1], give: 60, take: 61 };
    const { inheritance, at } = found(bequeath(worker, shared, own, { printed: true, relayed: false }));
    const { listeners = [], give = -2, take = -2 } = inheritance.own ?? {};
    expect([listeners.map(at), at(give), at(take)]).toEqual([[50, -1], 60, 61]);
  });

  it('that may not write its log has a pipe for its lines', () => {
    const start = bequeath(worker, shared, undefined, { printed: false, relayed: true });
    const { inheritance, at } = found(start);
    expect([at(start.relay), inheritance.relay]).toEqual(['pipe', start.relay]);
    expect(bequeath(worker, shared).relay).toBe(-1);
  });

  it('is read by its parent where that is wanted, and writes where the parent does otherwise', () => {
    const standard = ({ stdio }: ReturnType<typeof bequeath>) => (stdio as unknown[]).slice(0, 2);
    expect(standard(bequeath(worker, shared, undefined, { printed: true, relayed: false }))).toEqual([
      'ignore',
      'pipe',
    ]);
    expect(standard(bequeath({ role: 'manager' }, shared))).toEqual(['ignore', 'inherit']);
    const { inheritance } = found(bequeath({ role: 'manager' }, shared));
    expect(inheritance.role).toBe('manager');
    expect(inheritance).not.toHaveProperty('printed');
  });

  it.runIf(keepsBootOutput())(
    'tells its parent why it does not become ready: what it prints until then is read, and it knows where to write then',
    () => {
      const start = bequeath(worker, shared);
      const { inheritance, at } = found(start);
      expect((start.stdio as unknown[]).slice(0, 4)).toEqual(['ignore', 'inherit', 'pipe', 'pipe']);
      expect(at(inheritance.standardError ?? -1)).toBe(2);
    },
  );

  it('has the environment of its parent, and no word of secrets where there are none', () => {
    const { env } = bequeath(worker, shared);
    expect(env).toMatchObject({ PATH: process.env['PATH'] });
    expect(Object.keys(env).filter((name) => /SECRET/.test(name))).toEqual([]);
  });

  it('takes its inheritance out of the environment: what it starts has none', () => {
    found(bequeath(worker, shared));
    expect([process.env[CHILD_VARIABLE], takeInheritance()]).toEqual([undefined, undefined]);
  });

  it('keeps the secrets of the options only where it passes them on: in the manager', () => {
    vi.mocked(letGoOfSecrets).mockClear();
    found(bequeath({ role: 'manager' }, shared));
    expect(letGoOfSecrets).not.toHaveBeenCalled();
    found(bequeath(worker, shared));
    expect(letGoOfSecrets).toHaveBeenCalledOnce();
  });
});
