import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { CommandLine, endCommandLines } from '../helpers/command-line.js';
import { PACE } from '../helpers/deadline.js';
import { poll } from '../helpers/server-process.js';
import { look, sharedLines } from '../helpers/shared-lines.js';

afterEach(endCommandLines);

/** Time enough for a worker to come to its callback. */
const SHORT_MS = Math.round(1500 * PACE);

/** What happens in the worker before it is ready, and what has to be told. */
const causes: readonly (readonly [how: string, code: string, told: readonly RegExp[]])[] = [
  [
    'throws in workerStart',
    `boot(() => { throw new TypeError('no database', { cause: new Error('port 5432 is closed') }); })`,
    [/no database/, /port 5432 is closed/],
  ],
  [
    'says why and exits',
    `boot(() => { console.error('the licence has run out'); process.exit(3); })`,
    [/exited with code 3/, /the licence has run out/],
  ],
  [
    'exits before it makes a server',
    `if (inChild) { console.error('no such region'); process.exit(3); } boot(() => {})`,
    [/exited with code 3/, /no such region/],
  ],
  [
    'throws at the top of the script',
    `if (inChild) throw new RangeError('too many plugins'); boot(() => {})`,
    [/too many plugins/],
  ],
  [
    'loads a module with a syntax error',
    `if (inChild) await import('./broken.js'); boot(() => {})`,
    [/SyntaxError/, /broken\.js/],
  ],
  ['loads a module that is not there', `if (inChild) await import('lost-package'); boot(() => {})`, [/lost-package/]],
  [
    'is not ready in time',
    `boot(async () => { console.error('waiting for the cache'); await new Promise((done) => setTimeout(done, 60000)); }, () => {}, { bootTimeoutMs: ${SHORT_MS} })`,
    [/waiting for the cache/, new RegExp(`${SHORT_MS} ms`)],
  ],
  [
    'rejects without being waited for',
    `boot(async () => { Promise.reject(new Error('the queue is gone')); await new Promise((done) => setTimeout(done, 60000)); })`,
    [/the queue is gone/],
  ],
];

/** @param code calls boot(workerStart) */
function script(code: string): string {
  return `import { Server } from 'tswoole';
const inChild = process.title.includes(': worker') || process.title.includes(': manager');
const boot = (start, prepare = () => {}, options = {}) => {
  const server = new Server({ ...options, ...JSON.parse(process.env.MORE ?? '{}') });
  server.on('receive', () => {});
  server.on('task', () => {});
  server.on('workerStart', start);
  prepare(server);
  globalThis.started = server.start();
};
${code};
await globalThis.started;
`;
}

const GOOD = script('boot(() => {})');

function lineWith(code: string, env: Readonly<Record<string, string>> = {}): CommandLine {
  const line = new CommandLine({ TSWOOLE_OPTION_WORKER_NUM: '1', ...env });
  writeFileSync(join(line.folder, 'broken.js'), 'export const a = ;\n');
  writeFileSync(line.script, code);
  return line;
}

/** Of the manager, of BASE mode, of processes without a worker: other places where it may happen. */
const places: readonly (readonly [where: string, code: string, env: Record<string, string>, told: RegExp])[] = [
  [
    'a task worker',
    `boot((id) => { if (id > 0) { console.error('no spool'); process.exit(3); } })`,
    { MORE: '{"taskWorkerNum":1}' },
    /no spool/,
  ],
  [
    'a process of the user',
    `boot(() => {}, (server) => { server.addProcess(() => {}); if (server.role === 'user') throw new Error('no mailbox'); })`,
    {},
    /no mailbox/,
  ],
  [
    'the manager',
    `boot(() => {}, (server) => { if (server.role === 'manager') { console.error('no quorum'); process.exit(4); } })`,
    {},
    /no quorum/,
  ],
  [
    'a worker of BASE mode',
    `boot(() => { console.error('no disk'); process.exit(3); })`,
    { MORE: '{"mode":"base","workerNum":2}' },
    /no disk/,
  ],
  [
    'the one process of BASE mode',
    `boot(() => { console.error('no room'); process.exit(3); })`,
    { MORE: '{"mode":"base"}' },
    /no room/,
  ],
  [
    'the master itself',
    `if (process.env.TSWOOLE_DAEMON) { console.error('no display'); process.exit(5); } boot(() => {})`,
    {},
    /no display/,
  ],
];

describe('start --daemon says why the server does not come up:', () => {
  it.each(causes)('a worker %s', async (_, code, told) => {
    const line = lineWith(script(code));
    const { code: exitCode, stderr } = await line.run('start', line.script, '--daemon');
    for (const pattern of told) expect(stderr).toMatch(pattern);
    expect(exitCode).toBe(1);
    expect(line.tree()).toEqual([]);
  });

  it('a worker runs out of memory', async () => {
    const grow = `boot(() => { const all = []; for (;;) all.push(new Array(1000).fill({})); })`;
    const line = lineWith(script(grow));
    const { code, stderr } = await line.run('start', line.script, '--daemon', '--node-arg=--max-old-space-size=48');
    expect(stderr).toMatch(/It wrote to standard error:.*heap out of memory/s);
    expect(code).toBe(1);
    expect(line.tree()).toEqual([]);
  });

  it.each(places)('%s', async (_, code, env, told) => {
    const line = lineWith(script(code), env);
    const { code: exitCode, stderr } = await line.run('start', line.script, '--daemon');
    expect(stderr).toMatch(told);
    expect(exitCode).toBe(1);
    expect(line.tree()).toEqual([]);
  });
});

describe.each(['process', 'base'])('start in the foreground says once why the server does not come up (%s)', (mode) => {
  const env = { MORE: JSON.stringify({ mode }), TSWOOLE_OPTION_WORKER_NUM: '2' };

  it.each([
    ['throws', `boot(() => { throw new TypeError('no database'); })`, /TypeError: no database/g],
    [
      'says why and exits',
      `boot((id) => { if (id === 0) { console.error('no disk'); process.exit(3); } })`,
      /no disk/g,
    ],
  ])('where each worker %s', async (_, code, told) => {
    const line = lineWith(script(code), env);
    const { code: exitCode, stderr } = await line.run('start', line.script);
    expect(exitCode).toBe(1);
    expect(stderr.match(told), stderr).toHaveLength(1);
    expect(stderr.match(/ERR_WORKER_BOOT/g), stderr).toHaveLength(1);
  });

  it('where an app is broken, with its own stack', async () => {
    const line = lineWith(`function connect() { throw new TypeError('no database'); }\nconnect();\n`, env);
    const { code, stderr } = await line.run('start', line.script, '--http', '--port', '0', '--mode', mode);
    expect(code).toBe(1);
    expect(stderr.match(/TypeError: no database/g), stderr).toHaveLength(1);
    expect(stderr.match(/ERR_HTTP_APP/g), stderr).toHaveLength(1);
    expect(stderr).toMatch(/at connect \(.*operated\.js:1:\d+\)\n +at .*operated\.js:2:1/);
    expect(stderr).not.toContain('dist/server');
  });
});

describe('what the starter of a daemon is told', () => {
  const inOneProcess = { MORE: '{"mode":"base"}' };
  const LOG = ['--log-file', 'it.log'];

  it('is the error of a worker once, as a sentence with what it wrote below it', async () => {
    const line = lineWith(
      script(
        `boot(async () => { Promise.reject(new Error('no queue')); await new Promise((done) => setTimeout(done, 60000)); })`,
      ),
    );
    const { stderr } = await line.run('start', line.script, '--daemon');
    expect(stderr).toMatch(/^ServerError: .*\(ERR_WORKER_BOOT\)\nIt wrote to standard error:\n/);
    expect(stderr.match(/ERR_WORKER_BOOT/g)).toHaveLength(1);
    expect(stderr.match(/Error: no queue/g)).toHaveLength(1);
  });

  it('is what one process that is the whole server wrote, although it has a log file', async () => {
    const line = lineWith(script(`boot(() => { console.error('no room'); process.exit(3); })`), inOneProcess);
    const { stderr } = await line.run('start', line.script, '--daemon', ...LOG);
    expect(stderr).toMatch(/no room/);
    expect(messagesIn(line).filter((msg) => msg === 'no room')).toHaveLength(1);
  });

  it.each([
    ['throws', `boot(() => { throw new TypeError('no database'); })`],
    [
      'throws where nothing waits',
      `boot(async () => { setTimeout(() => { throw new TypeError('no database'); }); await new Promise(() => {}); })`,
    ],
    [
      'throws before it has a log',
      `if (process.env.TSWOOLE_DAEMON) throw new TypeError('no database'); boot(() => {})`,
    ],
  ])('is also in a log of JSON, line by line, when that process %s', async (_, code) => {
    const line = lineWith(script(code), inOneProcess);
    const { stderr } = await line.run('start', line.script, '--daemon', ...LOG);
    expect(stderr).toMatch(/TypeError: no database/);
    expect(messagesIn(line).filter((msg) => msg.endsWith('TypeError: no database'))).toHaveLength(1);
  });
});

/** Fails where a line of the log is no JSON. */
function messagesIn({ folder }: CommandLine): string[] {
  const lines = readFileSync(join(folder, 'it.log'), 'utf8').trim().split('\n');
  return lines.map((text) => (JSON.parse(text) as { msg: string }).msg);
}

describe('reload says why the old workers go on:', () => {
  const shared = sharedLines();

  it.each([...causes, ['is a script with a syntax error', 'boot(() => {', [/SyntaxError/]] as const])(
    'a new worker %s',
    async (_, code, told) => {
      // The time-out is that of the running server.
      const isSlow = code.includes('bootTimeoutMs');
      const { line } = await shared(String(isSlow), async () => {
        const started = lineWith(GOOD, isSlow ? { MORE: JSON.stringify({ bootTimeoutMs: SHORT_MS }) } : {});
        await started.daemon();
        return { line: started };
      });
      writeFileSync(line.script, script(code));
      const { code: exitCode, stderr } = await line.run('reload');
      for (const pattern of told) expect(stderr).toMatch(pattern);
      expect(exitCode).toBe(1);
      expect((await look(line)).status).toMatchObject({ ready: true, state: 'running', crashLoops: [] });
    },
  );
});

describe('a server whose processes do not stay up', () => {
  const dies = `boot(() => { setTimeout(() => { throw new Error('the licence has run out'); }, 50); })`;

  it('is crash-looping for status, with the last reason and the next attempt, and for list, healthz and readyz', async () => {
    const line = lineWith(script(dies));
    await line.daemon('--admin', '0');
    await poll('it has ended several times', async () => ((await look(line)).status.crashLoops[0]?.failures ?? 0) >= 4);
    const { code, stdout } = await line.run('status');
    expect(code).toBe(6);
    expect(stdout).toMatch(/crash-looping, pid/);
    expect(stdout).toMatch(/worker 0 .*ended \d times in a row; (next attempt in|it has been started again)/);
    expect(stdout).toMatch(/the licence has run out/);
    expect(await line.must('list')).toMatch(/crash-looping/);
    const { admin } = (await look(line)).status;
    expect((await fetch(`${admin}/healthz`)).status).toBe(503);
    const ready = await fetch(`${admin}/readyz`);
    expect([ready.status, await ready.text()]).toEqual([503, 'crash-looping\n']);
  });

  it('is degraded while others serve; what is loaded anew by a reload is well again', async () => {
    const line = lineWith(
      script(dies.replace('{ setTimeout', '{ if (process.title.includes("worker 1")) setTimeout')),
      {
        TSWOOLE_OPTION_WORKER_NUM: '2',
      },
    );
    await line.daemon('--admin', '0');
    await poll(
      'worker 1 has ended several times',
      async () => ((await look(line)).status.crashLoops[0]?.failures ?? 0) >= 3,
    );
    const { code, stdout } = await line.run('status');
    expect([code, stdout.includes('degraded')]).toEqual([6, true]);
    const { admin } = (await look(line)).status;
    expect((await fetch(`${admin}/healthz`)).status).toBe(200);
    expect((await fetch(`${admin}/readyz`)).status).toBe(200);
    writeFileSync(line.script, GOOD);
    await line.must('reload');
    expect((await look(line)).status).toMatchObject({ state: 'running', crashLoops: [] });
  });

  it('tells of a process of the user, and of a script that does not boot any more', async () => {
    const line = lineWith(
      script(`boot(() => {}, (s) => s.addProcess({ name: 'mailer', run: () => { throw new Error('no mailbox'); } }))`),
    );
    await line.daemon();
    const loop = await poll('it has ended several times', async () => {
      const [first] = (await look(line)).status.crashLoops;
      return first !== undefined && first.failures >= 2 && first;
    });
    expect(loop).toMatchObject({ name: 'process mailer', reason: expect.stringContaining('no mailbox') });
    writeFileSync(line.script, script(`boot(() => { console.error('no disk'); process.exit(3); })`));
    await line.must('worker', 'stop', '0', '--force');
    const other = await poll('it does not boot', async () =>
      (await look(line)).status.crashLoops.find(({ name }) => name === 'worker 0'),
    );
    expect(other.reason).toMatch(/exited with code 3 before it was ready.*no disk/s);
    expect((await look(line)).status.ready).toBe(false);
  });
});
