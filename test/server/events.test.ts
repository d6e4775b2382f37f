import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { resolveOptions, type ServerOptions } from '../../src/options/index.js';
import { CallbackTable } from '../../src/server/callback-table.js';
import { type ServerEvents, serverEventNames } from '../../src/server/events.js';
import { ServerLog } from '../../src/server/server-log.js';
import type { Log } from '../../src/util/log.js';

describe('callbacks', () => {
  let replaced: string[];
  let table: CallbackTable<ServerEvents>;
  beforeEach(() => {
    replaced = [];
    table = new CallbackTable<ServerEvents>(serverEventNames, (event) => replaced.push(event));
  });
  const call = (event: keyof ServerEvents, ...given: unknown[]): unknown =>
    (table.callbacks[event] as ((...args: unknown[]) => unknown) | undefined)?.(...given);

  it('are one per event: a later one replaces the earlier, which is told', () => {
    const [first, second] = [() => 1, () => 2];
    table.on('receive', first);
    table.on('receive', first);
    expect(replaced).toEqual([]);
    table.on('receive', second);
    expect([replaced, call('receive')]).toEqual([['receive'], 2]);
    table.off('receive');
    table.on('receive', first);
    expect(replaced).toHaveLength(1);
  });

  it('of once() are called for the first event only', () => {
    let times = 0;
    table.once('connect', () => ++times);
    expect([call('connect'), call('connect'), times]).toEqual([1, undefined, 1]);
  });

  it('of once() leave nobody without an answer: a request gets 404, a task an error', () => {
    table.once('request', () => {});
    table.once('task', () => 'done');
    const response = { statusCode: 200, ended: 0, end: () => response.ended++ };
    call('request', {}, response);
    expect(response).toMatchObject({ statusCode: 200, ended: 0 });
    call('request', {}, response);
    expect(response).toMatchObject({ statusCode: 404, ended: 1 });
    expect(call('task')).toBe('done');
    expect(() => call('task')).toThrow(
      expect.objectContaining({ code: 'ERR_CALLBACK_MISSING', detail: expect.objectContaining({ event: 'task' }) }),
    );
  });

  it.each([
    ['recieve', 'receive'],
    ['workerstart', 'workerStart'],
    ['datagram', undefined],
    ['toString', undefined],
  ])('of the event %s, which there is not, are refused, and %s named', (event, nearest) => {
    for (const register of ['on', 'once', 'off'] as const) {
      const detail = nearest === undefined ? { name: event } : { name: event, nearest };
      expect(() => table[register](event as 'receive', () => {})).toThrow(
        expect.objectContaining({ code: 'ERR_EVENT_UNKNOWN', detail: expect.objectContaining(detail) }),
      );
    }
  });

  it.each([undefined, null, 'receive', {}])('are not %j', (callback) => {
    for (const register of ['on', 'once'] as const) {
      expect(() => table[register]('receive', callback as unknown as () => void)).toThrow(
        expect.objectContaining({ code: 'ERR_CALLBACK_TYPE', detail: expect.objectContaining({ event: 'receive' }) }),
      );
    }
    expect(table.callbacks).toEqual({});
  });
});

describe('the log of a process', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'log-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const open = (given: ServerOptions): Log => {
    const options = resolveOptions(given);
    const own = new ServerLog(options);
    own.open(options, () => -1);
    return own.log;
  };

  it.each([
    ['json', /^\{.*"level":"warn".*"msg":"it".*\}\n$/],
    ['text', /WARN.*it\n$/i],
  ] as const)('goes to its file, as %s', (logFormat, expected) => {
    const logFile = join(folder, 'it.log');
    const log = open({ logFile, logFormat });
    log.warn('it');
    expect(readFileSync(logFile, 'utf8')).toMatch(expected);
  });

  it('has the level of the options', () => {
    const logFile = join(folder, 'it.log');
    const log = open({ logFile, logLevel: 'error' });
    log.warn('quiet');
    log.error('loud');
    expect(readFileSync(logFile, 'utf8')).toMatch(/^[^\n]*loud[^\n]*\n$/);
  });

  it('that cannot be opened is a reason not to start', () => {
    const logFile = join(folder, 'none', 'it.log');
    expect(() => open({ logFile })).toThrow(
      expect.objectContaining({
        code: 'ERR_LOG_FILE',
        detail: { path: logFile, why: expect.stringContaining('ENOENT') },
      }),
    );
  });

  it("goes to the user's logger where there is one", () => {
    const seen: unknown[][] = [];
    const level =
      (name: string) =>
      (...given: unknown[]) =>
        void seen.push([name, ...given]);
    const logger = { debug: level('debug'), info: level('info'), warn: level('warn'), error: level('error') };
    const { log } = new ServerLog(resolveOptions({ logger } as ServerOptions));
    log.warn('it', { a: 1 });
    expect(seen).toHaveLength(1);
    expect(JSON.stringify(seen)).toMatch(/warn.*it/);
  });
});
