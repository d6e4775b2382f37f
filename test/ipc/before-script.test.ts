import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { withSizedHeap } from '../../src/ipc/before-script.js';
import { heapArguments } from '../../src/util/heap-argument.js';

describe('a process whose heap has a size', () => {
  const program = expect.stringMatching(/util\/heap-entry\.c?js$/);
  const command = ['/srv/it.js', '--port', '1'];
  beforeEach(() => vi.stubEnv('NODE_OPTIONS', ''));
  afterEach(() => vi.unstubAllEnvs());

  // A small machine does without.
  it.skipIf(heapArguments([], '').length === 0)('runs a program of ours, which no thread of the script loads', () => {
    const words = withSizedHeap(['--trace-warnings'], command);
    expect(words).toEqual(['--initial-old-space-size=64', '--trace-warnings', program, ...command]);
  });

  it.each(['--require=x', '-r', '--import', '--loader=x', '--inspect-brk'])(
    'does not where something would run before it, and take it for the script: %s',
    (word) => {
      expect(withSizedHeap([word], command)).not.toContainEqual(program);
      vi.stubEnv('NODE_OPTIONS', `--trace-warnings ${word}`);
      expect(withSizedHeap([], command)).not.toContainEqual(program);
    },
  );
});
