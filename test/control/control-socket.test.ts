import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ControlClient } from '../../src/control/client.js';
import { type CommandHandler, CommandTable } from '../../src/control/commands.js';
import type { Controlled } from '../../src/control/controlled.js';
import { idOf, LIMIT_ANSWER_BYTES, LIMIT_REQUEST_BYTES, lineReader, parseRequest } from '../../src/control/protocol.js';
import { RateMeter } from '../../src/control/rate-meter.js';
import { ControlServer } from '../../src/control/server.js';
import { ServerError, serializeError } from '../../src/errors/index.js';
import { deferred } from '../../src/util/deferred.js';
import { Log } from '../../src/util/log.js';
import { eventually } from '../helpers/eventually.js';
import { openDescriptors } from '../helpers/leaks.js';

afterEach(() => vi.useRealTimers());

describe('a request', () => {
  it('has an id, a command and arguments; two of them may be missing', () => {
    const full = '{"id":1,"command":"reload","arguments":{"tasksOnly":true}}';
    expect(parseRequest(full)).toEqual({ id: 1, command: 'reload', arguments: { tasksOnly: true } });
    expect(parseRequest('{"command":"stats"}')).toEqual({ id: 0, command: 'stats', arguments: {} });
  });

  it.each(
    ['', 'x', '{', 'null', '1', '[]', '{}', '{"command":1}', '{"command":"a","id":"1"}'].concat(
      ['[]', 'null', '1', '"x"'].map((given) => `{"command":"a","arguments":${given}}`),
    ),
  )('is not %s', (line) => {
    expect(() => parseRequest(line)).toThrow(
      expect.objectContaining({ code: 'ERR_COMMAND_REQUEST', detail: { why: expect.any(String) } }),
    );
  });

  it.each([
    ['{"id":7,"command":1}', 7],
    ['{"id":"7"}', 0],
    ['{', 0],
    ['{}', 0],
  ])('that cannot be used, %s, is answered under the id %i', (line, id) => {
    expect(idOf(line)).toBe(id);
  });
});

describe('lines', () => {
  const cut = (...pieces: string[]): string[] => {
    const lines: string[] = [];
    const read = lineReader((line) => lines.push(line), LIMIT_REQUEST_BYTES);
    for (const piece of pieces) read(piece);
    return lines;
  };

  it('are cut wherever pieces end; empty ones are none', () => {
    const text = '{"a":1}\n\n  \n{"b":2}\nrest';
    for (let at = 0; at <= text.length; at++) {
      expect(cut(text.slice(0, at), text.slice(at))).toEqual(['{"a":1}', '{"b":2}']);
    }
  });

  it('may be as long as the limit, and not longer', () => {
    const longest = 'x'.repeat(LIMIT_REQUEST_BYTES);
    expect(cut(longest, '\n')).toEqual([longest]);
    expect(() => cut(longest, 'x')).toThrow(expect.objectContaining({ code: 'ERR_COMMAND_REQUEST' }));
  });

  it('of many pieces cost no more than their length', () => {
    const lines: string[] = [];
    const read = lineReader((line) => lines.push(line), LIMIT_ANSWER_BYTES);
    const piece = 'x'.repeat(64);
    const count = LIMIT_ANSWER_BYTES / piece.length;
    for (let i = 0; i < count; i++) read(piece); // where each looks at all before it: 2^45 bytes
    read('\n');
    expect(lines.map(({ length }) => length)).toEqual([LIMIT_ANSWER_BYTES]);
  });
});

describe('the control socket', () => {
  let before: string[];
  let folder: string;
  let path: string;
  let server: ControlServer;
  let own: Map<string, CommandHandler>;
  let clients: ControlClient[];
  let sockets: Socket[];
  let log: string[];
  let umask: number;

  beforeEach(async () => {
    before = openDescriptors();
    umask = process.umask();
    folder = mkdtempSync(join(tmpdir(), 'control-'));
    path = join(folder, 'it.sock');
    [own, clients, sockets, log] = [new Map(), [], [], []];
    own.set('echo', (given) => given);
    own.set('fail', () => {
      throw new ServerError('ERR_RELOAD', { why: 'no' });
    });
    own.set('nothing', () => undefined);
    const output = new Log({ role: 'master', level: 'debug', write: (line) => log.push(line) });
    server = new ControlServer(new CommandTable({} as Controlled, own), output);
    await server.listen(path);
  });
  afterEach(async () => {
    for (const client of clients) client.close();
    for (const socket of sockets) socket.destroy();
    await server.close();
    await Promise.all(clients.map(({ closed }) => closed));
    rmSync(folder, { recursive: true });
    await eventually(() => expect(openDescriptors()).toEqual(before));
  });

  const dial = async (): Promise<ControlClient> => {
    const client = await ControlClient.connect(path);
    clients.push(client);
    return client;
  };
  /** What the server answers to these bytes. */
  const raw = (text: string): Promise<string> =>
    new Promise((resolve) => {
      const socket = connect(path, () => socket.write(text));
      sockets.push(socket);
      socket.setEncoding('utf8').once('data', (answer: string) => resolve(answer));
    });

  it('is for this user alone', () => {
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(process.umask()).toBe(umask);
  });

  it('answers with the result, or with the error, its code and its detail', async () => {
    const client = await dial();
    expect(await client.call('echo', { a: [1, 'ä', null] })).toEqual({ a: [1, 'ä', null] });
    expect(await client.call('nothing')).toBeNull();
    const error = await client.call('fail').catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ServerError);
    expect(error).toMatchObject({ code: 'ERR_RELOAD', detail: { why: 'no' } });
    await expect(client.call('ecko')).rejects.toMatchObject({
      code: 'ERR_COMMAND_UNKNOWN',
      detail: { nearest: 'echo' },
    });
  });

  it('answers at any length that the commands have', async () => {
    const long = Array.from({ length: 1000 }, (_, i) => `${i} ${'é'.repeat(4000)}`);
    own.set('long', () => long);
    expect(await (await dial()).call('long')).toEqual(long);
  });

  it('answers each call as soon as it can, under its id', async () => {
    const late = deferred<string>();
    own.set('late', () => late.promise);
    const client = await dial();
    const first = client.call('late');
    expect(await client.call('echo', { n: 2 })).toEqual({ n: 2 });
    late.resolve('at last');
    expect(await first).toBe('at last');
  });

  it('gives up a call after its time, and keeps its answer from the next one', async () => {
    const late = deferred<string>();
    own.set('late', () => late.promise);
    const client = await dial();
    await expect(client.call('late', {}, 10)).rejects.toMatchObject({
      code: 'ERR_COMMAND_TIMEOUT',
      detail: { name: 'late', timeoutMs: 10 },
    });
    late.resolve('too late');
    expect(await client.call('echo', { n: 3 })).toEqual({ n: 3 });
  });

  it('says of a line that is no request what is wrong with it, and goes on', async () => {
    expect(JSON.parse(await raw('{"id":5,"command":5}\n'))).toMatchObject({
      id: 5,
      error: { code: 'ERR_COMMAND_REQUEST' },
    });
    expect(await (await dial()).call('echo')).toEqual({});
  });

  it('ends a connection whose line does not end', async () => {
    const answer = await raw('x'.repeat(LIMIT_REQUEST_BYTES + 1));
    expect(JSON.parse(answer)).toMatchObject({ id: 0, error: { code: 'ERR_COMMAND_REQUEST' } });
  });

  it('lets callers know when the server ends, and what was answered has left', async () => {
    own.set('forever', () => new Promise(() => {}));
    const client = await dial();
    const call = client.call('forever');
    call.catch(() => {});
    expect(await client.call('echo', { n: 1 })).toEqual({ n: 1 });
    await server.close();
    await client.closed;
    await expect(call).rejects.toThrow('the server has ended');
    await expect(ControlClient.connect(path)).rejects.toMatchObject({ code: expect.stringMatching(/ENOENT|ECONNREF/) });
  });

  it('leaves no timer at a client whose call was answered', async () => {
    const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const before = timers();
    const client = await dial();
    expect(timers()).toBe(before);
    await client.call('echo');
    expect(timers()).toBe(before);
  });

  it('is not made twice at the same path', async () => {
    const second = new ControlServer(new CommandTable({} as Controlled, own), new Log({ role: 'x', level: 'silent' }));
    const umask = process.umask();
    await expect(second.listen(path)).rejects.toMatchObject({ code: 'EADDRINUSE' });
    expect(process.umask()).toBe(umask);
  });

  it('that nobody listens behind says so by its code, and leaves no timer', async () => {
    const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const before = timers();
    await expect(ControlClient.connect(join(folder, 'none'))).rejects.toMatchObject({ code: 'ENOENT' });
    expect(timers()).toBe(before);
  });
});

describe('a server that does not answer', () => {
  it('leaves no timer at a client that has closed', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mute-'));
    const mute = createServer((socket) => void socket.on('data', () => socket.destroy()).on('error', () => {}));
    await new Promise<void>((resolve) => mute.listen(join(folder, 's'), resolve));
    const client = await ControlClient.connect(join(folder, 's'));
    await expect(client.call('stats')).rejects.toThrow('the server has ended');
    await client.closed;
    await new Promise((resolve) => mute.close(resolve));
    rmSync(folder, { recursive: true });
  });
});

/** A client of a server that answers as `serve` does. */
async function clientOf(
  serve: (socket: Socket) => unknown,
  use: (client: ControlClient) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'odd-'));
  const odd = createServer((socket) => void serve(socket.on('error', () => {})));
  await new Promise<void>((resolve) => odd.listen(join(folder, 's'), resolve));
  const client = await ControlClient.connect(join(folder, 's'));
  await use(client);
  await client.closed;
  await new Promise((resolve) => odd.close(resolve));
  rmSync(folder, { recursive: true });
}

describe('an answer that is none', () => {
  it.each([
    ['no JSON', 'HTTP/1.1 400 Bad Request\r\n\r\n', /its answer cannot be read: .*JSON/],
    ['without an end', 'x'.repeat(LIMIT_ANSWER_BYTES + 1), /its answer cannot be read: .*longer than 67108864/],
  ])('is a failure of the call: %s', (_, bytes, why) =>
    clientOf(
      (socket) => socket.once('data', () => socket.write(bytes)),
      (client) => expect(client.call('stats')).rejects.toThrow(why),
    ),
  );
});

describe('a client that closes', () => {
  it('gives up the calls that wait, and their timers', () =>
    clientOf(
      (socket) => socket.resume(),
      async (client) => {
        const call = client.call('stats', {}, 3_600_000);
        client.close();
        await expect(call).rejects.toThrow('closed before the answer came');
      },
    ));
});

describe('a server that turns its client away', () => {
  it('refuses all calls at once', () => {
    const error = serializeError(new ServerError('ERR_CONTROL_PEER', { uid: 7 }));
    return clientOf(
      (socket) => socket.once('data', () => socket.end(`${JSON.stringify({ id: 0, error })}\n`)),
      async (client) => {
        const calls = await Promise.allSettled([client.call('stats'), client.call('status')]);
        for (const call of calls) {
          expect(call).toMatchObject({ status: 'rejected', reason: { code: 'ERR_CONTROL_PEER', detail: { uid: 7 } } });
        }
      },
    );
  });
});

describe('how much happens per second', () => {
  it('is told over the last ten samples, of a counter that grows', () => {
    let [now, count] = [0, 0];
    const meter = new RateMeter(
      () => count,
      () => now,
    );
    expect(meter.perSecond).toBe(0);
    meter.sample();
    expect(meter.perSecond).toBe(0); // no time has passed
    for (let second = 0; second < 20; second++) {
      now += 1000;
      count += second < 10 ? 1000 : 50;
      meter.sample();
    }
    expect(meter.perSecond).toBe(50);
    now += 500;
    expect(meter.perSecond).toBeCloseTo(450 / 9.5);
  });

  it('is sampled once a second from start to stop', () => {
    vi.useFakeTimers();
    let reads = 0;
    const meter = new RateMeter(() => reads++);
    meter.start();
    vi.advanceTimersByTime(3000);
    expect(reads).toBe(4);
    meter.stop();
    expect(vi.getTimerCount()).toBe(0);
  });
});
