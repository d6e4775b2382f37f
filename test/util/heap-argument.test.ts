import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { forgetHeapArgument, heapArguments } from '../../src/util/heap-argument.js';

const GIB = 2 ** 30;
const ARGUMENT = '--initial-old-space-size=64';

describe('the heap of a process that runs callbacks', () => {
  let execArgv: string[];
  beforeEach(() => {
    ({ execArgv } = process);
  });
  afterEach(() => {
    process.execArgv = execArgv;
  });

  it('is collected as a whole from 64 MiB on, where the machine has a GiB, and a quarter for each core', () => {
    const on = (memoryBytes: number, cores: number) => heapArguments(['--trace-warnings'], '', { memoryBytes, cores });
    expect([on(GIB, 2), on(GIB - 1, 1), on(2 * GIB, 8), on(2 * GIB, 9)]).toEqual([[ARGUMENT], [], [ARGUMENT], []]);
  });

  it.each(['--max-old-space-size=100', '--max_old_space_size', '--initial-heap-size=9', ARGUMENT])(
    'is left to whoever says %s',
    (word) => {
      const large = { memoryBytes: GIB, cores: 1 };
      expect(heapArguments(['--a', word], '', large)).toEqual([]);
      expect(heapArguments([], `--a "${word}" --b`, large)).toEqual([]);
      expect(heapArguments([], '--a', large)).toEqual([ARGUMENT]);
    },
  );

  it('hands its argument to no thread, and nothing else is lost', () => {
    process.execArgv = ['--a', ARGUMENT, '--max-old-space-size=100'];
    forgetHeapArgument();
    expect(process.execArgv).toEqual(['--a', '--max-old-space-size=100']);
  });
});
