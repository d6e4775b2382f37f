import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CHILD_VARIABLE } from '../../src/util/child-variable.js';

const lastWords = vi.hoisted(() => vi.fn());
vi.mock(import('../../src/ipc/last-words.js'), () => ({ leaveLastWords: lastWords }));

/** As a process reads it first. */
async function fresh(given?: object) {
  vi.resetModules();
  if (given !== undefined) process.env[CHILD_VARIABLE] = JSON.stringify(given);
  return import('../../src/server/inherited.js');
}

beforeEach(() => lastWords.mockReset());
afterEach(() => {
  delete process.env[CHILD_VARIABLE];
});

describe('what a process inherits', () => {
  it('is nothing in the one that a user has started, which is the master', async () => {
    const { inherited, nameOfProcess } = await fresh();
    expect([inherited(), nameOfProcess()]).toEqual([undefined, 'master']);
    expect(lastWords).not.toHaveBeenCalled();
  });

  it.each([
    [{ role: 'manager' }, 'manager'],
    [{ role: 'worker', id: 0 }, 'worker 0'],
    [{ role: 'task', id: 4 }, 'task worker 4'],
    [{ role: 'user', id: 5 }, 'process 5'],
  ])('is %j in a %s, which tells its parent of what it dies of', async (given, name) => {
    const { inherited, nameOfProcess } = await fresh(given);
    expect(inherited()).toMatchObject(given);
    expect([nameOfProcess(), lastWords.mock.calls.length]).toEqual([name, 1]);
  });

  it('is read once, and is not there for processes that the script starts', async () => {
    const { inherited } = await fresh({ role: 'worker', id: 2 });
    const first = inherited();
    expect([process.env[CHILD_VARIABLE], inherited()]).toEqual([undefined, first]);
    expect(lastWords).toHaveBeenCalledTimes(1);
  });
});
