import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { forgetHeapArgument, heapArguments, inheritedWords } from '../../src/util/heap-argument.js';

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

  it('is collected as a whole from 64 MiB on, where the machine has a GiB', () => {
    expect(heapArguments(['--trace-warnings', ''], GIB)).toEqual([ARGUMENT]);
    expect(heapArguments([], GIB - 1)).toEqual([]);
  });

  it.each(['--max-old-space-size=100', '--max_old_space_size', '--initial-heap-size=9', ARGUMENT])(
    'is left to whoever says %s',
    (word) => {
      expect(heapArguments(['--a', word], GIB)).toEqual([]);
    },
  );

  it('hands its argument to no thread, and nothing else is lost', () => {
    process.execArgv = ['--a', ARGUMENT, '--max-old-space-size=100'];
    expect(inheritedWords()).toEqual(expect.arrayContaining(['--max-old-space-size=100']));
    forgetHeapArgument();
    expect(process.execArgv).toEqual(['--a', '--max-old-space-size=100']);
  });
});
