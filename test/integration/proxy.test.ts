import { afterEach, describe, expect, it } from 'vitest';
import { endServers, poll, type ServerProcess, startServer } from '../helpers/server-process.js';
import { TcpClient } from '../helpers/tcp-client.js';

afterEach(endServers);

const start = (options: object = {}): Promise<ServerProcess> =>
  startServer('commands.js', { options: { workerNum: 2, proxyProtocol: ['127.0.0.0/8'], ...options } });

const v1 = 'PROXY TCP4 192.0.2.7 198.51.100.1 4242 443\r\n';

function v2(): Buffer {
  const head = Buffer.from('\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c', 'latin1');
  return Buffer.concat([head, Buffer.from([10, 1, 2, 3, 5, 6, 7, 8, 0x10, 0x01, 0, 80])]);
}

/** Sends the header with a command behind it, cut at `place`. @returns what is known of the client */
async function enter(server: ServerProcess, header: string | Buffer, place: number): Promise<Record<string, unknown>> {
  const client = await TcpClient.connect(server.port);
  client.socket.setNoDelay(true);
  const bytes = Buffer.concat([Buffer.from(header), Buffer.from('fd\n')]);
  client.send(bytes.subarray(0, place));
  await new Promise((resolve) => setTimeout(resolve, 5));
  client.send(bytes.subarray(place));
  const fd = await client.readLine();
  return JSON.parse(await client.ask(`info ${fd}`)) as Record<string, unknown>;
}

async function isTurnedAway(server: ServerProcess, bytes: string): Promise<void> {
  const client = await TcpClient.connect(server.port);
  client.socket.on('error', () => {});
  client.send(bytes);
  await client.closed;
}

describe.each(['epoll', 'poll'])('a client behind a load balancer, backend %s', (reactorBackend) => {
  it('has the address that the header tells, wherever that is cut', async () => {
    const server = await start({ reactorBackend });
    for (const place of [1, 6, 20, v1.length - 1, v1.length, v1.length + 1]) {
      expect(await enter(server, v1, place)).toMatchObject({ remoteAddress: '192.0.2.7', remotePort: 4242 });
    }
    for (const place of [1, 12, 16, 20, 28, 29]) {
      expect(await enter(server, v2(), place)).toMatchObject({ remoteAddress: '10.1.2.3', remotePort: 4097 });
    }
    expect(await enter(server, 'PROXY UNKNOWN\r\n', 5)).toMatchObject({ remoteAddress: '127.0.0.1' });
    const framed = await start({ reactorBackend, framing: { type: 'eof', delimiter: '\n' } });
    expect(await enter(framed, v1, 30)).toMatchObject({ remoteAddress: '192.0.2.7' });
  });
});

describe('a port that expects PROXY headers', () => {
  it('turns away whoever does not begin with one, and goes on', async () => {
    const server = await start();
    for (const bytes of ['echo hello\n', 'PROXY TCP4 1.2.3.4\r\n', '\r\n\r\n\0\r\nQUIT\nxxxxxx']) {
      await isTurnedAway(server, bytes);
    }
    expect(await enter(server, v1, 10)).toMatchObject({ remoteAddress: '192.0.2.7' });
    await poll('it is logged', () => server.stderr.includes('PROXY header'));
    expect(server.events('close')).toEqual([]);
  });

  it('turns away whoever is not trusted, whatever it says', async () => {
    const server = await start({ proxyProtocol: ['10.0.0.1'] });
    await isTurnedAway(server, v1);
    await poll('it is logged', () => server.stderr.includes('trusted'));
  });

  it('counts clients, not the load balancer, for maxConnectionsPerIp', async () => {
    const server = await start({ maxConnectionsPerIp: 2 });
    const clients: TcpClient[] = [];
    for (let i = 0; i < 6; i++) {
      const client = await TcpClient.connect(server.port);
      client.send(`PROXY TCP4 192.0.2.${i >> 1} 198.51.100.1 4242 443\r\necho in\n`);
      expect(await client.readLine()).toBe('in');
      clients.push(client);
    }
    await isTurnedAway(server, v1.replace('192.0.2.7', '192.0.2.1'));
    await Promise.all(clients.map((client) => client.ask('echo still')));
  });

  it('leaves nothing behind of clients that never say who they are', async () => {
    const server = await start();
    const silent = await TcpClient.connectMany(server.port, 10);
    silent[0]?.send('PROXY TC');
    server.signal('SIGTERM');
    expect(await server.exited).toEqual({ code: 0, signal: null });
    await Promise.all(silent.map((client) => client.closed));
    server.assertNothingLeft();
  });
});
