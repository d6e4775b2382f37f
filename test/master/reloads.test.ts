import { beforeEach, describe, expect, it } from 'vitest';
import type { MasterToManager } from '../../src/ipc/message.js';
import { Reloads } from '../../src/master/reloads.js';

let heard: MasterToManager[];
let isManagerThere: boolean;
let reloads: Reloads;

beforeEach(() => {
  heard = [];
  isManagerThere = true;
  reloads = new Reloads((message) => {
    if (isManagerThere) heard.push(message);
    return isManagerThere;
  });
});

describe('a reload', () => {
  it('goes to the manager that is there, and is not held', () => {
    reloads.ask(true, 3);
    expect(heard).toEqual([{ type: 'reload', tasksOnly: true, request: 3 }]);
    expect(reloads.takeHeld()).toBe('no');
  });

  it.each([
    [[true], 'tasks'],
    [[false], 'all'],
    [[true, false], 'all'],
    [[false, true], 'all'],
  ] as const)('asked for while there is no manager (tasks only: %j) is held once as %s', (asked, held) => {
    isManagerThere = false;
    for (const tasksOnly of asked) reloads.ask(tasksOnly);
    expect(reloads.takeHeld()).toBe(held);
    expect(reloads.takeHeld()).toBe('no');
  });

  it('is over with all that were asked for before it, and with none after it', async () => {
    const [first, second, third] = [reloads.open(), reloads.open(), reloads.open()];
    reloads.over(second.request, {});
    await Promise.all([first.done, second.done]);
    reloads.over(third.request, { failed: 'why' });
    await expect(third.done).rejects.toMatchObject({ code: 'ERR_RELOAD', message: expect.stringContaining('why') });
  });

  it('that has failed with the new workers in service says so, with their generation', async () => {
    const { request, done } = reloads.open();
    reloads.over(request, { failed: 'worker 0 exited with code 1', generation: 5 });
    await expect(done).rejects.toMatchObject({
      code: 'ERR_RELOAD',
      detail: { why: 'worker 0 exited with code 1', generation: 5 },
      message: expect.stringMatching(
        /were replaced \(generation 5\), and a new process crashed.*The old ones have ended/,
      ),
    });
  });

  it('tells what it has not applied', async () => {
    const { request, done } = reloads.open();
    reloads.over(request, { needsRestart: ['workerNum 3 (the server has 2)'] });
    expect(await done).toEqual(['workerNum 3 (the server has 2)']);
    const next = reloads.open();
    reloads.over(next.request, {});
    expect(await next.done).toEqual([]);
  });

  it('fails with all others when the manager has died', async () => {
    const opened = [reloads.open(), reloads.open()];
    const ended = Promise.allSettled(opened.map(({ done }) => done));
    reloads.allOver('the manager has died meanwhile');
    expect((await ended).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  });
});
