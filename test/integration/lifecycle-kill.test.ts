import { afterEach, describe, expect, it } from 'vitest';
import { PACE } from '../helpers/deadline.js';
import type { TreeProcess } from '../helpers/processes.js';
import { endServers, poll, type ServerProcess, startServer } from '../helpers/server-process.js';
import { Load, TcpClient } from '../helpers/tcp-client.js';

afterEach(endServers);

/** Resolves when the whole tree stands again without any of these processes. */
function rebuilt(server: ServerProcess, without: readonly TreeProcess[], deadlineMs: number): Promise<void> {
  const gone = new Set(without.map(({ pid }) => pid));
  const workers = without.filter(({ title }) => title.includes(': worker')).length;
  return poll(
    'the tree is complete again',
    () => {
      const tree = server.tree();
      if (tree.some(({ pid, state }) => gone.has(pid) || state === 'Z')) return false;
      return tree.filter(({ title }) => title.includes(': worker')).length === workers && server.manager !== undefined;
    },
    deadlineMs,
  ).then(() => {});
}

function childrenOfMaster(server: ServerProcess): TreeProcess[] {
  return server.tree().filter(({ pid }) => pid !== server.masterPid);
}

describe('kill -9 of a worker', () => {
  it('under load on 500 connections closes none, loses at most what was in its hand, and it is back in a second', async () => {
    const server = await startServer('echo.js', { options: { workerNum: 2 }, env: { QUIET: '1' } });
    const load = await Load.start(server.port, 500);
    await load.progress(5);
    const victim = server.worker(0)?.pid ?? 0;
    const killedAt = performance.now();
    server.signal('SIGKILL', victim);
    const back = await server.waitForEvent('workerStart', ({ worker, pid }) => worker === 0 && pid !== victim, 3000);
    expect(back.at - killedAt).toBeLessThan(1000);
    const { info } = await server.waitForEvent('workerError');
    expect(info).toMatchObject({
      workerId: 0,
      pid: victim,
      signal: 'SIGKILL',
      signalNumber: 9,
      exitCode: 0,
      uptimeMs: expect.any(Number),
    });
    const { ended, faults, lost } = await load.finish(2000);
    expect({ ended, faults }).toEqual({ ended: [], faults: [] });
    // One packet can be in the worker's hand: taken, its answer not yet given.
    expect(lost.length).toBeLessThanOrEqual(1);
    expect(server.zombies).toEqual([]);
    load.close();
  });

  it('five times in a row is repaired each time within a second', async () => {
    const server = await startServer('commands.js', { options: { workerNum: 1 } });
    const client = await TcpClient.connect(server.port);
    for (let round = 0; round < 5; round++) {
      const before = await client.ask('who');
      const killedAt = performance.now();
      server.signal('SIGKILL', server.worker(0)?.pid);
      const after = await client.ask('who', 3000 * PACE);
      expect(performance.now() - killedAt).toBeLessThan(1000 * PACE);
      expect(after).not.toBe(before);
      expect(after).toMatch(/^0 /);
    }
    await client.close();
  });

  it('of all workers at once closes no connection, and what is sent meanwhile is answered', async () => {
    const server = await startServer('commands.js', { options: { workerNum: 3 } });
    const clients = await TcpClient.connectMany(server.port, 60);
    await Promise.all(clients.map((client) => client.ask('echo before')));
    const before = server.workers;
    for (const { pid } of before) server.signal('SIGKILL', pid);
    const answers = await Promise.all(clients.map((client) => client.ask('who', 3000 * PACE)));
    const now = new Set(server.workers.map(({ pid }) => pid));
    for (const answer of answers) expect(now).toContain(Number(answer.split(' ')[1]));
    expect(now.size).toBe(3);
    expect(before.filter(({ pid }) => now.has(pid))).toEqual([]);
    expect(clients.filter((client) => client.end !== undefined)).toEqual([]);
    await Promise.all(clients.map((client) => client.close()));
  });

  it('leaves its connections to the successor, which hears of their end', async () => {
    const server = await startServer('commands.js', { options: { workerNum: 1 } });
    const [client, witness] = await TcpClient.connectMany(server.port, 2);
    const fd = Number(await client?.ask('fd'));
    const victim = server.worker(0)?.pid ?? 0;
    server.signal('SIGKILL', victim);
    expect(await witness?.ask(`exists ${fd}`)).toBe('true');
    expect(JSON.parse((await witness?.ask('stats')) ?? '')).toMatchObject({ connectionNum: 2, workerRestarts: 1 });
    await client?.close();
    const closed = await server.waitForEvent('close', (line) => line['fd'] === fd);
    expect(closed.pid).not.toBe(victim);
    expect(await witness?.ask(`exists ${fd}`)).toBe('false');
    await witness?.close();
  });

  it('leaves no zombie behind when the worker had a process of its own', async () => {
    const server = await startServer('has-children.js', { options: { workerNum: 1 }, env: { SECONDS: '0.5' } });
    const [first] = server.events('workerStart');
    server.signal('SIGKILL', first?.pid);
    await server.waitForEvent('workerStart', ({ pid }) => pid !== first?.pid);
    await poll("the worker's process has ended", () => stateOf(server, Number(first?.['child'])) !== 'S');
    await poll('it has been reaped', () => stateOf(server, Number(first?.['child'])) === undefined, 1000);
  });
});

describe('kill -9 of the manager', () => {
  it('is repaired in two seconds around living connections, under load', async () => {
    const server = await startServer('echo.js', { options: { workerNum: 2 }, env: { QUIET: '1' } });
    const load = await Load.start(server.port, 100);
    await load.progress(5);
    const before = childrenOfMaster(server);
    server.signal('SIGKILL', server.manager?.pid);
    await rebuilt(server, before, 2000);
    await load.progress(5, 2000);
    const { ended, faults } = await load.finish(2000);
    expect({ ended, faults }).toEqual({ ended: [], faults: [] });
    load.close();
  });

  it('is repaired when one worker is in an endless loop and one is stopped', async () => {
    const server = await startServer('commands.js', { options: { workerNum: 3, dispatchMode: 'round-robin' } });
    const client = await TcpClient.connect(server.port);
    await client.ask('echo a');
    const before = childrenOfMaster(server);
    client.send('block 60000\n');
    const blocked = await poll('a worker blocks', () => server.workers.find(({ state }) => state === 'R'));
    server.signal('SIGSTOP', server.workers.find(({ pid }) => pid !== blocked.pid)?.pid);
    server.signal('SIGKILL', server.manager?.pid);
    await rebuilt(server, before, 2000);
    const other = await TcpClient.connect(server.port);
    expect(await other.ask('echo b')).toBe('b');
    expect(client.end).toBeUndefined();
    await Promise.all([client.close(), other.close()]);
  });

  it('three times in a row is repaired each time', async () => {
    const server = await startServer('commands.js', { options: { workerNum: 2 } });
    const client = await TcpClient.connect(server.port);
    for (let round = 0; round < 3; round++) {
      await client.ask('echo a');
      const before = childrenOfMaster(server);
      server.signal('SIGKILL', server.manager?.pid);
      await rebuilt(server, before, 4000); // a pause grows when it dies again and again
    }
    expect(await client.ask('echo z')).toBe('z');
    await client.close();
  });

  it('leaves the commands working: reload, stop, and an orderly end with code 0', async () => {
    const server = await startServer('commands.js', { options: { workerNum: 2 } });
    const client = await TcpClient.connect(server.port);
    const before = childrenOfMaster(server);
    server.signal('SIGKILL', server.manager?.pid);
    await rebuilt(server, before, 2000);
    server.signal('SIGUSR1');
    await server.waitForEvent('afterReload');
    await client.ask('echo a');
    const pid = server.worker(1)?.pid;
    client.send('stop 1\n');
    await poll('worker 1 is replaced', () => server.worker(1)?.pid !== pid);
    expect(await client.ask('echo b')).toBe('b');
    server.signal('SIGTERM');
    expect(await server.exited).toEqual({ code: 0, signal: null });
    server.assertNothingLeft();
    await client.close();
  });

  it('does not lose a reload that is asked for while the next manager boots', async () => {
    const server = await startServer('commands.js', { options: { workerNum: 1 } });
    const killed = server.manager?.pid;
    server.signal('SIGKILL', killed);
    await poll('the next manager', () => ![killed, undefined].includes(server.manager?.pid));
    server.signal('SIGUSR1');
    await server.waitForEvent('afterReload');
  });

  it('is repaired as far as it can be when one worker does not boot, with the reason in the log', async () => {
    const server = await startServer('commands.js', { options: { workerNum: 2, dispatchMode: 'fd-mod' }, copy: true });
    const clients = await TcpClient.connectMany(server.port, 2);
    const ids = await Promise.all(clients.map(async (client) => (await client.ask('who')).split(' ')[0]));
    const served = clients[ids.indexOf('0')] as TcpClient;
    const waits = clients[ids.indexOf('1')] as TcpClient;
    const before = childrenOfMaster(server);
    const faulty = "server.on('workerStart', (id) => { if (id === 1) throw new Error('no luck'); });\n";
    server.edit((source) => source.replace('await server.start', `${faulty}await server.start`));
    server.signal('SIGKILL', server.manager?.pid);
    expect(await served.ask('echo a', 3000)).toBe('a');
    waits.send('echo b\n');
    await server.waitFor('a pause', () => /worker 1.*before it was ready.*in 300 ms.*no luck/.test(server.stderr));
    expect(server.stderr).not.toContain('manager exited');
    expect(await served.ask('echo c')).toBe('c');
    server.edit((source) => source.replace(faulty, ''));
    server.signal('SIGUSR1');
    expect(await waits.readLine()).toBe('b');
    await rebuilt(server, before, 2000);
    await Promise.all(clients.map((client) => client.close()));
  });

  it('in the middle of a reload is repaired too', async () => {
    const server = await startServer('commands.js', { options: { workerNum: 2 } });
    const client = await TcpClient.connect(server.port);
    const before = childrenOfMaster(server);
    server.signal('SIGUSR1');
    await poll('new workers boot', () => server.workers.length > 2);
    server.signal('SIGKILL', server.manager?.pid);
    await rebuilt(server, before, 2000);
    expect(await client.ask('echo a')).toBe('a');
    await poll('two workers, no more', () => server.workers.length === 2);
    expect(server.zombies).toEqual([]);
    await client.close();
  });

  it('says why when the next manager cannot boot, and goes on when the script is mended', async () => {
    const server = await startServer('commands.js', { options: { workerNum: 1 }, copy: true });
    const client = await TcpClient.connect(server.port);
    await client.ask('echo a');
    const faulty = "if (server.role === 'manager') throw new Error('a typing error');\nawait server.start";
    server.edit((source) => source.replace('await server.start', faulty));
    server.signal('SIGKILL', server.manager?.pid);
    await server.waitFor('the reason in the log', () => /manager.*exited.*a typing error/.test(server.stderr));
    server.edit((source) => source.replace(faulty, 'await server.start'));
    client.send('echo b\n');
    expect(await client.readLine()).toBe('b');
    await client.close();
  });

  it('is repaired when the next manager does not become ready in time', async () => {
    const server = await startServer('commands.js', { options: { workerNum: 1, bootTimeoutMs: 500 }, copy: true });
    const client = await TcpClient.connect(server.port);
    await client.ask('echo a');
    const hang = "{ say('hangs'); await new Promise((resolve) => setTimeout(resolve, 60_000)); }";
    const faulty = `if (server.role === 'manager') ${hang}\nawait server.start`;
    server.edit((source) => source.replace('await server.start', faulty));
    server.signal('SIGKILL', server.manager?.pid);
    await server.waitForEvent('hangs');
    server.edit((source) => source.replace(faulty, 'await server.start'));
    expect(await client.ask('echo b', 5000)).toBe('b');
    expect(server.stderr).toMatch(/manager was killed.*must be ready within 500 ms/);
    await client.close();
  });
});

describe('kill -9 of the master', () => {
  it('leaves nothing within a second, although one worker blocks and one is stopped, and its port is free', async () => {
    const server = await startServer('commands.js', { options: { workerNum: 3, dispatchMode: 'round-robin' } });
    const { port } = server;
    const client = await TcpClient.connect(port);
    await client.ask('echo a');
    client.send('block 60000\n');
    const blocked = await poll('a worker blocks', () => server.workers.find(({ state }) => state === 'R'));
    server.signal('SIGSTOP', server.workers.find(({ pid }) => pid !== blocked.pid)?.pid);
    server.signal('SIGKILL');
    await poll('nothing is left', () => server.tree().length === 0, 1000);
    const next = await startServer('commands.js', { options: { workerNum: 1, port } });
    expect(next.port).toBe(port);
    await client.close();
  });

  it('leaves nothing within a second while it boots', async () => {
    const server = await startServer('commands.js', { options: { workerNum: 2 } });
    server.signal('SIGUSR1');
    await poll('new workers boot', () => server.workers.length > 2);
    server.signal('SIGKILL');
    await poll('nothing is left', () => server.tree().length === 0, 1000);
  });
});

describe('a master that ends without order, under load and with a worker that blocks, takes all with it', () => {
  async function ends(how: string): Promise<ServerProcess> {
    const server = await startServer('master-ends.js', { options: { workerNum: 3 }, env: { HOW: how } });
    const load = await Load.start(server.port, 50, 4);
    await load.progress(3);
    const client = await TcpClient.connect(server.port);
    client.send('block');
    await poll('its connection is with a worker', () => client.socket.writableLength === 0);
    server.signal('SIGUSR2');
    await server.exited;
    await poll('nothing is left', () => server.tree().length === 0, 1000);
    await client.closed;
    load.close();
    return server;
  }

  it('by process.exit(), with the code that was given', async () => {
    const server = await ends('exit');
    expect(await server.exited).toEqual({ code: 3, signal: null });
  });

  it('by an error that nobody catches', async () => {
    const server = await ends('throw');
    expect(await server.exited).toEqual({ code: 1, signal: null });
    expect(server.stderr).toContain('an error in the master');
  });

  it('by a rejection that nobody catches', async () => {
    const server = await ends('reject');
    expect(await server.exited).toEqual({ code: 1, signal: null });
    expect(server.stderr).toContain('a rejection in the master');
  });
});

function stateOf(server: ServerProcess, pid: number): string | undefined {
  return server.tree().find((process) => process.pid === pid)?.state;
}
