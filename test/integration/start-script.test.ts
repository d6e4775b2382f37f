import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { CommandLine, endCommandLines } from '../helpers/command-line.js';
import { PACE } from '../helpers/deadline.js';
import { poll } from '../helpers/server-process.js';
import { look } from '../helpers/shared-lines.js';
import { hasProgram } from '../helpers/wrk.js';

afterEach(endCommandLines);

const APP = `import { createServer } from 'node:http';
createServer((request, response) => response.end('served')).listen(Number(process.env.PORT ?? 0));
`;

function lineWith(name: string, source: string): CommandLine {
  const line = new CommandLine({ TSWOOLE_OPTION_WORKER_NUM: '1' });
  writeFileSync(join(line.folder, name), source);
  return line;
}

describe('a script that starts no server is told so, with exit code 2,', () => {
  const scripts = [
    ['it listens by node:http', 'plain.js', APP, /listens by node:http.*tswoole start plain\.js --http/],
    [
      'it listens by node:http when it has awaited something',
      'late.js',
      `await new Promise((done) => setTimeout(done, 300));\n${APP}`,
      /tswoole start late\.js --http/,
    ],
    [
      'it listens by node:net',
      'net.js',
      `import net from 'node:net'; net.createServer().listen(0);`,
      /makes no server/,
    ],
    ['it exports a handler', 'handler.js', 'export default (q, r) => r.end();', /tswoole start handler\.js --http/],
    ['it exports a handler by CommonJS', 'app.cjs', 'module.exports = (q, r) => r.end();', /start app\.cjs --http/],
    ['it does nothing', 'nothing.js', '', /has ended without a server/],
    ['it ends by process.exit(0)', 'exits.js', 'process.exit(0);', /has ended without a server/],
    [
      'it does not call start()',
      'idle.js',
      `import { Server } from 'tswoole'; new Server();`,
      /does not call its start/,
    ],
  ] as const;
  for (const how of ['', '--daemon']) {
    it.each(scripts)(`where %s (${how === '' ? 'in the foreground' : how})`, async (_, name, source, told) => {
      const line = lineWith(name, source);
      const { code, stderr } = await line.run('start', name, ...(how === '' ? [] : [how]));
      expect(stderr).toMatch(told);
      expect(code).toBe(2);
      expect(line.tree()).toEqual([]);
    });
  }

  it('but its own exit code is left to it', async () => {
    const line = lineWith('four.js', `console.error('not today'); process.exitCode = 4;`);
    expect(await line.run('start', 'four.js')).toMatchObject({ code: 4, stderr: 'not today\n' });
  });

  it('and a server that is made after something else has listened is none of them', async () => {
    const server = readFileSync(fileURLToPath(new URL('../fixtures/operated.js', import.meta.url)), 'utf8');
    const metrics = `import { createServer } from 'node:http';\ncreateServer().listen(0);\n`;
    const line = lineWith('two.js', `${metrics}${server}`);
    await line.must('start', 'two.js', '--daemon');
    expect((await look(line)).status.state).toBe('running');
  });
});

describe('SIGTERM to tswoole start', () => {
  it('while the script is still being loaded ends it with code 0', async () => {
    const line = lineWith(
      'slow.js',
      `import fs from 'node:fs'; fs.writeFileSync('loads', ''); await new Promise((done) => setTimeout(done, 60_000));`,
    );
    const started = line.run('start', 'slow.js');
    await poll('it loads', () => existsSync(join(line.folder, 'loads')));
    process.kill(startedHere(line), 'SIGTERM');
    expect(await started).toMatchObject({ code: 0, stderr: '' });
  });

  it.each(['foreground', '--daemon'])('while a worker hangs ends it in order: %s', async (how) => {
    const source = `import { Server } from 'tswoole';
const server = new Server({ pidFile: 'server.pid' });
server.on('receive', () => {});
server.on('workerStart', () => new Promise((done) => setTimeout(done, 60_000)));
await server.start();`;
    const line = lineWith('hangs.js', source);
    const started = line.run('start', 'hangs.js', ...(how === 'foreground' ? [] : [how]));
    await poll('a worker boots', () => line.tree().some(({ title }) => title.includes(': worker')));
    process.kill(startedHere(line), 'SIGTERM');
    const { code, stderr } = await started;
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(code).toBe(0);
    expect(line.tree()).toEqual([]);
    expect(await line.servers()).toEqual([]);
  });
});

describe('tswoole systemd', () => {
  it('writes a unit with all that start was given, which systemd takes', async () => {
    const line = lineWith('my app.js', APP);
    const args = ['my app.js', '--http', '--workers', '2', '--name', 'my "api"', '--inspect', '--import', './x.mjs'];
    const unit = await line.must(
      'systemd',
      ...args,
      '--log-file',
      'a b.log',
      '--daemon',
      '--',
      'a b',
      '$HOME 50%',
      ';',
    );
    const start = /^ExecStart=(.*)$/m.exec(unit)?.[1] ?? '';
    for (const word of [' --http ', '--worker-num=2', '"--name=my \\"api\\""', '--node-arg=--inspect']) {
      expect(start).toContain(word);
    }
    expect(start).toContain(`--node-arg=--import=${line.folder}/x.mjs`);
    expect(start).toContain(`"--log-file=${line.folder}/a b.log"`);
    expect(start).toMatch(/ -- "a b" "\$\$HOME 50%%" ";"$/);
    expect(start).not.toContain('daemon');
    if (!hasProgram('systemd-analyze')) return;
    const file = join(line.folder, 'app.service');
    writeFileSync(file, `${unit}\n`);
    const { stdout, stderr } = spawnSync('systemd-analyze', ['verify', file], { encoding: 'utf8' });
    expect(`${stdout}${stderr}`.split('\n').filter((text) => text.includes('app.service'))).toEqual([]);
  });

  it('writes one whose command starts the app', async () => {
    const line = lineWith('app.js', APP);
    const unit = await line.must('systemd', 'app.js', '--http', '--host', '127.0.0.1');
    const [node = '', ...words] = (/^ExecStart=(.*)$/m.exec(unit)?.[1] ?? '').split(' ');
    const { status, stdout } = spawnSync(node, [...words, '--daemon'], {
      cwd: line.folder,
      env: line.env,
      encoding: 'utf8',
    });
    expect([status, /listening on 127\.0\.0\.1:\d+/.test(stdout)]).toEqual([0, true]);
  });
});

it(
  'each command line of docs/migrating/from-pm2.md does what it says',
  async () => {
    const page = readFileSync(fileURLToPath(new URL('../../docs/migrating/from-pm2.md', import.meta.url)), 'utf8');
    const rows = page.split('\n').filter((row) => row.startsWith('| ') && !row.startsWith('| ---'));
    const commands = rows.flatMap((row) =>
      [...(row.split(' | ')[1] ?? '').matchAll(/`tswoole ([^`]+)`/g)].map(([, words]) => words ?? ''),
    );
    expect(commands.length).toBeGreaterThan(15);
    const line = lineWith('app.js', APP);
    for (const words of commands) await runAsWritten(line, words);
  },
  120_000 * PACE,
);

/** Servers in the foreground end by SIGTERM when they are up, others by `tswoole stop`. */
async function runAsWritten(line: CommandLine, words: string): Promise<void> {
  const args = words.split(' ');
  if (words === 'call action') return; // of a script that adds it: test/integration/command-line.test.ts
  if (args[0] !== 'start' || args.includes('--daemon')) {
    await line.must(...args);
    if (args.includes('api')) await line.must('stop', 'api');
    return;
  }
  const ended = line.run(...args);
  const { masterPid } = await poll(`it is up: ${words}`, async () => {
    const report = await look(line).catch(() => undefined); // it is not there yet
    return report?.status.state === 'running' && report.status;
  });
  process.kill(masterPid, 'SIGTERM');
  expect((await ended).code).toBe(0);
}

/** The process that this test has started: with `--daemon` the one that waits. */
function startedHere(line: CommandLine): number {
  const own = line.tree().find(({ parent }) => parent === process.pid);
  if (own === undefined) throw new Error('it has ended');
  return own.pid;
}
