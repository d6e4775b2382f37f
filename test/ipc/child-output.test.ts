import type { ChildProcess } from 'node:child_process';
import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { outputOfChildren, outputOfManager, takeOutput } from '../../src/ipc/child-output.js';
import type { ResolvedOptions } from '../../src/options/index.js';
import type { Log } from '../../src/util/log.js';

const turn = () => new Promise(setImmediate);

function noted() {
  const lines: unknown[] = [];
  const log = {
    print: (by: unknown, line: string) => lines.push([by, line]),
    relay: (line: string) => lines.push(line),
  };
  return { lines, log: log as unknown as Log };
}

const optionsOf = (more: Partial<ResolvedOptions>) =>
  ({ logFile: '/log', daemonize: false, user: '', group: '', chroot: '', ...more }) as ResolvedOptions;

function childOf() {
  const streams = Array.from({ length: 5 }, () => new PassThrough());
  const [, stdout, stderr] = streams;
  return { streams, child: { pid: 4711, stdout, stderr, stdio: streams } as unknown as ChildProcess };
}

describe('of processes that run callbacks', () => {
  const { log } = noted();
  it.each([
    [{}, { printed: false, relayed: false }],
    [{ daemonize: true }, { printed: true, relayed: false }],
    [{ user: 'www' }, { printed: false, relayed: true }],
    [{ group: 'www' }, { printed: false, relayed: true }],
    [{ chroot: '/srv' }, { printed: false, relayed: true }],
    [
      { daemonize: true, user: 'www', group: 'www', chroot: '/srv' },
      { printed: true, relayed: true },
    ],
  ])('where %j', (given, taken) => {
    expect(outputOfChildren(optionsOf(given), log)).toEqual({ log, ...taken });
  });

  it('nothing is taken in where there is no log file', () => {
    expect(outputOfChildren(optionsOf({ logFile: '', daemonize: true, user: 'www' }), log)).toBeUndefined();
  });
});

it('of the manager it is what it prints, in a daemon with a log file', () => {
  const { log } = noted();
  expect(outputOfManager(optionsOf({ daemonize: true, user: 'www' }), log)).toEqual({
    log,
    printed: true,
    relayed: false,
  });
  expect(outputOfManager(optionsOf({ daemonize: true, logFile: '' }), log)).toBeUndefined();
  expect(outputOfManager(optionsOf({}), log)).toBeUndefined();
});

describe('lines of a child', () => {
  it.each([
    [{ role: 'manager' }, 'manager'],
    [{ role: 'worker', id: 3, lane: 0, generation: 1 }, 'worker 3'],
    [{ role: 'task', id: 4, lane: 0, generation: 1 }, 'task worker 4'],
    [{ role: 'user', id: 5, lane: 0, generation: 1 }, 'process 5'],
  ] as const)('are those of %j', async (role, name) => {
    const { lines, log } = noted();
    const { child, streams } = childOf();
    expect(takeOutput(child, role, { log, printed: true, relayed: false }, -1)).toEqual([streams[1], streams[2]]);
    streams[1]?.write('one\ntw');
    streams[2]?.write('error\n');
    await turn();
    streams[1]?.destroy(new Error('gone'));
    await turn();
    expect(lines).toEqual([
      [{ role: name, pid: 4711, stream: 'stdout' }, 'one'],
      [{ role: name, pid: 4711, stream: 'stderr' }, 'error'],
      [{ role: name, pid: 4711, stream: 'stdout' }, 'tw'],
    ]);
  });

  it('of its log go into the file as they are, from the descriptor they come by', async () => {
    const { lines, log } = noted();
    const { child, streams } = childOf();
    expect(takeOutput(child, { role: 'manager' }, { log, printed: false, relayed: true }, 4)).toEqual([streams[4]]);
    streams[1]?.write('not read\n');
    streams[4]?.write('{"msg":"a"}\n');
    await turn();
    expect(lines).toEqual(['{"msg":"a"}']);
  });

  it('are none where it could not be started', () => {
    const { log } = noted();
    const child = { stdout: null, stderr: undefined, stdio: [] } as unknown as ChildProcess;
    expect(takeOutput(child, { role: 'manager' }, { log, printed: true, relayed: true }, 0)).toEqual([]);
  });
});
