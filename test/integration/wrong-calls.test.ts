import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { CommandLine, endCommandLines, keepOpen } from '../helpers/command-line.js';
import { DEADLINE_MS } from '../helpers/deadline.js';

afterAll(endCommandLines);

const line = new CommandLine();
keepOpen(line);
afterAll(() => line.end());

const JOBS = `cluster: { driver: 'memory', jobs: { url: 'redis://127.0.0.1:1' } }`;
const cluster = (options: string): string =>
  `new WebSocketServer({ cluster: { driver: 'redis', url: 'redis://host', ${options} } });`;
let count = 0;

/** What a script prints that Node runs; its third line is the wrong one. */
function output(made: string, wrong: string): { readonly stderr: string; readonly place: RegExp } {
  const name = `wrong-${count++}.mjs`;
  const names = 'fromSwoole, HttpServer, RateLimiter, Server, Table, Topic, WebSocketServer';
  writeFileSync(join(line.folder, name), `import { ${names} } from 'tswoole';\n${made}\n${wrong}\n`);
  const { stderr, status } = spawnSync(process.execPath, [name], {
    cwd: line.folder,
    env: line.env,
    encoding: 'utf8',
    timeout: DEADLINE_MS,
  });
  expect(status).toBe(1);
  return { stderr, place: new RegExp(`^ +at (?:async )?file://.*/${name}:3:\\d+$`) };
}

describe('what a person gets wrong in a script is told in one line, with theirs below it:', () => {
  it.each([
    ['', 'new HttpServer({ fetch: 5 });', 'ERR_OPTION_TYPE'],
    ['', 'new HttpServer({ listener: {} });', 'ERR_OPTION_TYPE'],
    ['', `new HttpServer({ listener: 'app' });`, 'ERR_OPTION_TYPE'],
    ['', 'new HttpServer({ fetch: () => {}, listener: () => {} });', 'ERR_OPTION_CONFLICT'],
    ['', `new Server({ trustProxy: 'all' });`, 'ERR_OPTION_VALUE'],
    ['', `new WebSocketServer({ cluster: { driver: 'redis' } });`, 'ERR_OPTION_TYPE'],
    ['', `new WebSocketServer({ cluster: { driver: 'redis', url: 'host:6379' } });`, 'ERR_OPTION_VALUE'],
    ['', cluster(`heartbeatMs: '1s'`), 'ERR_OPTION_TYPE'],
    ['', cluster(`prefix: 'a b'`), 'ERR_OPTION_VALUE'],
    ['', cluster('password: 5'), 'ERR_OPTION_TYPE'],
    ['', cluster('jobs: { leaseMs: 10 }'), 'ERR_OPTION_RANGE'],
    [`const server = new HttpServer({ ${JOBS} });`, 'await server.cluster.request({}, 1);', 'ERR_OPTION_TYPE'],
    ['', 'new Table(5.5, {});', 'ERR_TABLE_DECLARATION'],
    ['', `new Table(10, { n: 'int32' }, { file: '/no/such/folder/table' });`, 'ERR_SHARED_FILE'],
    [`new Topic({ name: 'x', bytes: 4096 });`, `new Topic({ name: 'x', bytes: 8192 });`, 'ERR_SHARED_SCHEMA'],
    ['', `fromSwoole({ worker_number: 2 });`, 'ERR_OPTION_UNKNOWN'],
    ['', 'new RateLimiter({ limits: 5 });', 'ERR_OPTION_UNKNOWN'],
    [`const server = new HttpServer({ ${JOBS} });`, `server.jobs.work('a', () => {}, { lease: 5 });`, 'ERR_JOB_OPTION'],
    [`const server = new HttpServer({ ${JOBS} });`, `server.jobs.work('a', 5);`, 'ERR_CALLBACK_TYPE'],
    [
      `const server = new HttpServer({ ${JOBS} }); server.jobs.work('a', () => {});`,
      `server.jobs.work('a', () => {});`,
      'ERR_JOB_OPTION',
    ],
    [`const server = new HttpServer({ ${JOBS} });`, `server.jobs.enqueue('a', 1n);`, 'ERR_JOB_DATA'],
    [`const server = new HttpServer({ ${JOBS} });`, `server.jobs.enqueue('a', 1);`, 'ERR_NOT_STARTED'],
    [`const server = new HttpServer({ ${JOBS} });`, 'server.cluster.share(5);', 'ERR_OPTION_TYPE'],
    [`const server = new HttpServer({ ${JOBS} });`, `server.cluster.subscribe('a b', 5);`, 'ERR_CALLBACK_TYPE'],
    [`const server = new HttpServer({ ${JOBS} });`, `server.cluster.publish('a', 5);`, 'ERR_NOT_STARTED'],
    ['const server = new HttpServer();', `server.jobs.work('a', () => {});`, 'ERR_NO_CLUSTER'],
    [`const server = new HttpServer({ cluster: { driver: 'memory' } });`, 'server.jobs;', 'ERR_NO_JOBS'],
    ['const server = new HttpServer();', 'server.stats();', 'ERR_NOT_STARTED'],
    ['const server = new HttpServer();', 'server.after(-1, () => {});', 'ERR_TIMER'],
    ['const server = new HttpServer();', 'server.addProcess(5);', 'ERR_USER_PROCESS'],
    ['const server = new HttpServer();', `server.addCommand('A b', () => {});`, 'ERR_COMMAND_NAME'],
    [
      `const server = new HttpServer({ logLevel: 'silent' }); server.on('request', () => {}); await server.start();`,
      `server.on('request', () => {});`,
      'ERR_ALREADY_STARTED',
    ],
  ])('%s %s', (made, wrong, code) => {
    const { stderr, place } = output(made, wrong);
    const [first = '', second = '', ...more] = stderr.trimEnd().split('\n');
    expect(first).toMatch(new RegExp(`^ServerError: .* \\(${code}\\)$`));
    expect(second).toMatch(place);
    // The error behind it, where there is one.
    expect(more.filter((each) => !/^because: /.test(each) && !place.test(each))).toEqual([]);
  });

  it('in a worker thread whoever has started it is told of it', () => {
    const script = `import { isMainThread, Worker } from 'node:worker_threads'; import { HttpServer } from 'tswoole';
if (isMainThread) new Worker(new URL(import.meta.url)).on('error', ({ code }) => console.log('told of', code));
else new HttpServer({ fetch: 5 });`;
    writeFileSync(join(line.folder, 'thread.mjs'), script);
    const { stdout } = spawnSync(process.execPath, ['thread.mjs'], {
      ...{ cwd: line.folder, env: line.env, encoding: 'utf8', timeout: DEADLINE_MS },
    });
    expect(stdout).toBe('told of ERR_OPTION_TYPE\n');
  });
});
