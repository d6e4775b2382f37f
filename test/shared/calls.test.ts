import { expect, it } from 'vitest';
import type { OnceCall, OnceCells } from '../../src/shared/once.js';
import { Calls } from '../../src/shared/waiting/calls.js';

it('a lead that comes when all callers have given up computes nothing, and gives the others no result', async () => {
  let group: OnceCall | undefined;
  const cells = {
    checkKey: Buffer.from,
    run: (_: Buffer, call: OnceCall) => {
      group = call;
      return new Promise(() => {});
    },
  };
  const controller = new AbortController();
  let calls = 0;
  const answer = new Calls(cells as unknown as OnceCells).run('k', {
    fn: () => ++calls,
    leaseMs: 1000,
    signal: controller.signal,
  });
  controller.abort(new Error('enough'));
  await expect(answer).rejects.toThrow('enough');
  await expect(group?.lead()).rejects.toMatchObject({ name: 'AbortError' });
  expect(calls).toBe(0);
});
