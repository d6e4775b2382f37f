import { expect, describe as group, test } from 'vitest';
import type { FieldType } from '../../src/errors/fields.js';
import { type ErrorCode, type ErrorDetails, errorTable, ServerError } from '../../src/errors/index.js';

const codes = Object.keys(errorTable) as ErrorCode[];

/** A detail with recognizable values; `full` has the fields that may be missing too. */
function sampleDetail(code: ErrorCode, full: boolean): ErrorDetails[ErrorCode] {
  const fields = Object.entries(errorTable[code].fields as Record<string, FieldType>);
  const kept = fields.filter(([, type]) => full || !type.endsWith('?'));
  const sample = (type: FieldType, index: number) => (type.startsWith('string') ? `value${index}` : 7000 + index);
  return Object.fromEntries(kept.map(([name, type], index) => [name, sample(type, index)])) as ErrorDetails[ErrorCode];
}

group('the table', () => {
  test.each(codes)('%s says what happened and what to do, in whole sentences', (code) => {
    const { message } = new ServerError(code, sampleDetail(code, true));
    expect(message).toMatch(/^([A-Z]|value0|start\(\)|tswoole )/);
    expect(message.split('\nIt wrote to standard error:\n')[0]).toMatch(/\.$/);
    expect(message).not.toMatch(/undefined|null|\[object|NaN/);
    expect(errorTable[code].advice).toMatch(/^[A-Z].*\.$/);
  });

  test.each(codes)('%s reads well without what may be missing', (code) => {
    expect(new ServerError(code, sampleDetail(code, false)).message).not.toMatch(/undefined|null|\[object|NaN| {2}/);
  });

  test.each(codes)('%s tells the facts of its detail', (code) => {
    const detail = sampleDetail(code, true);
    const { message } = new ServerError(code, detail);
    // Of an exit code and a signal there is one in real life; the signal is the one that counts.
    for (const [name, value] of Object.entries(detail))
      if (name !== 'exitCode') expect(message).toContain(String(value));
  });

  test.each(codes.filter((code) => code.startsWith('ERR_OPTION_')))('%s names the option', (code) => {
    expect(errorTable[code].fields).toHaveProperty('name', 'string');
  });
});

group('a ServerError', () => {
  test('is an Error with name, code, detail and cause', () => {
    const cause = new Error('first');
    const error = new ServerError('ERR_SESSION_NOT_FOUND', { fd: 5 }, { cause });
    expect(error).toBeInstanceOf(Error);
    expect(error.name).toBe('ServerError');
    expect(error.code).toBe('ERR_SESSION_NOT_FOUND');
    expect(error.detail).toEqual({ fd: 5 });
    expect(error.cause).toBe(cause);
    expect(Object.keys(error)).toEqual(['code', 'detail']);
  });

  test('says what to do before what another process wrote', () => {
    const why = 'worker 0 exited with code 1\nIt wrote to standard error:\nError: no\n    at app.js:2';
    const { advice } = errorTable.ERR_RELOAD;
    expect(new ServerError('ERR_RELOAD', { why }).message).toBe(
      `The workers were not replaced: worker 0 exited with code 1. ${advice}\nIt wrote to standard error:\nError: no\n    at app.js:2`,
    );
  });

  test('has no cause of its own when none is given', () => {
    expect(Object.hasOwn(new ServerError('ERR_ONE_SERVER', {}), 'cause')).toBe(false);
  });

  test('has its name and message in the first line of its stack', () => {
    const error = new ServerError('ERR_ONE_SERVER', {});
    expect(error.stack).toMatch(/^ServerError: This process already has a server/);
  });

  test('is told apart by its code', () => {
    const error: ServerError = new ServerError('ERR_PORT_IN_USE', { host: '::1', port: 80, holder: 'node (pid 12)' });
    expect(error.is('ERR_PORT_PRIVILEGED')).toBe(false);
    if (!error.is('ERR_PORT_IN_USE')) throw new Error('expected ERR_PORT_IN_USE');
    expect(error.detail.port).toBe(80); // narrowed by the type as well
    expect(error.message).toContain('[::1]:80');
    expect(error.message).toContain('node (pid 12)');
  });

  test.each([
    [0, null, 'exited with code 0'],
    [null, 'SIGKILL', 'was killed by SIGKILL'],
    [null, null, 'ended'],
  ])('of a worker with exit code %s and signal %s says it %s', (exitCode, signal, words) => {
    const { message } = new ServerError('ERR_WORKER_BOOT', { workerId: 3, exitCode, signal });
    expect(message).toContain(`Worker 3 must become ready, but it ${words}`);
  });
});
