import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { AppAddress } from '../../src/http/app-address.js';
import { LISTEN_WAIT_MS } from '../../src/http/load-app.js';
import { listenArguments } from '../../src/http/own-listen.js';
import { tellAddress } from '../../src/http/tell-address.js';

const written = vi.hoisted((): unknown[][] => []);
vi.mock(import('node:fs'), async (original) => ({
  ...(await original()),
  writeSync: ((...given: unknown[]) => written.push(given)) as never,
}));
vi.mock(import('../../src/http/own-listen.js'), () => ({ listenArguments: vi.fn() }));

let folder: string;
let argv: string[];
let waits: number[];
let listened: (waitedMs: number) => AppAddress | undefined;
let exits: unknown[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'address-'));
  [argv, process.argv] = [process.argv, ['node', 'tell', 'app.mjs', '--own']];
  [waits, exits, written.length] = [[], [], 0];
  listened = () => undefined;
  const within = async (ms: number): Promise<AppAddress | undefined> => {
    waits.push(ms);
    return listened(ms);
  };
  vi.mocked(listenArguments).mockReturnValue({ called: new Promise(() => {}), within } as never);
  vi.spyOn(process, 'exit').mockImplementation((code) => exits.push(code) as never);
});
afterEach(() => {
  process.argv = argv;
  process.removeAllListeners('beforeExit');
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true });
});

/** What is told of an app with this text. */
async function addressOf(text: string): Promise<unknown> {
  const path = join(folder, 'app.mjs');
  writeFileSync(path, text);
  await tellAddress(path);
  expect(exits[0]).toBe(0);
  const [[descriptor, line] = []] = written;
  expect([descriptor, String(line).endsWith('\n')]).toEqual([3, true]);
  return JSON.parse(String(line));
}

describe('the address of an app', () => {
  it.each([
    ["export default { port: 3000, hostname: 'a.example', fetch() {} }", { port: 3000, host: 'a.example' }],
    ["export default { port: '3001', fetch() {} }", { port: 3001, host: '::' }],
    [
      "export const port = 3002; export const host = '127.0.0.1'; export default () => {}",
      { port: 3002, host: '127.0.0.1' },
    ],
    ['export const port = 1; export default { port: 2, fetch() {} }', { port: 1, host: '::' }],
    ["export default { port: 0, hostname: '', host: 'b', fetch() {} }", { port: 0, host: 'b' }],
    ["export default { hostname: 'c', fetch() {} }", { host: 'c' }],
    ['export default { port: 65535, fetch() {} }', { port: 65_535, host: '::' }],
    ['export default { port: 65536, fetch() {} }', {}],
    ['export default { port: -1, fetch() {} }', {}],
    ['export default { port: 1.5, hostname: 5, fetch() {} }', {}],
    ['export default null', {}],
    ["throw new Error('not an app')", {}],
  ])('%s is %j', async (text, address) => {
    expect(await addressOf(text)).toEqual(address);
  });

  it('is where it listens, whatever it exports', async () => {
    listened = () => ({ port: 4000, host: '::1' });
    expect(await addressOf('export default { port: 3000, fetch() {} }')).toEqual({ port: 4000, host: '::1' });
    expect(waits).toEqual([0]);
  });

  it('is waited for, not for long where it exports itself', async () => {
    listened = (ms) => (ms === 0 ? undefined : { port: 4001, host: 'x' });
    expect(await addressOf('export default { fetch() {} }')).toEqual({ port: 4001, host: 'x' });
    expect(waits).toEqual([0, 300]);
  });

  it('is waited for as long as by a worker where it exports nothing', async () => {
    await addressOf('export {};');
    expect(waits).toEqual([0, LISTEN_WAIT_MS]);
  });

  it('is not waited for where nothing is left that could call listen()', async () => {
    const path = join(folder, 'app.mjs');
    writeFileSync(path, 'export const port = 3002;');
    const asked = new Promise<void>((resolve) => {
      const within = (ms: number) => (ms === 0 ? Promise.resolve(undefined) : new Promise(() => resolve()));
      vi.mocked(listenArguments).mockReturnValue({ called: new Promise(() => {}), within } as never);
    });
    void tellAddress(path);
    await asked;
    expect(written).toEqual([]);
    process.emit('beforeExit', 0);
    expect(written).toEqual([[3, '{"port":3002,"host":"::"}\n']]);
    expect(exits).toEqual([0]);
  });

  it('is told although the app is not loaded before it listens', async () => {
    listened = () => ({ port: 5, host: 'y' });
    vi.mocked(listenArguments).mockReturnValue({
      called: Promise.resolve(),
      within: async () => ({ port: 5 }),
    } as never);
    expect(await addressOf('await new Promise(() => {});')).toEqual({ port: 5 });
  });

  it('does not depend on the path of the app, which its arguments follow', async () => {
    await addressOf('export {};');
    expect(process.argv).toEqual(['node', 'tell', '--own']);
  });
});
