import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

const streams = ['stdout', 'stderr'] as const;
const before = streams.map((name) => ({
  name,
  write: process[name].write,
  fd: Object.getOwnPropertyDescriptor(process[name], 'fd'),
}));

let folder: string;
let descriptors: number[];

beforeEach(() => {
  vi.resetModules();
  folder = mkdtempSync(join(tmpdir(), 'early-'));
  descriptors = streams.map((name) => openSync(join(folder, name), 'w'));
  for (const [index, name] of streams.entries()) {
    Object.defineProperty(process[name], 'fd', { value: descriptors[index], configurable: true });
  }
});

afterEach(() => {
  delete process.env['TSWOOLE_DAEMON'];
  for (const { name, write, fd } of before) {
    process[name].write = write;
    if (fd === undefined) Reflect.deleteProperty(process[name], 'fd');
    else Object.defineProperty(process[name], 'fd', fd);
  }
  for (const descriptor of descriptors) closeSync(descriptor);
  rmSync(folder, { recursive: true });
});

/** Prints a line to each, as a script does before `start()`. @returns what lies in the log then */
async function print(daemonLog: string | undefined): Promise<string[]> {
  if (daemonLog !== undefined) process.env['TSWOOLE_DAEMON'] = daemonLog;
  await import('../../src/util/early-prints.js');
  const isReplaced = process.stdout.write !== before[0]?.write;
  if (isReplaced) for (const name of streams) process[name].write(`on ${name}\n`);
  return streams.map((name) => readFileSync(join(folder, name), 'utf8'));
}

describe('what a script prints before it starts its server', () => {
  it('is JSON in a daemon whose log is that', async () => {
    const [out = '', err = ''] = await print('json');
    const usual = { time: expect.any(String), role: 'master', pid: process.pid };
    expect(JSON.parse(out)).toEqual({ ...usual, level: 'info', stream: 'stdout', msg: 'on stdout' });
    expect(JSON.parse(err)).toEqual({ ...usual, level: 'warn', stream: 'stderr', msg: 'on stderr' });
  });

  it('is text where the log is', async () => {
    const [out, err] = await print('text');
    expect(out).toMatch(/^\S+Z info {2}master\[\d+\] on stdout\n$/);
    expect(err).toMatch(/^\S+Z warn {2}master\[\d+\] on stderr\n$/);
  });

  it.each([undefined, 'none'])('is left alone elsewhere: %s', async (log) => {
    expect(await print(log)).toEqual(['', '']);
    expect(process.stdout.write).toBe(before[0]?.write);
  });
});
