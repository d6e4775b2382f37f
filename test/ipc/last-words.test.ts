import { writeSync } from 'node:fs';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { ServerError } from '../../src/errors/index.js';
import { CONTROL_DESCRIPTOR } from '../../src/ipc/inheritance.js';
import { leaveLastWords } from '../../src/ipc/last-words.js';

vi.mock(import('node:fs'), async (original) => ({ ...(await original()), writeSync: vi.fn(() => 0) }));

type Listeners = NodeJS.UncaughtExceptionListener[];
let [before, monitors]: Listeners[] = [[], []];

/** The test runner listens too: without it the process is as a user's. */
beforeEach(() => {
  [before, monitors] = [process.listeners('uncaughtException'), process.listeners('uncaughtExceptionMonitor')];
  process.removeAllListeners('uncaughtException');
  process.removeAllListeners('uncaughtExceptionMonitor');
});
afterEach(() => {
  process.removeAllListeners('uncaughtException');
  process.removeAllListeners('uncaughtExceptionMonitor');
  for (const listener of before ?? []) process.on('uncaughtException', listener);
  for (const listener of monitors ?? []) process.on('uncaughtExceptionMonitor', listener);
  vi.mocked(writeSync).mockReset();
});

/** What Node does before it ends the process. */
const die = (error: Error): void => {
  for (const listener of process.listeners('uncaughtExceptionMonitor')) listener(error, 'uncaughtException');
};

it('an uncaught error reaches the parent as a line of its own', () => {
  leaveLastWords();
  die(new ServerError('ERR_RELOAD', { why: 'no' }));
  const [descriptor, text] = vi.mocked(writeSync).mock.calls[0] as unknown as [number, string];
  expect(descriptor).toBe(CONTROL_DESCRIPTOR);
  expect(text.endsWith('\n')).toBe(true);
  expect(JSON.parse(text)).toMatchObject({ type: 'fatal', error: { code: 'ERR_RELOAD' } });
});

it('an error that the script handles itself is none of the last ones', () => {
  leaveLastWords();
  process.on('uncaughtException', () => {});
  die(new Error('it lives on'));
  expect(writeSync).not.toHaveBeenCalled();
});

it('a parent that is gone does not matter', () => {
  vi.mocked(writeSync).mockImplementation(() => {
    throw new Error('EPIPE');
  });
  leaveLastWords();
  expect(() => die(new Error('alone'))).not.toThrow();
});
