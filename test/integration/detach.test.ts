// res.detach() and server.response(): answers that another process gives. Holds in both modes.
import { afterEach, describe, expect, it } from 'vitest';
import { HttpClient, request } from '../helpers/http-client.js';
import { endServers, inProcessMode, poll, type ServerProcess, startServer } from '../helpers/server-process.js';
import { Since, sharedServers } from '../helpers/shared-servers.js';

afterEach(endServers);

interface Opened {
  readonly server: Since;
  readonly client: HttpClient;
}

const openTo = async (server: ServerProcess): Promise<Opened> => ({
  server: new Since(server),
  client: await HttpClient.connect(server.port),
});

const shared = sharedServers();
const open = async (): Promise<Opened> => openTo(await shared('detach.js', { options: { reactorNum: 1 } }));

/** For tests that end or replace a process, or look at figures of the whole server. */
const openAlone = async (options: object = {}): Promise<Opened> =>
  openTo(await startServer('detach.js', { options: { reactorNum: 1, ...options } }));

describe('a detached request', () => {
  it.each([
    ['/task', 'task 2'],
    ['/worker', /^worker [01]$/],
    ['/process', 'user 3'],
  ])('is answered by another process: %s', async (path, by) => {
    const { client } = await open();
    for (let i = 0; i < 3; i++) {
      const answer = await client.get(path);
      expect(answer).toMatchObject({ status: 200, body: expect.stringMatching(/^answered by \d+$/) });
      expect(answer.headers['x-answered-by']).toEqual(typeof by === 'string' ? by : expect.stringMatching(by));
    }
    expect((await client.get(`${path}?how=json`)).headers['content-type']).toBe('application/json');
    expect(await client.get(`${path}?how=status`)).toMatchObject({ status: 404, body: 'nowhere' });
    // The connection goes on, also for requests of the usual kind.
    expect(await client.get('/plain')).toMatchObject({ status: 200 });
    await client.close();
  });

  it('keeps what the client has asked for: HEAD, HTTP/1.0, the end of the connection', async () => {
    const { server, client } = await open();
    client.send(request('/task').replace('GET', 'HEAD'));
    const head = await client.answer(true);
    expect(Number(head.headers['content-length'])).toBeGreaterThan(0);
    expect(await client.get('/task', 'Connection: close')).toMatchObject({ status: 200 });
    expect(await client.rest()).toBe('');
    const old = await HttpClient.connect(server.port);
    old.send('GET /task HTTP/1.0\r\n\r\n');
    const answer = await old.answer();
    expect(answer.headers['connection']).toBe('close');
    await old.rest();
  });

  it('is answered with a long body, in pieces', async () => {
    const { client } = await open();
    const answer = await client.get('/task?how=write&bytes=3000000');
    expect(answer.headers['transfer-encoding']).toBe('chunked');
    expect(answer.body.length).toBe(3_000_000);
    expect(await client.get('/plain')).toMatchObject({ status: 200 });
    await client.close();
  });

  inProcessMode('is answered although the worker that had it was killed', async () => {
    const { server, client } = await openAlone();
    client.send(request('/task?how=later&die=1'));
    const { pid } = await server.waitForEvent('later');
    const { workerId } = (await server.waitForEvent('workerError'))['info'] as { workerId: number };
    await poll('the worker has a successor', () => server.server.worker(workerId));
    server.server.signal('SIGCONT', pid);
    expect(await client.answer()).toMatchObject({ status: 200, body: 'later' });
    await client.close();
  });

  it('does not hold up the worker that had it when that is replaced', async () => {
    const { server, client } = await openAlone({ maxWaitMs: 60_000 });
    client.send(request('/process?how=later'));
    const { pid } = await server.waitForEvent('later');
    const before = server.server.workers.map((worker) => worker.pid);
    server.server.signal('SIGUSR1');
    await poll('the old workers are gone', () => server.server.workers.every((worker) => !before.includes(worker.pid)));
    server.server.signal('SIGCONT', pid);
    expect(await client.answer()).toMatchObject({ status: 200, body: 'later' });
    await client.close();
  });

  it('ends its connection where the process dies that has begun its answer', async () => {
    const { server, client } = await openAlone();
    client.send(request('/task?how=begun'));
    const { pid } = await server.waitForEvent('begun');
    server.server.signal('SIGKILL', pid);
    await client.tcp.closed;
    await poll('no request is under way', async () => {
      const other = await HttpClient.connect(server.port);
      const { body } = await other.get('/under-way');
      await other.close();
      return body === '1'; // this one
    });
  });

  it('is answered by one process alone: what another one says behind its beginning reaches no client', async () => {
    const { server, client } = await open();
    const discarded = async (): Promise<number> => {
      const other = await HttpClient.connect(server.port);
      const { body } = await other.get('/discarded');
      await other.close();
      return Number(body);
    };
    const before = await discarded();
    client.send(request('/task?how=begun&also=process'));
    const { pid } = await server.waitForEvent('begun');
    await server.waitForEvent('waits');
    for (const worker of server.server.workers) server.server.signal('SIGCONT', worker.pid);
    await server.waitForEvent('also');
    await poll('the second answer was dropped', async () => (await discarded()) > before);
    server.server.signal('SIGCONT', pid);
    expect(await client.answer()).toMatchObject({ status: 200, body: 'begun, ended' });
    expect(await client.get('/plain')).toMatchObject({ status: 200 });
    await client.close();
  });

  it('cannot be answered here any more', async () => {
    const { server, client } = await open();
    client.send(request('/ended'));
    expect(await server.waitForEvent('ended')).toMatchObject({ ended: true, writable: false, end: false });
    client.tcp.socket.resetAndDestroy(); // an end of its side alone would leave the answer owed
  });

  it('is answered 503 by the server where no process answers', async () => {
    const { client } = await openAlone({ workerNum: 1, taskWorkerNum: 0, requestTimeoutMs: 200 });
    expect(await client.get('/ended')).toMatchObject({ status: 503 });
    await client.close();
  });

  it('whose client has gone has no answer any more', async () => {
    const { server, client } = await open();
    client.send(request('/ended'));
    const { fd, exchange } = await server.waitForEvent('ended');
    client.tcp.socket.resetAndDestroy();
    const other = await HttpClient.connect(server.port);
    await poll('the server has seen its end', async () => (await other.get(`/open?fd=${fd}`)).body === 'false');
    expect(await other.get(`/answer?fd=${fd}&exchange=${exchange}`)).toMatchObject({
      body: expect.stringMatching(/^ERR_SESSION_(CLOSED|NOT_FOUND)$/),
    });
    await other.close();
  });

  it('must have read its body', async () => {
    const { client } = await open();
    client.send('POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc');
    expect((await client.answer()).body).toBe('ERR_HTTP_DETACH');
    await client.close();
  });

  it('is found only by what detach() has returned', async () => {
    const { client } = await open();
    for (const number of ['-1', '1.5', '4294967296', 'x']) {
      expect((await client.get(`/wrong?exchange=${number}`)).body).toBe('ERR_HTTP_DETACH');
    }
    await client.close();
  });
});
