import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { Client } from '../helpers/client.js';
import { CommandLine, endCommandLines } from '../helpers/command-line.js';
import { DEADLINE_MS } from '../helpers/deadline.js';
import { listProcesses } from '../helpers/processes.js';
import { endServers, poll, startServer } from '../helpers/server-process.js';
import { foreground, look } from '../helpers/shared-lines.js';
import { TcpClient } from '../helpers/tcp-client.js';

afterEach(endCommandLines);
afterEach(endServers);

const isRoot = process.getuid?.() === 0;
const canUnshare = spawnSync('unshare', ['--pid', '--fork', '--mount-proc', 'true']).status === 0;

/** Starts in the foreground. @returns the process and the port, when it is up */
async function start(line: CommandLine, command: string, args: string[], env = {}) {
  const child = spawn(command, args, {
    cwd: line.folder,
    env: { ...line.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const port = await new Promise<number>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (text) => resolve((JSON.parse(text) as { port: number }).port));
    void exited.then((code) => reject(new Error(`it ended with ${code}`)));
  });
  return { child, port, exited };
}

describe.skipIf(!canUnshare)('as process 1 of a container', () => {
  it('it reaps whatever is left to it, and ends with 0 on SIGTERM', async () => {
    const line = new CommandLine({ TSWOOLE_OPTION_WORKER_NUM: '1' });
    writeFileSync(
      join(line.folder, 'orphans.js'),
      `import { spawn } from 'node:child_process';
       import { Server } from 'tswoole';
       const server = new Server();
       server.on('receive', (conn) => {
         // A grandchild whose parent ends at once: it is left to process 1.
         spawn('sh', ['-c', 'sleep 0.2 & exec true'], { stdio: 'ignore' }).once('exit', () => conn.send('done'));
       });
       await server.start();
       console.log(JSON.stringify({ event: 'up', port: server.port, pid: process.pid }));`,
    );
    const { port, exited, child } = await start(line, 'unshare', [
      '--pid',
      '--fork',
      '--mount-proc',
      '--kill-child',
      'tswoole',
      'start',
      'orphans.js',
    ]);
    const master = listProcesses().find(({ parent }) => parent === child.pid);
    const clients = await Client.openMany(port, 10);
    for (const client of clients) {
      client.write('x');
      await client.until('it was done', () => client.text === 'done');
    }
    const zombies = (): number =>
      listProcesses().filter(({ state, parent }) => state === 'Z' && parent === master?.pid).length;
    const sleeps = (): number => line.tree().filter(({ title }) => title.startsWith('sleep')).length;
    await poll('all have ended, and were reaped', () => sleeps() === 0 && zombies() === 0);
    process.kill(master?.pid ?? 0, 'SIGTERM');
    const from = performance.now();
    expect(await exited).toBe(0);
    expect(performance.now() - from).toBeLessThan(4000);
    expect(line.tree()).toEqual([]);
  });
});

const hasPython = spawnSync('python3', ['--version']).status === 0;

describe('under systemd', () => {
  it.skipIf(!hasPython)('it says when it is up, that it is alive, and that it stops', async () => {
    const line = new CommandLine({ TSWOOLE_OPTION_WORKER_NUM: '1' });
    const path = join(line.folder, 'notify');
    // Node has no datagram sockets of that kind: Python stands in for systemd.
    const systemd = spawn(
      'python3',
      [
        '-u',
        '-c',
        `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print('bound')
while True:
    print(s.recv(4096).decode().replace('\\n', ';'))
`,
        path,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const heard: string[] = [];
    createInterface({ input: systemd.stdout }).on('line', (text) => heard.push(text));
    try {
      await poll('somebody listens', () => heard.includes('bound'));
      const { exited, child } = await start(line, 'tswoole', ['start', line.script], {
        NOTIFY_SOCKET: path,
        WATCHDOG_USEC: '400000',
      });
      await poll('it is up', () => heard.some((text) => text.includes('READY=1')));
      await poll('it is alive', () => heard.filter((text) => text.includes('WATCHDOG=1')).length > 2);
      child.kill('SIGTERM');
      expect(await exited).toBe(0);
      await poll('it stops', () => heard.some((text) => text.includes('STOPPING=1')));
    } finally {
      systemd.kill('SIGKILL');
    }
  });

  it('the unit file has no fault that systemd would find', async () => {
    const line = new CommandLine();
    writeFileSync(join(line.folder, 'it.service'), await line.must('systemd', line.script, '--port', '8080'));
    const { status, stderr, error } = spawnSync('systemd-analyze', ['verify', join(line.folder, 'it.service')], {
      encoding: 'utf8',
    });
    if (error === undefined) expect({ status, stderr }).toMatchObject({ status: 0 });
  });
});

describe.skipIf(!isRoot)('with user and group', () => {
  it('workers have no more rights than those, and the master keeps its own', async () => {
    const line = new CommandLine();
    for (const folder of [line.folder, join(line.folder, 'bin')]) chmodSync(folder, 0o755);
    await foreground(line, '--user', 'nobody', '--umask', '027');
    const { workers, status } = await look(line);
    const field = (pid: number, name: string): string[] =>
      (new RegExp(`^${name}:\\s+(.*)$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '')
        .trim()
        .split(/\s+/);
    for (const { pid } of workers) {
      expect(new Set(field(pid, 'Uid'))).toEqual(new Set(['65534']));
      expect(field(pid, 'Uid')).toHaveLength(4);
      expect(field(pid, 'Groups')).not.toContain('0');
      expect(field(pid, 'Umask')).toEqual(['0027']);
    }
    expect(field(status.masterPid, 'Uid')[0]).toBe('0');
    await line.must('reload');
  });

  it('and chroot and cores, workers have those, and come back with them after a reload', async () => {
    const line = new CommandLine();
    const core = /Cpus_allowed_list:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
    const rights = ['--group', 'nogroup', '--chroot', line.folder, '--cpu-affinity', core];
    const { port } = await foreground(line, ...rights);
    await line.must('reload');
    const client = await Client.open(port);
    expect(await client.ask('a')).toMatch(/^a /);
    // Also when each has looked at itself a few times, without a /proc.
    const reachesAge = ({ uptimeMs }: { uptimeMs: number }): boolean => uptimeMs > 1500;
    await poll('they have lived for a while', async () => (await look(line)).workers.every(reachesAge));
    for (const { pid } of (await look(line)).workers) {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      expect(status).toMatch(/^Gid:\s+65534\s+65534\s+65534/m);
      expect(status).toMatch(new RegExp(`^Cpus_allowed_list:\\s+${core}$`, 'm'));
      expect(readlinkSync(`/proc/${pid}/root`)).toBe(line.folder);
    }
    expect((await look(line)).stats.workerRestarts).toBe(0);
  });

  it.each(['process', 'base'])('and chroot, it serves files and forms of there, and errors: %s', async (mode) => {
    const folder = mkdtempSync(join(tmpdir(), 'jail-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    chmodSync(folder, 0o755);
    writeFileSync(join(folder, 'hostname'), 'of the jail');
    mkdirSync(join(folder, 'etc'));
    // Outside, this path and the target of the link are other files.
    writeFileSync(join(folder, 'etc/passwd'), 'of the jail too');
    symlinkSync('/etc/passwd', join(folder, 'link.txt'));
    const options = { mode, chroot: folder, user: 'nobody', reactorNum: 1 };
    const server = await startServer('jail.js', { options });
    const url = `http://127.0.0.1:${server.port}`;
    const get = async (path: string): Promise<string> => (await fetch(url + path)).text();
    expect(await get('/hostname')).toBe('of the jail');
    expect(await get('/etc/passwd')).toBe('of the jail too');
    expect(await get('/link.txt')).toBe('of the jail too');
    expect(await get('/error')).toBe('ERR_WORKER_ID');
    const body = new FormData();
    body.set('a', 'b');
    expect(await (await fetch(`${url}/form`, { method: 'POST', body })).json()).toEqual({ a: 'b' });
    const { raw } = await server.waitForEvent('up');
    const client = await TcpClient.connect(raw as number);
    client.send('/link.txt\n');
    expect(String(await client.read('of the jail too'.length, DEADLINE_MS))).toBe('of the jail too');
  });

  it('that do not exist, it does not start', async () => {
    const line = new CommandLine();
    expect(await line.run('start', line.script, '--user', 'nobody-of-this-name')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('ERR_USER'),
    });
  });
});

describe('a change of a file', () => {
  it('reloads where the option watch says so', async () => {
    const line = new CommandLine({ TSWOOLE_OPTION_WORKER_NUM: '1' });
    const { port } = await foreground(line, '--watch', '--log-file', '/dev/null');
    const client = await Client.open(port);
    expect(await client.ask('a')).toMatch(/^a /);
    const source = readFileSync(line.script, 'utf8');
    writeFileSync(line.script, source.replaceAll('conn.send(`', 'conn.send(`new '));
    await poll('the new code runs', async () => (await client.ask('b')).startsWith('new b'));
    writeFileSync(line.script, 'this is no script');
    await poll('the reload has failed', async () => (await look(line)).stats.failedReloadCount === 1);
    writeFileSync(line.script, source);
    await poll('the old code runs again', async () => (await client.ask('c')).startsWith('c'));
    expect(readdirSync(line.runDir)).toHaveLength(2);
  });
});
