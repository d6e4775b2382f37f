import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Client } from '../helpers/client.js';
import { clientOfEach } from '../helpers/client-of-each.js';
import { endServers, poll, type ServerProcess, whereConnectionsStay } from '../helpers/server-process.js';
import { sharedServers } from '../helpers/shared-servers.js';

const shared = sharedServers();
let server: ServerProcess;
let first: Client;
let second: Client;
let firstFd: number;
let secondFd: number;

beforeEach(async () => {
  server = await shared('commands.js', { options: { workerNum: 2, reactorNum: 2 } });
  [first, second] = (await clientOfEach(2, () => Client.open(server.port))) as [Client, Client];
  await poll('no other client is there', async () => (await first.ask('connections')).endsWith(' 2'));
  firstFd = Number(await first.ask('fd'));
  secondFd = Number(await second.ask('fd'));
});

afterEach(async () => {
  await first.close();
  await second.close();
  await endServers();
});

describe('from a worker that does not own the connection', () => {
  it('send and close reach it', async () => {
    expect(await first.ask(`sendTo ${secondFd} greetings`)).toBe('true -');
    await second.until('it arrives', () => second.text.endsWith('greetings\n'));
    expect(await first.ask(`closeOf ${secondFd}`)).toBe('true -');
    await second.closed;
    const { reason } = await server.waitForEvent('close', ({ fd }) => fd === secondFd);
    expect(reason).toMatchObject({ code: 'SERVER_CLOSED', initiator: 'server' });
  });

  it('what is known of it can be read', async () => {
    expect(await first.ask(`exists ${secondFd}`)).toBe('true');
    const info = JSON.parse(await first.ask(`info ${secondFd}`));
    const { port, localPort } = second.socket as unknown as { port: number; localPort: number };
    expect(port).toBeUndefined();
    expect(info).toMatchObject({
      fd: secondFd,
      remoteAddress: '127.0.0.1',
      remotePort: localPort,
      serverPort: server.port,
      uid: 0,
      paused: false,
      closing: false,
    });
    expect(info.receivedBytes).toBeGreaterThan(0);
    const [list, size] = (await first.ask('connections')).split(' ');
    expect(JSON.parse(list as string).sort()).toEqual([firstFd, secondFd].sort());
    expect(size).toBe('2');
    const page = JSON.parse(await first.ask('list 0 1'));
    expect(page).toHaveLength(1);
    expect(JSON.parse(await first.ask(`list ${page[0]} 10`))).toHaveLength(1);
  });

  it('it can be paused, resumed, bound to a uid and protected', async () => {
    expect(await first.ask(`pause ${secondFd}`)).toBe('true');
    let info: { paused: boolean; uid: number; protected: boolean };
    do info = JSON.parse(await first.ask(`info ${secondFd}`));
    while (!info.paused);
    second.write('echo while paused\n');
    for (let i = 0; i < 20; i++) await first.ask('echo time passes');
    expect(second.text).not.toContain('while paused');
    expect(await first.ask(`resume ${secondFd}`)).toBe('true');
    await second.until('what was sent meanwhile is answered', () => second.text.endsWith('while paused\n'));
    expect(await first.ask(`bind ${secondFd} 77`)).toBe('true -');
    expect(await first.ask(`bind ${secondFd} 78`)).toBe('false ERR_ALREADY_BOUND');
    expect(await first.ask(`protect ${secondFd}`)).toBe('true');
    info = JSON.parse(await first.ask(`info ${secondFd}`));
    expect(info).toMatchObject({ uid: 77, protected: true, paused: false });
  });
});

describe('a session id that means nothing', () => {
  it.each([
    ['999999999', 'ERR_SESSION_NOT_FOUND'],
    ['-1', 'ERR_SESSION_ID'],
    ['NaN', 'ERR_SESSION_ID'],
    ['1e300', 'ERR_SESSION_ID'],
    ['0.5', 'ERR_SESSION_ID'],
  ])('%s is answered with false and %s', async (fd, code) => {
    expect(await first.ask(`sendTo ${fd} x`)).toBe(`false ${code}`);
    expect(await first.ask(`closeOf ${fd}`)).toBe(`false ${code}`);
    expect(await first.ask(`exists ${fd}`)).toBe('false');
    expect(await first.ask(`info ${fd}`)).toBe('null');
  });

  it('stays without meaning after its connection is gone', async () => {
    await second.close();
    await server.waitForEvent('close', ({ fd }) => fd === secondFd);
    expect(await first.ask(`sendTo ${secondFd} x`)).toMatch(/^false ERR_SESSION_(NOT_FOUND|CLOSED)$/);
    const later = await Client.openMany(server.port, 50);
    const ids = await Promise.all(later.map((client) => client.ask('fd')));
    expect(ids).not.toContain(String(secondFd));
    expect(new Set(ids).size).toBe(50);
    await Promise.all(later.map((client) => client.close()));
  });
});

describe('figures', () => {
  it('are what the clients counted', async () => {
    const before = JSON.parse(await first.ask('stats'));
    for (let i = 0; i < 20; i++) await second.ask('echo x');
    const after = JSON.parse(await first.ask('stats'));
    expect(after.requestCount - before.requestCount).toBe(21);
    expect(after.receivedBytes - before.receivedBytes).toBe(20 * 'echo x\n'.length + 'stats\n'.length);
    const { acceptCount, closeCount } = before;
    expect(after).toMatchObject({ connectionNum: 2, acceptCount, closeCount, workerNum: 2 });
    expect(acceptCount - closeCount).toBe(2);
    const workers = JSON.parse(await first.ask('workers')) as { pid: number; connections: number }[];
    expect(workers.map(({ pid }) => pid)).toEqual([server.worker(0)?.pid, server.worker(1)?.pid]);
    expect(workers.map(({ connections }) => connections)).toEqual([1, 1]);
  });
});

describe('stop(workerId)', () => {
  whereConnectionsStay('replaces that worker without a gap', async () => {
    const before = server.workers.map(({ pid }) => pid);
    first.write('stop 1\n');
    await poll('worker 1 is another process', () => {
      const now = server.worker(1)?.pid;
      return now !== undefined && now !== before[1] && server.workers.length === 2;
    });
    expect(await first.ask('echo a')).toBe('a');
    expect(await second.ask('echo b')).toBe('b');
    expect(server.worker(0)?.pid).toBe(before[0]);
  });
});
