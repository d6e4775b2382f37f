import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ScriptWatcher } from '../../src/master/script-watcher.js';
import { type Deferred, deferred } from '../../src/util/deferred.js';
import { Log } from '../../src/util/log.js';
import { eventually } from '../helpers/eventually.js';
import { openDescriptors } from '../helpers/leaks.js';

let folder: string;
let before: string[];
let log: string[];
let watcher: ScriptWatcher | undefined;
let reloads: number;
/** What a reload waits for. */
let held: Deferred<void> | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'watch-'));
  before = openDescriptors();
  [log, reloads, watcher, held] = [[], 0, undefined, undefined];
});
afterEach(() => {
  watcher?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const watch = (...paths: string[]): void => {
  const output = new Log({ role: 'master', level: 'debug', write: (line) => log.push(line) });
  watcher = ScriptWatcher.start(paths, output, async () => {
    reloads++;
    await held?.promise;
  });
};
const write = (name: string, text = String(Math.random())): void => writeFileSync(join(folder, name), text);
const reloadsAre = (count: number): Promise<void> => eventually(() => expect(reloads).toBe(count));
/** Longer than it waits for files to be quiet. */
const quiet = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 300));

describe('watching for changes', () => {
  it('is not done where nothing is named', () => {
    watch();
    expect([watcher, log]).toEqual([undefined, []]);
  });

  it('reloads once for many changes at a time, and says what has changed', async () => {
    watch(folder);
    for (let i = 0; i < 10; i++) write(`a${i}.js`);
    await reloadsAre(1);
    await quiet();
    expect(reloads).toBe(1);
    expect(log.join('\n')).toMatch(/a file has changed, reloading.*a9\.js/s);
    write('b.js');
    await reloadsAre(2);
  });

  it('sees what is below, in folders made later as well, and files that go', async () => {
    mkdirSync(join(folder, 'lib'));
    write('lib/a.js');
    watch(folder);
    write('lib/a.js');
    await reloadsAre(1);
    mkdirSync(join(folder, 'new'));
    await reloadsAre(2);
    write('new/a.js');
    await reloadsAre(3);
    rmSync(join(folder, 'new/a.js'));
    await reloadsAre(4);
  });

  it('watches a folder once, though it is named twice', async () => {
    watch(folder, folder);
    watcher?.stop();
    write('a.js');
    await quiet();
    expect(reloads).toBe(0);
  });

  it('leaves alone what tools keep for themselves', async () => {
    mkdirSync(join(folder, 'node_modules'));
    mkdirSync(join(folder, '.git'));
    watch(folder);
    const names = ['node_modules/a.js', '.git/HEAD', '.a.js.swp', 'a.js~', 'a.swp', 'it.log', 'it.pid'];
    for (const name of names) write(name);
    await quiet();
    expect(reloads).toBe(0);
  });

  it('may be of one file', async () => {
    write('a.js');
    write('b.js');
    watch(join(folder, 'a.js'));
    write('b.js');
    await quiet();
    expect(reloads).toBe(0);
    write('a.js');
    await reloadsAre(1);
  });

  it('reloads once more when something has changed during a reload', async () => {
    held = deferred();
    watch(folder);
    write('a.js');
    await reloadsAre(1);
    write('b.js');
    await quiet();
    write('c.js');
    await quiet();
    expect(reloads).toBe(1);
    held.resolve();
    await reloadsAre(2);
    await quiet();
    expect(reloads).toBe(2);
  });

  it('goes on after a reload that has failed', async () => {
    held = deferred();
    watch(folder);
    write('a.js');
    await reloadsAre(1);
    held.reject(new Error('syntax error'));
    held = undefined;
    write('a.js');
    await reloadsAre(2);
  });

  it('of what is not there is told, and the rest is watched', async () => {
    watch(join(folder, 'none'), folder);
    expect(log.join('\n')).toMatch(/this path cannot be watched.*none/s);
    write('a.js');
    await reloadsAre(1);
  });

  it('ends with stop(): no reload, no descriptor', async () => {
    mkdirSync(join(folder, 'lib'));
    watch(folder);
    write('a.js');
    watcher?.stop();
    watcher?.stop();
    write('lib/b.js');
    await quiet();
    expect(reloads).toBe(0);
    // Node keeps one inotify descriptor per event loop for all watchers.
    expect(openDescriptors().length).toBeLessThanOrEqual(before.length + 1);
  });
});
