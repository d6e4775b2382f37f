import { afterEach, describe, expect, it } from 'vitest';
import { HttpClient, request } from '../helpers/http-client.js';
import { endServers, poll, startServer } from '../helpers/server-process.js';
import { TcpClient } from '../helpers/tcp-client.js';

afterEach(endServers);

const OPENING = [
  ...['GET / HTTP/1.1', 'Host: a', 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'],
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
].join('\r\n');

interface Told {
  readonly members: number;
  readonly list: readonly number[];
  readonly rooms: readonly (readonly string[])[];
}

async function ask(port: number, path: string): Promise<Told> {
  const client = await HttpClient.connect(port);
  const { body } = await client.send(request(path)).answer();
  await client.close();
  return JSON.parse(body);
}

describe('one publish', () => {
  it('reaches sockets and event streams, of every worker and HTTP version, and ends with them', async () => {
    const { port } = await startServer('room-streams.js', { options: { workerNum: 2, reactorNum: 2 } });
    const clients = await TcpClient.connectMany(port, 6);
    const got = clients.map(() => '');
    for (const [i, client] of clients.entries()) {
      client.socket.on('data', (data: Buffer) => {
        got[i] += data.toString();
      });
    }
    const [one, two, old, socket, ...rest] = clients as [TcpClient, TcpClient, TcpClient, TcpClient, ...TcpClient[]];
    for (const client of [one, two])
      client.send('GET /events HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip, br\r\n\r\n');
    old.send('GET /events HTTP/1.0\r\n\r\n');
    for (const client of [socket, ...rest]) client.send(`${OPENING}\r\n\r\n`);
    await poll('all are members', async () => (await ask(port, '/size')).members === clients.length);
    const { list, rooms } = await ask(port, '/members');
    expect(new Set(list).size).toBe(clients.length);
    expect(rooms).toEqual(clients.map(() => ['news']));
    await ask(port, '/publish?text=hello%0Aw%C3%B6rld');
    await poll('it has come to all', () => got.every((text) => text.includes('wörld')));
    for (const i of [0, 1]) expect(got[i]).toContain('1a\r\ndata: hello\ndata: wörld\n\n\r\n');
    expect(got[2]).toContain('event: own\ndata: joined true\n\ndata: hello\ndata: wörld\n\n');
    expect(got[3]).toContain('hello\nwörld');
    for (const client of [one, old, socket]) client.socket.destroy();
    await poll('those who have gone are no members', async () => (await ask(port, '/size')).members === 3);
  });
});
