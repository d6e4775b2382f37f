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

/** The chunks of an answer that is whole. */
function chunksOf(answer: Buffer): string[] {
  const chunks: string[] = [];
  for (let at = answer.indexOf('\r\n\r\n') + 4; ; ) {
    const begin = answer.indexOf('\r\n', at) + 2;
    const line = answer.toString('latin1', at, begin - 2);
    expect(line).toMatch(/^[0-9a-f]+$/);
    const end = begin + Number.parseInt(line, 16);
    if (end === begin) return chunks;
    expect(answer.toString('latin1', end, end + 2)).toBe('\r\n');
    chunks.push(answer.toString('utf8', begin, end));
    at = end + 2;
  }
}

describe('what other processes publish', () => {
  it('comes between the events of a stream, and into none, however much waits for its client', async () => {
    const { port } = await startServer('room-streams.js', { options: { workerNum: 2, reactorNum: 1 } });
    const publishers = await Promise.all(Array.from({ length: 4 }, () => HttpClient.connect(port)));
    const published = publishers.map((client) => client.send(request('/news')).answer());
    const client = await TcpClient.connect(port);
    const got: Buffer[] = [];
    client.socket.on('data', (data: Buffer) => got.push(data));
    client.send('GET /history HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    await new Promise((resolve) => client.socket.once('close', resolve));
    await Promise.all(published);
    const chunks = chunksOf(Buffer.concat(got));
    const own = /^data: (ü{2000}|ü{100000})\n\n$/;
    expect(chunks.filter((text) => own.test(text))).toHaveLength(10 + 5 * 300);
    expect(chunks.filter((text) => !own.test(text) && !/^(data: news \d+\n\n)+$/.test(text))).toEqual([]);
    for (const publisher of publishers) await publisher.close();
  });
});

describe('the rooms of a connection', () => {
  it('are told, though the answer is longer than a channel', async () => {
    const { port } = await startServer('room-streams.js', { options: { channelSize: 65_536 } });
    const client = await HttpClient.connect(port);
    const { body } = await client.send(request('/rooms')).answer();
    expect(body).toBe('data: 1000 rooms\n\n');
    await client.close();
  });
});

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
