import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect as connectTls } from 'node:tls';
import { afterEach, expect, it } from 'vitest';
import { endExample, startExample } from '../helpers/example.js';
import { TcpClient } from '../helpers/tcp-client.js';

afterEach(endExample);

interface Rpc {
  call(method: string, params?: object): Promise<unknown>;
  close(): void;
}

it('examples/rpc answers several calls at once, and says what is wrong', async () => {
  const port = await startExample('rpc');
  const file = new URL('../../examples/rpc/client.js', import.meta.url).href;
  const { RpcClient } = (await import(file)) as { RpcClient: new (port: number) => Rpc };
  const client = new RpcClient(port);
  const slow = client.call('slow', { ms: 300 });
  expect(await client.call('add', { a: 1, b: 2 })).toBe(3);
  expect(await client.call('upper', { text: 'abc'.repeat(50_000) })).toBe('ABC'.repeat(50_000));
  await expect(client.call('nonsense')).rejects.toThrow('there is no method nonsense');
  await expect(client.call('upper', {})).rejects.toThrow();
  expect(await slow).toBe('done');
  client.close();
});

it('examples/line-chat brings what one says to all others', async () => {
  const port = await startExample('line-chat');
  const come = async (name: string): Promise<TcpClient> => {
    const client = await TcpClient.connect(port);
    expect(await client.readLine()).toBe('Who are you?');
    expect(await client.ask(name)).toContain(`Welcome, ${name}`);
    return client;
  };
  const [anna, ben, eve] = [await come('anna'), await come('ben'), await come('eve')];
  expect(await anna.readLine()).toBe('* ben has come');
  for (const client of [anna, ben]) expect(await client.readLine()).toBe('* eve has come');
  eve.send('hello\n');
  for (const client of [anna, ben]) expect(await client.readLine()).toBe('eve: hello');
  eve.send('/quit\n');
  await eve.closed;
  for (const client of [anna, ben]) expect(await client.readLine()).toBe('* eve has gone');
});

it('examples/udp remembers and tells', async () => {
  const port = await startExample('udp');
  const socket = createSocket('udp4');
  const ask = async (text: string): Promise<string> => {
    socket.send(text, port, '127.0.0.1');
    return String((await once(socket, 'message'))[0]).trim();
  };
  expect(await ask('set colour deep blue')).toBe('ok');
  expect(await ask('get colour')).toBe('deep blue');
  expect(await ask('get nothing')).toBe('nothing');
  expect(await ask('time')).toMatch(/^\d{4}-/);
  expect(await ask('nonsense')).toBe('set, get, time?');
  socket.close();
});

it('examples/tls shows each name its certificate', async () => {
  const port = await startExample('tls');
  for (const servername of ['one.test', 'two.test', 'localhost']) {
    const socket = connectTls({ port, host: '127.0.0.1', servername, rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    expect(socket.getPeerCertificate().subject.CN).toBe(servername);
    socket.write('hello\n');
    expect(String((await once(socket, 'data'))[0])).toContain(
      `hello, by TLSv1.3 (TLS_AES_256_GCM_SHA384) for ${servername}`,
    );
    socket.destroy();
  }
});

it('examples/passwords hashes and verifies in task workers', async () => {
  const client = await TcpClient.connect(await startExample('passwords'));
  const hash = await client.ask('hash secret');
  expect(hash).toMatch(/^[\w-]+\.[\w-]+$/);
  expect(await client.ask(`verify ${hash} secret`)).toBe('true');
  expect(await client.ask(`verify ${hash} wrong`)).toBe('false');
  expect(await client.ask('verify nonsense secret')).toBe('false');
  expect(await client.ask('nonsense')).toContain('hash PASSWORD');
  expect(JSON.parse(await client.ask('stats'))).toMatchObject({ submitted: 4, done: 4 });
});

it('examples/echo gives back what it gets', async () => {
  const client = await TcpClient.connect(await startExample('echo'));
  await client.echo('hello');
});
