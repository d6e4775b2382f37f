import { afterEach, describe, expect, it } from 'vitest';
import { endServers } from '../helpers/server-process.js';
import { serveSlow } from '../helpers/slow-consumers.js';

afterEach(endServers);

describe('slow members of a room beside 50 fast ones', () => {
  it.each([
    ['close', 'closed 1013'],
    ['drop', 'missed some'],
    ['skipToLatest', 'skipped to the latest'],
  ] as const)(
    'are served as `%s` says; the fast ones get all in order, and memory is bounded',
    async (slowConsumer, end) => {
      const { faults, ends } = await serveSlow({ slowConsumer, fast: 50, slow: 4, messages: 3000 });
      expect(faults).toEqual([]);
      expect(ends).toEqual([end]);
    },
  );
});
