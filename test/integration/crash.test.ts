import { afterEach, describe, expect, it } from 'vitest';
import { Client, Pinger } from '../helpers/client.js';
import { Tree, until } from '../helpers/tree.js';

let tree: Tree;
afterEach(async () => tree.stop());

describe('a worker that is killed', () => {
  it('costs no connection, is back within a second, and what it had not taken is answered by its successor', async () => {
    tree = await Tree.start('echo.js', { options: { workerNum: 2 }, env: { QUIET: '1' } });
    const pingers = await Pinger.startMany(tree.port, 500);
    await until('load has begun', () => pingers.every((pinger) => pinger.answered > 3));
    const victim = tree.worker(0)?.pid ?? 0;
    const killedAt = performance.now();
    tree.signal('SIGKILL', victim);
    const { info } = await tree.waitFor('workerError');
    await until('worker 0 is back', () => (tree.worker(0)?.pid ?? victim) !== victim);
    await tree.waitFor('workerStart', (line) => line['worker'] === 0 && line.pid !== victim);
    expect(performance.now() - killedAt).toBeLessThan(1000);
    expect(info).toMatchObject({ workerId: 0, pid: victim, signal: 9, exitCode: 0 });
    // The packet in the worker's hand at the moment of the kill is lost, and with it one client's answer. No other.
    const finished = await Promise.allSettled(pingers.map((pinger) => pinger.finish(2000)));
    expect(finished.filter(({ status }) => status === 'rejected').length).toBeLessThanOrEqual(1);
    expect(pingers.filter((pinger) => pinger.client.end !== undefined)).toEqual([]);
    expect(pingers.flatMap((pinger) => pinger.faults)).toEqual([]);
    for (const pinger of pingers) pinger.client.socket.destroy();
  });

  it('leaves nothing unanswered that is sent while nobody is there', async () => {
    tree = await Tree.start('commands.js', { options: { workerNum: 1 } });
    const clients = await Client.openMany(tree.port, 50);
    const worker = tree.worker(0)?.pid ?? 0;
    tree.signal('SIGSTOP', worker); // it takes nothing from here on
    for (const client of clients) client.write('who\n');
    tree.signal('SIGKILL', worker);
    await Promise.all(clients.map((client) => client.until('an answer', () => client.text.endsWith('\n'))));
    const pid = tree.worker(0)?.pid;
    expect(new Set(clients.map((client) => client.text))).toEqual(new Set([`0 ${pid}\n`]));
    await Promise.all(clients.map((client) => client.close()));
  });
});

describe('a manager that is killed', () => {
  it('is replaced with all its workers within two seconds, around living connections', async () => {
    tree = await Tree.start('commands.js', { options: { workerNum: 2 } });
    const clients = await Client.openMany(tree.port, 20);
    await Promise.all(clients.map((client) => client.ask('echo a')));
    const before = tree.processes().filter(({ pid }) => pid !== tree.masterPid);
    // One worker's event loop stands still: it cannot notice that its manager is gone.
    clients[0]?.write('block 20000\n');
    const killedAt = performance.now();
    tree.signal('SIGKILL', tree.manager?.pid);
    await until(
      'new manager and workers',
      () => {
        const now = tree.processes().filter(({ pid }) => !before.some((old) => old.pid === pid));
        return now.length === 1 + 3;
      },
      3000,
    );
    const answers = await Promise.all(clients.slice(1).map((client) => client.ask('echo b')));
    expect(performance.now() - killedAt).toBeLessThan(2000);
    expect(answers.every((answer) => answer === 'b')).toBe(true);
    expect(tree.processes().filter(({ pid }) => before.some((old) => old.pid === pid))).toEqual([]);
    expect(tree.zombies).toEqual([]);
    expect(clients.filter((client) => client.end !== undefined)).toEqual([]);
    await Promise.all(clients.map((client) => client.close()));
  });
});

describe('a master that is killed', () => {
  it('leaves nothing behind within a second, and its port can be bound again', async () => {
    tree = await Tree.start('commands.js', { options: { workerNum: 2 } });
    const { port } = tree;
    const client = await Client.open(port);
    client.socket.on('error', () => {});
    client.write('block 20000\n');
    await until('a worker blocks', () => tree.workers.some(({ state }) => state === 'R'));
    tree.signal('SIGKILL');
    await until('nothing is left', () => tree.processes().length === 0, 1000);
    const again = await Tree.start('commands.js', { options: { workerNum: 1, port } });
    expect(again.port).toBe(port);
    await again.stop();
    await client.close();
  });
});
