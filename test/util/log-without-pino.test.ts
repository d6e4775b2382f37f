/** While npm replaces the packages of a server that runs, pino may be missing when the first line is logged. */
import { expect, it, vi } from 'vitest';
import { jsonOutput } from '../../src/util/log-output.js';

let isMissing = true;
vi.mock('node:module', async (importOriginal) => {
  const original = await importOriginal<typeof import('node:module')>();
  const createRequire: typeof original.createRequire = (path) => {
    const require = original.createRequire(path);
    if (!isMissing) return require;
    const failing = (name: string): never => {
      throw new Error(`Cannot find module '${name}'`);
    };
    return Object.assign(failing, require);
  };
  return { ...original, createRequire };
});

it('loses no line, and writes them as before when pino is there', () => {
  const lines: string[] = [];
  const output = jsonOutput((line) => lines.push(line));
  const circular: { self?: unknown } = {};
  circular.self = circular;
  output.write('error', 'worker 1', 'it failed', { why: 'a', error: new TypeError('on purpose') });
  output.write('warn', 'master', 'odd', { circular, big: 1n });
  isMissing = false;
  output.write('error', 'worker 1', 'it failed', { why: 'a', error: new TypeError('on purpose') });
  const [first, second, third] = lines.map((line) => {
    expect(line.endsWith('}\n')).toBe(true);
    return JSON.parse(line) as { time?: string; msg: string; error?: { message: string; stack: string } };
  });
  const same = { level: 'error', role: 'worker', workerId: 1, pid: process.pid, why: 'a', msg: 'it failed' };
  for (const line of [first, third]) {
    expect(line).toMatchObject({ ...same, error: { type: 'TypeError', message: 'on purpose' } });
    expect(line?.error?.stack).toContain('log-without-pino');
    expect(Date.parse(line?.time ?? '')).toBeGreaterThan(0);
  }
  expect(second).toMatchObject({ level: 'warn', role: 'master', msg: expect.stringMatching(/^odd circular=.*big=1n/) });
});
