import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import type { WorkerInfo } from '../../src/control/stats.js';
import { Client } from '../helpers/client.js';
import { CommandLine, endCommandLines } from '../helpers/command-line.js';
import { poll, TEST_MODE } from '../helpers/server-process.js';
import { look, sharedLines } from '../helpers/shared-lines.js';

afterEach(endCommandLines);

interface Printed {
  readonly level: string;
  readonly time: string;
  readonly role: string;
  readonly workerId?: number;
  readonly pid: number;
  readonly stream?: string;
  readonly msg: string;
  readonly json?: unknown;
}

const FIXTURE = fileURLToPath(new URL('../fixtures/prints.js', import.meta.url));

class Printing {
  readonly line = new CommandLine();
  readonly file = join(this.line.folder, 'it.log');
  #port = 0;
  #seen = 0;

  async start(...flags: string[]): Promise<this> {
    copyFileSync(FIXTURE, this.line.script);
    const common = ['--log-file', 'it.log', '--worker-num', '1', '--task-workers', '1', '--mode', TEST_MODE];
    this.#port = (await this.line.daemon(...common, ...flags)).port;
    return this;
  }

  /** What a shared one prints from now on: lines of the tests before are not seen. */
  fromNow(): this {
    this.#seen = this.#all().length;
    return this;
  }

  fromStart(): this {
    this.#seen = 0;
    return this;
  }

  async worker(): Promise<WorkerInfo | undefined> {
    return (await look(this.line)).workers[0];
  }

  async say(what: string): Promise<void> {
    const client = await Client.open(this.#port);
    await client.ask(what);
  }

  /** For what ends the worker. */
  async command(what: string): Promise<void> {
    const client = await Client.open(this.#port);
    client.write(`${what}\n`);
  }

  lines(): Printed[] {
    return this.#all().slice(this.#seen);
  }

  /** Fails where a line is no JSON. */
  #all(): Printed[] {
    const text = readFileSync(this.file, 'utf8');
    return text
      .slice(0, text.lastIndexOf('\n') + 1)
      .split('\n')
      .filter((one) => one !== '')
      .map((one) => JSON.parse(one) as Printed);
  }

  until(msg: string): Promise<Printed> {
    return poll(`'${msg}' is in the log`, () => this.lines().find((one) => one.msg === msg));
  }
}

/** Before it is ready a worker writes more than any pipe holds. */
const TALKS = `import { Server } from 'tswoole';
const server = new Server({ port: 0, workerNum: 2, mode: process.argv[2] });
server.on('receive', () => {});
server.on('workerStart', () => void process.stderr.write('e'.repeat(1_000_000)));
server.on('start', () => console.log('up'));
await server.start();
`;

it('what a worker writes to standard error before it is ready waits for a reader that is slow', async () => {
  const line = new CommandLine();
  writeFileSync(line.script, TALKS);
  const server = spawn(process.execPath, [line.script, TEST_MODE], {
    cwd: line.folder,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = once(server, 'exit');
  try {
    await once(server.stdout, 'data'); // it is up, and nothing was read
    let read = 0;
    server.stderr.setEncoding('latin1').on('data', (text: string) => {
      read += text.split('e').length - 1;
    });
    await poll('all has come', () => read >= 2_000_000);
  } finally {
    server.kill('SIGTERM');
    await exited;
  }
});

describe('what an app prints in a daemon', () => {
  const shared = sharedLines();
  const start = (): Promise<Printing> => shared('', () => new Printing().start());
  const small = ['--log-level', 'error', '--node-arg', '--max-old-space-size=64'];
  const startSmall = (): Promise<Printing> => shared('small', () => new Printing().start(...small));

  it('carries role, worker id, pid and time in the log file, one JSON object a line', async () => {
    const it = (await start()).fromStart();
    await it.say('log');
    await it.say('error');
    await it.command('task');
    const worker = { role: 'worker', workerId: 0, pid: expect.any(Number), time: expect.stringMatching(/^\d{4}-/) };
    expect(await it.until('a line of the app')).toMatchObject({ ...worker, level: 'info', stream: 'stdout' });
    expect(await it.until('an error of the app')).toMatchObject({ ...worker, level: 'warn', stream: 'stderr' });
    expect(await it.until('a line of a task')).toMatchObject({ role: 'task worker', workerId: 1 });
    expect(await it.until('a line of a process')).toMatchObject({ role: 'process', workerId: 2 });
    expect(await it.until('a line of the manager')).toMatchObject({
      role: TEST_MODE === 'base' ? 'master' : 'manager',
    });
    expect(await it.until('a line of the master')).toMatchObject({ role: 'master' });
    expect((await it.until('a line of the app')).pid).toBe((await it.worker())?.pid);
  });

  it('is kept whatever it is: JSON, several lines, parts of lines, long lines, bytes that are no text', async () => {
    const it = (await start()).fromNow();
    for (const what of ['json', 'lines', 'stack', 'parts', 'long', 'broken', 'letters', 'direct', 'child', 'callback'])
      await it.say(what);
    await it.until('the callback was called');
    await it.until('and to stderr');
    const own = it.lines().filter(({ stream, role }) => stream !== undefined && role === 'worker');
    const all = own.map(({ msg }) => msg);
    expect(all.filter((msg) => msg.startsWith('{')).map((msg) => JSON.parse(msg))).toEqual([
      { level: 30, user: 'Ada' },
    ]);
    expect(own.find(({ json }) => json !== undefined)?.json).toEqual({ level: 30, user: 'Ada' });
    for (const msg of ['first', 'second', 'third', 'one whole line', 'and another', 'a\ufffd\ufffd', 'grün €', 'told'])
      expect(all).toContain(msg);
    for (const msg of ['Error: with a stack', 'written to the descriptor', 'said by a child', 'and to stderr'])
      expect(all).toContain(msg);
    expect(all.some((msg) => msg.startsWith('    at '))).toBe(true);
    const long = all.filter((msg) => msg.includes('xxx'));
    expect(long.join('')).toBe(`${'x'.repeat(200_000)}end`);
    for (const part of long) expect(part.length).toBeLessThanOrEqual(64 * 1024);
  });

  it('goes into the new file after the log was rotated', async () => {
    const it = (await start()).fromNow();
    await it.line.must('logs', '--reopen');
    await it.say('log');
    await it.say('direct');
    await it.until('a line of the app');
    await it.until('written to the descriptor');
  });

  it.each([
    ['burst', 'burst 4999'],
    ['kill', 'killed without an end of line'],
    ['memory', /heap out of memory/],
    ['reject', /Error: thrown outside of a callback/],
  ] as const)('is not lost when the process ends by %s', async (what, last) => {
    const it = (await startSmall()).fromNow();
    const before = await it.worker();
    await it.command(what);
    const found = await poll('the last words', () =>
      it.lines().find(({ msg }) => (typeof last === 'string' ? msg === last : last.test(msg))),
    );
    expect(found).toMatchObject({ role: 'worker', workerId: 0, pid: before?.pid });
    await poll('another one is there', async () => {
      const now = await it.worker();
      return now?.state === 'idle' && now.pid !== before?.pid;
    });
    if (what === 'burst')
      expect(
        it
          .lines()
          .filter(({ msg }) => msg.startsWith('burst '))
          .map(({ msg }) => msg),
      ).toEqual(Array.from({ length: 5000 }, (_, n) => `burst ${n}`));
  });

  it('is text where the log is', async () => {
    const it = await new Printing().start('--log-format', 'text');
    await it.say('log');
    const log = await poll('it is there', () => {
      const text = readFileSync(it.file, 'utf8');
      return text.includes('a line of the app') && text;
    });
    expect(log).toMatch(/^\d{4}-\S+Z info {2}worker 0\[\d+\] a line of the app$/m);
  });
});
