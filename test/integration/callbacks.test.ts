import { afterEach, describe, expect, it } from 'vitest';
import { endServers, type Line, spawnServer, startServer } from '../helpers/server-process.js';
import { TcpClient } from '../helpers/tcp-client.js';

afterEach(endServers);

async function refused(env: Record<string, string>, options: Record<string, unknown> = {}): Promise<Line> {
  const server = spawnServer('callbacks.js', { env, options });
  const line = await server.waitForEvent('refused');
  expect(await server.exited).toMatchObject({ code: 1 });
  return line;
}

describe('a server without a callback its protocol needs is refused at start', () => {
  const udp = '[{"type":"udp","port":0}]';
  it.each([
    ['a stream without receive', 'receive', { EVENTS: 'connect close' }, {}],
    ['a further port without receive', 'receive', { EVENTS: 'receive@0', LISTEN: '[{"port":0}]' }, {}],
    ['a unix socket without receive', 'receive', { EVENTS: 'receive@0', LISTEN: '[{"path":"s.sock"}]' }, {}],
    ['a datagram port without packet', 'packet', { EVENTS: 'receive', LISTEN: udp }, {}],
    ['HTTP without request', 'request', { HTTP: '1', EVENTS: 'receive' }, {}],
    ['task workers without task', 'task', { EVENTS: 'receive' }, { taskWorkerNum: 2 }],
  ])('%s', async (_what, event, env, options) => {
    const line = await refused(env, { port: 0, ...options });
    expect(line).toMatchObject({ code: 'ERR_CALLBACK_MISSING', detail: { event } });
    expect(line['message']).toContain(`"${event}"`);
  });

  it('the message names the port', async () => {
    const { message, detail } = await refused({ EVENTS: 'receive@0', LISTEN: '[{"port":45999}]' });
    expect(message).toContain('tcp on 127.0.0.1, port 45999,');
    expect(detail).toEqual({ event: 'receive', where: 'the listen port for tcp on 127.0.0.1', port: 45999 });
  });

  it('a callback of the server serves every port, one of a port that port', async () => {
    const LISTEN = '[{"port":0},{"type":"udp","port":0}]';
    await startServer('callbacks.js', { env: { EVENTS: 'receive packet@2', LISTEN } });
  });
});

describe('on', () => {
  it('that gives an event another callback replaces it, and one process says so once', async () => {
    const CODE = `
      for (let i = 0; i < 3; i++) server.on('receive', (conn) => conn.send('number ' + i));
      server.on('connect', () => {}).off('connect').on('connect', () => {});
      const same = () => {};
      server.on('close', same).on('close', same);
      server.ports[0].on('bufferFull', () => {}).on('bufferFull', () => {});`;
    const server = await startServer('callbacks.js', { env: { CODE }, options: { workerNum: 2, logLevel: 'warn' } });
    const client = await TcpClient.connect(server.port);
    expect((await client.send('x').read(8)).toString()).toBe('number 2');
    const warnings = server.stderr.split('\n').filter((line) => line.includes('had a callback already'));
    expect(warnings).toHaveLength(2);
    expect(warnings[0]).toContain('"receive"');
    expect(warnings[1]).toContain('"bufferFull" of listen port 0');
  });
});

describe('once', () => {
  it('calls back for the first event, and not again', async () => {
    const CODE = `
      server.once('receive', (conn, data) => { say('first', { data: data.toString() }); conn.send('a'); });
      server.ports[0].once('connect', (conn) => say('connect', { fd: conn.fd }));
      server.once('close', () => say('close'));`;
    const server = await startServer('callbacks.js', { env: { CODE } });
    const [one, two] = await TcpClient.connectMany(server.port, 2);
    await one?.send('x').read(1);
    await two?.close();
    one?.send('y');
    await server.waitForEvent('close');
    await one?.close();
    expect(server.events('first')).toHaveLength(1);
    expect(server.events('connect')).toHaveLength(1);
    expect(server.events('close')).toHaveLength(1);
  });

  it('refuses what is no callback, and events that there are not', async () => {
    const CODE = `
      for (const [event, callback] of [['receive', 5], ['recieve', () => {}]]) {
        try { server.once(event, callback); } catch ({ code }) { say('threw', { code }); }
      }
      server.on('receive', () => {});`;
    const server = await startServer('callbacks.js', { env: { CODE } });
    expect(server.events('threw').map(({ code }) => code)).toContain('ERR_CALLBACK_TYPE');
    expect(server.events('threw').map(({ code }) => code)).toContain('ERR_EVENT_UNKNOWN');
  });

  it('answers a second request with 404', async () => {
    const CODE = `server.once('request', (_request, response) => response.end('only one'));`;
    const server = await startServer('callbacks.js', { env: { CODE, HTTP: '1' } });
    const url = `http://127.0.0.1:${server.port}/`;
    const first = await fetch(url);
    expect([first.status, await first.text()]).toEqual([200, 'only one']);
    expect((await fetch(url)).status).toBe(404);
  });
});
