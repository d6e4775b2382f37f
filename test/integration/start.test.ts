import { execFile } from 'node:child_process';
import { createServer } from 'node:net';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { Client } from '../helpers/client.js';
import { Tree, until } from '../helpers/tree.js';

const run = promisify(execFile);
let tree: Tree | undefined;
afterEach(async () => {
  await tree?.stop();
  tree = undefined;
});

/** A start that must fail: exit code, what was said, and that nothing is left. */
async function failedStart(fixture: string, options: object, env: Record<string, string> = {}): Promise<string> {
  const failing = Tree.spawn(fixture, { options: { ...options }, env });
  const { code } = await failing.exited;
  expect(code).toBe(1);
  await until('nothing is left', () => failing.processes().length === 0, 2000);
  return failing.stderr;
}

describe('start()', () => {
  it('runs every event in its process and in its order', async () => {
    tree = await Tree.start('echo.js', { options: { workerNum: 2, reactorNum: 1 } });
    const client = await Client.open(tree.port);
    await client.ask('hello');
    await client.close();
    await tree.waitFor('close');
    tree.signal('SIGUSR1');
    await tree.waitFor('afterReload');
    tree.signal('SIGTERM');
    await tree.exited;
    const order = tree.told.map(
      ({ event, role, worker }) => `${role} ${event}${role === 'worker' ? ` ${worker}` : ''}`,
    );
    const place = (line: string): number => order.indexOf(line);
    const lastPlace = (line: string): number => order.lastIndexOf(line);
    expect(order.filter((line) => line.startsWith('master'))).toEqual([
      'master start',
      'master up',
      'master beforeShutdown',
      'master shutdown',
    ]);
    expect(order.filter((line) => line.startsWith('manager'))).toEqual([
      'manager managerStart',
      'manager beforeReload',
      'manager afterReload',
      'manager managerStop',
    ]);
    for (const worker of [0, 1]) {
      const life = order.filter((line) => line.startsWith('worker') && line.endsWith(` ${worker}`));
      const ofProcess = life.filter((line) => !/ (connect|receive|close) /.test(line));
      // The new process starts before the old one leaves.
      expect(ofProcess).toEqual(
        ['workerStart', 'workerStart', 'workerExit', 'workerStop', 'workerExit', 'workerStop'].map(
          (event) => `worker ${event} ${worker}`,
        ),
      );
      expect(place(`worker workerStart ${worker}`)).toBeLessThan(place('master start'));
      expect(place('manager beforeReload')).toBeLessThan(lastPlace(`worker workerStart ${worker}`));
      expect(place(`worker workerStop ${worker}`)).toBeLessThan(place('manager afterReload'));
      expect(place('master beforeShutdown')).toBeLessThan(lastPlace(`worker workerExit ${worker}`));
      expect(lastPlace(`worker workerStop ${worker}`)).toBeLessThan(place('manager managerStop'));
    }
    expect(place('manager managerStop')).toBeLessThan(place('master shutdown'));
    const events = tree.told.filter(({ event }) => ['connect', 'receive', 'close'].includes(event));
    expect(events.map(({ event }) => event)).toEqual(['connect', 'receive', 'close']);
    expect(new Set(events.map(({ pid, fd }) => `${pid} ${fd}`)).size).toBe(1);
    expect(events[2]?.['reason']).toMatchObject({ initiator: 'client' });
  });

  it('resolves in the master when all workers are ready, with the whole tree known', async () => {
    tree = await Tree.start('echo.js', { options: { workerNum: 3 } });
    const up = tree.all('up');
    expect(up).toHaveLength(1);
    expect(up[0]).toMatchObject({ role: 'master', masterPid: tree.masterPid, managerPid: tree.manager?.pid });
    const workers = up[0]?.['workers'] as { id: number; pid: number; state: string }[];
    expect(workers.map(({ id }) => id)).toEqual([0, 1, 2]);
    expect(new Set(workers.map(({ pid }) => pid))).toEqual(new Set(tree.workers.map(({ pid }) => pid)));
  });

  it('gives every process and thread a name', async () => {
    tree = await Tree.start('echo.js', { options: { workerNum: 4, reactorNum: 2 } });
    const titles = tree.processes().map(({ title }) => title);
    expect(titles.sort()).toEqual([
      'tswoole: manager',
      'tswoole: master',
      'tswoole: worker 0',
      'tswoole: worker 1',
      'tswoole: worker 2',
      'tswoole: worker 3',
    ]);
    const { stdout } = await run('bash', ['-c', `cat /proc/${tree.masterPid}/task/*/comm`]);
    expect(stdout.split('\n')).toEqual(expect.arrayContaining(['tswoole: master', 'reactor 0', 'reactor 1']));
  });
});

describe('a start that cannot succeed leaves nothing running and says why:', () => {
  it('a port in use, with its holder', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    await until('it listens', () => holder.listening);
    const { port } = holder.address() as { port: number };
    const said = await failedStart('echo.js', { port });
    expect(said).toContain('ERR_PORT_IN_USE');
    expect(said).toContain(`127.0.0.1:${port}`);
    expect(said).toContain(`pid ${process.pid}`);
    holder.close();
  });

  it('an option that is not known, with the nearest one that is', async () => {
    const said = await failedStart('echo.js', { workerNumber: 2 });
    expect(said).toContain('ERR_OPTION_UNKNOWN');
    expect(said).toContain('workerNum');
  });

  it('workers that throw before they are ready, with their own error', async () => {
    const said = await failedStart('boot-fails.js', {}, { HOW: 'throw' });
    expect(said).toContain('ERR_WORKER_BOOT');
    expect(said).toMatch(/cause.*no database/);
  });

  it('workers that throw on their way to start()', async () => {
    const said = await failedStart('boot-fails.js', {}, { HOW: 'early' });
    expect(said).toContain('ERR_WORKER_BOOT');
    expect(said).toMatch(/cause.*wrong turn/);
  });

  it('workers that exit before they are ready, with their exit code', async () => {
    const said = await failedStart('boot-fails.js', {}, { HOW: 'exit' });
    expect(said).toMatch(/ERR_WORKER_BOOT[\s\S]*exitCode: 7/);
  });

  it('workers that are never ready', async () => {
    const said = await failedStart('boot-fails.js', { bootTimeoutMs: 400 }, { HOW: 'hang' });
    expect(said).toMatch(/ERR_WORKER_BOOT[\s\S]*ERR_BOOT_TIMEOUT/);
  });

  it('a manager that dies', async () => {
    expect(await failedStart('boot-fails.js', {}, { HOW: 'manager' })).toContain('ERR_MANAGER_BOOT');
  });

  it('a second server in one process', async () => {
    const said = await failedStart('two-servers.js', {});
    expect(said).toContain('ERR_ONE_SERVER');
  });

  it('code that no file holds', async () => {
    const code = "import('tswoole').then(({ Server }) => new Server().start())";
    await expect(run(process.execPath, ['-e', code])).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining('ERR_NOT_COMMAND_LINE'),
    });
  });

  it('a worker thread', async () => {
    expect(await failedStart('in-a-thread.js', {})).toContain('ERR_NOT_COMMAND_LINE');
  });
});
