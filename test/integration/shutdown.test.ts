import { afterEach, describe, expect, it } from 'vitest';
import { Client, Pinger } from '../helpers/client.js';
import { Tree, until } from '../helpers/tree.js';

let tree: Tree;
afterEach(async () => tree.stop());

describe('a shutdown', () => {
  it('answers every request that was read, under load, and ends with code 0', async () => {
    tree = await Tree.start('echo.js', { options: { workerNum: 2 }, env: { QUIET: '1' } });
    const pingers = await Pinger.startMany(tree.port, 100);
    await until('load has begun', () => pingers.every((pinger) => pinger.answered > 3));
    tree.signal('SIGTERM');
    expect(await tree.exited).toEqual({ code: 0, signal: null });
    await Promise.all(pingers.map((pinger) => pinger.client.closed));
    expect(pingers.flatMap((pinger) => pinger.faults)).toEqual([]);
    expect(pingers.filter((pinger) => pinger.client.error !== undefined)).toEqual([]);
    expect(tree.processes()).toEqual([]);
  });

  it('waits for callbacks that are under way', async () => {
    tree = await Tree.start('commands.js', { options: { workerNum: 1 } });
    const client = await Client.open(tree.port);
    await client.ask('echo here');
    client.write('later 300\n');
    await until('the line was read', () => tree.processes().length > 0);
    await client.ask('echo after');
    tree.signal('SIGTERM');
    await client.closed;
    expect(client.text).toBe('here\nafter\nlater\n');
    expect(await tree.exited).toEqual({ code: 0, signal: null });
    const { reason } = await tree.waitFor('close');
    expect(reason).toMatchObject({ code: 'SERVER_SHUTDOWN', initiator: 'server' });
  });

  it('does not wait longer than maxWaitMs for one that never ends', async () => {
    tree = await Tree.start('commands.js', { options: { workerNum: 1, maxWaitMs: 300 } });
    const client = await Client.open(tree.port);
    await client.ask('echo here');
    client.write('never\n');
    await client.ask('echo after');
    const began = performance.now();
    tree.signal('SIGTERM');
    expect(await tree.exited).toEqual({ code: 0, signal: null });
    expect(performance.now() - began).toBeLessThan(3000);
    await client.close();
  });

  it('can be asked for from a worker', async () => {
    tree = await Tree.start('commands.js', { options: { workerNum: 2 } });
    const client = await Client.open(tree.port);
    client.write('shutdown\n');
    expect(await tree.exited).toEqual({ code: 0, signal: null });
    await client.close();
  });
});
