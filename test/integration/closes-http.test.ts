import { afterEach, describe, expect, it } from 'vitest';
import { endServers, startServer } from '../helpers/server-process.js';
import { TcpClient } from '../helpers/tcp-client.js';

afterEach(endServers);

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nhost: a\r\n\r\n`;

describe('server.close(req.fd)', () => {
  it.each([
    ['close() before the answer', { HOW: '{}' }],
    ['close({reset: true}) before the answer', { HOW: '{"reset":true}' }],
    ['close() behind the answer', { HOW: '{}', AFTER: '1' }],
    ['close({reset: true}) behind the answer', { HOW: '{"reset":true}', AFTER: '1' }],
  ])('%s: requests that were pipelined are not served', async (_how, env) => {
    const server = await startServer('closes-http.js', { env });
    const client = await TcpClient.connect(server.port);
    client.send(get('/1') + get('/2') + get('/3'));
    await server.waitForEvent('request');
    for (let i = 4; i < 10; i++) client.send(get(`/${i}`));
    await client.closed;
    const other = await TcpClient.connect(server.port);
    other.send(get('/other'));
    await server.waitForEvent('request', ({ path }) => path === '/other');
    expect(server.events('request').map(({ path }) => path)).toEqual(['/1', '/other']);
    expect(server.events('closed')[0]).toMatchObject({ exists: false });
    await other.close();
  });
});

it('a tunnel that was destroyed gives nothing more to its callbacks', async () => {
  const server = await startServer('closes-http.js', { env: { TUNNEL: '1' } });
  const client = await TcpClient.connect(server.port);
  client.send('GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: lines\r\n\r\n');
  await client.readLine();
  client.send('first');
  await server.waitForEvent('data');
  for (let i = 0; i < 10; i++) client.send(`more ${i}`);
  await client.closed;
  expect(server.events('data').map(({ text }) => text)).toEqual(['first']);
});

it('in BASE mode the requests of a dead worker count no more when it is reaped, before its successor has booted', async () => {
  const options = { mode: 'base', workerNum: 2 };
  const server = await startServer('closes-http.js', { options, env: { SILENT: '1', SLOW_RESTART: '2000' } });
  const client = await TcpClient.connect(server.port);
  client.send(get('/1'));
  const { pid } = await server.waitForEvent('request');
  await server.waitForEvent('stats', ({ underWayNum, connectionNum }) => underWayNum === 1 && connectionNum === 1);
  const starts = server.events('workerStart').length;
  server.signal('SIGKILL', pid);
  await server.waitFor('none under way', () => {
    const last = server.events('stats').at(-1);
    return last?.['underWayNum'] === 0 && last['connectionNum'] === 0;
  });
  expect(server.events('workerStart')).toHaveLength(starts);
});
