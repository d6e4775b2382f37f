import { copyFileSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Client, Pinger } from '../helpers/client.js';
import { cpuMs, Tree, until } from '../helpers/tree.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
let folder: string;
let script: string;
let tree: Tree;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'reload-'));
  symlinkSync(join(root, 'test/fixtures/say.js'), join(folder, 'linked.js'));
  copyFileSync(join(root, 'test/fixtures/say.js'), join(folder, 'say.js'));
  script = join(folder, 'server.js');
  const source = readFileSync(join(root, 'test/fixtures/echo.js'), 'utf8');
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  writeScript(source.replace("'tswoole'", JSON.stringify(join(root, 'dist/index.js'))));
});

afterEach(async () => {
  await tree.stop();
  rmSync(folder, { recursive: true });
});

function writeScript(source: string): void {
  writeFileSync(script, source);
}

function editScript(edit: (source: string) => string): void {
  writeScript(edit(readFileSync(script, 'utf8')));
}

const afterReloads = (count: number) => async (): Promise<void> => {
  await until(`${count} reloads are complete`, () => tree.all('afterReload').length >= count, 15_000);
};

describe('a reload', () => {
  it('20 times in a row under load on 200 connections loses, doubles and closes nothing', async () => {
    tree = await Tree.start('', { script, options: { workerNum: 2 }, env: { QUIET: '1' } });
    const pingers = await Pinger.startMany(tree.port, 200);
    const seen = new Set(tree.workers.map(({ pid }) => pid));
    for (let round = 1; round <= 20; round++) {
      tree.signal('SIGUSR1');
      await afterReloads(round)();
      const now = tree.workers.map(({ pid }) => pid);
      expect(now).toHaveLength(2);
      for (const pid of now) expect(seen.has(pid)).toBe(false);
      for (const pid of now) seen.add(pid);
    }
    await Promise.all(pingers.map((pinger) => pinger.finish()));
    expect(pingers.flatMap((pinger) => pinger.faults)).toEqual([]);
    expect(pingers.filter((pinger) => pinger.client.end !== undefined)).toEqual([]);
    expect(pingers.filter((pinger) => pinger.sent !== pinger.answered)).toEqual([]);
    expect(Math.min(...pingers.map((pinger) => pinger.answered))).toBeGreaterThan(20);
    for (const pinger of pingers) pinger.client.socket.destroy();
  });

  it('brings changed code into effect', async () => {
    tree = await Tree.start('', { script, options: { workerNum: 1 } });
    const client = await Client.open(tree.port);
    expect(await client.ask('one')).toBe('one');
    editScript((source) => source.replace('conn.send(data);', 'conn.send("new code\\n");'));
    tree.signal('SIGUSR1');
    await afterReloads(1)();
    expect(await client.ask('two')).toBe('new code');
    await client.close();
  });

  it('of a script that does not boot changes nothing, says why, and works again when the script is mended', async () => {
    tree = await Tree.start('', { script, options: { workerNum: 2, logLevel: 'info' } });
    const client = await Client.open(tree.port);
    const before = tree.workers.map(({ pid }) => pid);
    editScript((source) =>
      source.replace(
        'await server.start',
        "if (server.role === 'worker') throw new Error('no luck');\nawait server.start",
      ),
    );
    tree.signal('SIGUSR1');
    await until('the failed reload is logged', () => tree.stderr.includes('reload failed'));
    expect(tree.stderr).toContain('no luck');
    await until('only the old workers are there', () => tree.workers.length === 2);
    expect(tree.workers.map(({ pid }) => pid)).toEqual(before);
    expect(await client.ask('still there')).toBe('still there');
    editScript((source) => source.replace("throw new Error('no luck')", ''));
    tree.signal('SIGUSR1');
    await afterReloads(1)();
    expect(await client.ask('and back')).toBe('and back');
    expect(tree.workers.filter(({ pid }) => before.includes(pid))).toEqual([]);
    await client.close();
  });
});

describe('a worker that keeps dying', () => {
  it('backs off, says why each time, costs next to nothing, and recovers by a reload of the mended script', async () => {
    tree = await Tree.start('', { script, options: { workerNum: 1, logLevel: 'info' } });
    const client = await Client.open(tree.port);
    const faulty = "setTimeout(() => { throw new Error('dies young'); }, 20);\nawait server.start";
    editScript((source) => source.replace('await server.start', `if (server.role === 'worker') ${faulty}`));
    tree.signal('SIGKILL', tree.worker(0)?.pid);
    const lines = (): number => tree.stderr.split('starting another one').length - 1;
    await until('it is tried again only after three seconds', () => tree.stderr.includes('in 3000 ms'), 15_000);
    expect(lines()).toBeGreaterThanOrEqual(5);
    expect(tree.stderr.match(/reason="?dies young/g)?.length).toBeGreaterThanOrEqual(4);
    const pids = [tree.masterPid, tree.manager?.pid ?? 0];
    const before = pids.reduce((sum, pid) => sum + cpuMs(pid), 0);
    client.write('waits\n');
    await new Promise((resolve) => setTimeout(resolve, 2000)); // a span to measure over, not an event to wait for
    expect(pids.reduce((sum, pid) => sum + cpuMs(pid), 0) - before).toBeLessThan(100);
    editScript((source) => source.replace(faulty, 'await server.start'));
    tree.signal('SIGUSR1');
    await client.until('the line that waited is answered', () => client.text.includes('waits\n'));
    await client.close();
  }, 40_000);
});
