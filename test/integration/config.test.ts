// tswoole.config.*: several apps by one command line.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { listEntries } from '../../src/control/run-dir.js';
import { CommandLine, endCommandLines } from '../helpers/command-line.js';
import { DEADLINE_MS } from '../helpers/deadline.js';
import { poll } from '../helpers/server-process.js';
import { look, tell } from '../helpers/shared-lines.js';

afterEach(endCommandLines);

/** Answers with its arguments and some of its environment. */
const TELLS = `import { HttpServer } from 'tswoole';
const server = new HttpServer();
const { A, B, C, NODE_ENV } = process.env;
server.on('request', (request, response) =>
  response.end(JSON.stringify({ args: process.argv.slice(2), cwd: process.cwd(), node: process.execArgv, A, B, C, NODE_ENV })));
await server.start();
console.log('listening on ' + server.port);
`;

interface Told {
  readonly args: string[];
  readonly cwd: string;
  readonly A?: string;
  readonly B?: string;
  readonly C?: string;
  readonly NODE_ENV?: string;
}

function lineWith(config: unknown, env: Readonly<Record<string, string>> = {}): CommandLine {
  const line = new CommandLine({ TSWOOLE_OPTION_WORKER_NUM: '1', ...env });
  writeFileSync(join(line.folder, 'tells.js'), TELLS);
  const text = typeof config === 'string' ? config : JSON.stringify(config);
  writeFileSync(join(line.folder, typeof config === 'string' ? 'tswoole.config.js' : 'tswoole.config.json'), text);
  return line;
}

const TWO = {
  apps: [
    { name: 'api', script: 'tells.js', daemonize: true, logFile: 'api.log' },
    { name: 'web', script: 'operated.js', daemonize: true, logFile: 'web.log' },
  ],
};

async function ask(line: CommandLine, name: string): Promise<Told> {
  const { status } = await look(line, name);
  const [address = ''] = status.listening;
  return (await (await fetch(`http://127.0.0.1:${address.split(':').at(-1)}/`)).json()) as Told;
}

const names = ({ runDir }: CommandLine): string[] =>
  listEntries(runDir)
    .map(({ name }) => name)
    .sort();

describe('two apps of a config file', () => {
  it('are started, looked at, reloaded and stopped, together and by name', async () => {
    const line = lineWith(TWO);
    await line.must('start');
    expect((await line.servers()).map(({ name }) => name).sort()).toEqual(['api', 'web']);

    const reports = JSON.parse(await line.must('status', '--json')) as { status: { name: string } }[];
    expect(reports.map(({ status }) => status.name)).toEqual(['api', 'web']);
    expect(await line.must('reload')).toBe(
      'api: Workers were replaced: generation 1.\nweb: Workers were replaced: generation 1.\n',
    );
    expect(await line.must('reload', 'web')).toBe('Workers were replaced: generation 2.\n');
    expect(Object.keys(JSON.parse(await line.must('workers', '--json')) as object)).toEqual(['api', 'web']);
    const logs = await line.must('logs');
    expect(logs).toMatch(/^api \| /m);
    expect(logs).toMatch(/^web \| /m);
    // What fits one server asks which.
    const { code, stderr } = await line.run('scale', '+1');
    expect([code, stderr]).toEqual([
      4,
      expect.stringMatching(/2 servers run\. Name one by its name[\s\S]*api[\s\S]*web/),
    ]);
    expect(await line.must('__complete', '--', 'stop', 'w')).toBe('web\n');
    expect(await line.must('__complete', '--', 'start', '')).toBe('api\nweb\n');

    expect(await line.must('stop', 'web')).toMatch(/^The server with pid \d+ has ended\.\n$/);
    const half = await line.run('status');
    expect([half.code, half.stderr]).toEqual([3, 'tswoole: web: it does not run.\n']);
    expect((await line.run('start', 'api')).stderr).toMatch(
      /App api runs already, as process \d+\. "tswoole restart api"/,
    );
    expect(await line.must('start')).toMatch(/App api runs already/); // and starts the other one
    expect(names(line)).toEqual(['api', 'web']);
    expect(await line.must('stop')).toMatch(/^api: The server .* has ended\.\nweb: The server .* has ended\.\n$/);
    expect(line.tree()).toEqual([]);
    const none = await line.run('stop');
    expect([none.code, none.stderr]).toEqual([3, expect.stringMatching(/No app of .*json runs \(api, web\)/)]);
  });

  it('in the foreground write with their names, and one signal ends both', async () => {
    const line = lineWith({ apps: TWO.apps.map(({ name }) => ({ name, script: 'tells.js' })) });
    const child = spawn('tswoole', ['start'], { cwd: line.folder, env: line.env, stdio: ['ignore', 'pipe', 'pipe'] });
    let told = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes: Buffer) => (told += bytes.toString()));
    const ended = new Promise((resolve) => child.once('close', resolve));
    await poll('both are up', () => /^api \|.*listening on/m.test(told) && /^web \|.*listening/m.test(told));
    child.kill('SIGINT');
    expect(await ended).toBe(0);
    expect(line.tree()).toEqual([]);
  });

  it('in the foreground end together when one cannot go on, with its code', async () => {
    const line = lineWith({
      apps: [
        { name: 'api', script: 'tells.js' },
        { name: 'bad', script: 'bad.js' },
      ],
    });
    writeFileSync(join(line.folder, 'bad.js'), `process.exit(7);`);
    const { code, stderr } = await line.run('start');
    expect([code, stderr]).toEqual([7, expect.stringMatching(/bad has ended with code 7; the others are ended too/)]);
    expect(line.tree()).toEqual([]);
  });

  it('of which one does not start: the others run, and the command says which one failed', async () => {
    const line = lineWith({ apps: [{ ...TWO.apps[1], name: 'bad', script: 'bad.js' }, TWO.apps[0]] });
    writeFileSync(join(line.folder, 'bad.js'), `throw new Error('not today');`);
    const { code, stderr } = await line.run('start');
    expect([code, stderr]).toEqual([1, expect.stringMatching(/not today[\s\S]*tswoole: bad did not start/)]);
    expect(names(line)).toEqual(['api']);
  });
});

describe('a config', () => {
  it.each([
    ['process.exit(0)', 'code 0', 2],
    ['process.exit(3)', 'code 3', 3],
    ["setImmediate(() => { throw new Error('no secret') }); await new Promise(() => {})", 'code 1', 1],
  ])('that ends the command (%s) is told of', async (source, says, code) => {
    const line = lineWith(`${source}; export default { name: 'api', script: 'tells.js' };`);
    for (const command of ['start', 'status']) {
      const result = await line.run(command);
      expect(result.stderr).toMatch(
        /tswoole: The config file \S+tswoole\.config\.js cannot be used: .*\(ERR_CONFIG\)\n/,
      );
      expect([result.code, result.stderr]).toEqual([code, expect.stringContaining(says)]);
    }
  });

  it('with a syntax error is refused with the line, whose text may hold a secret', async () => {
    const line = lineWith(`export default {\n  name: 'api' script: 'tells.js',\n};\n`);
    const { code, stderr } = await line.run('start');
    expect([code, stderr]).toEqual([2, expect.stringContaining('it cannot be loaded (line 2)')]);
    expect(stderr).not.toContain('tells.js');
  });

  it('whose loop never ends is ended by SIGTERM', async () => {
    const line = lineWith(`process.stdout.write('loading\\n'); while (true);`);
    const child = spawn('tswoole', ['start'], {
      cwd: line.folder,
      env: line.env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const late = setTimeout(() => child.kill('SIGKILL'), DEADLINE_MS);
    const ended = once(child, 'exit');
    await once(child.stdout, 'data');
    child.kill('SIGTERM');
    expect(await ended).toEqual([null, 'SIGTERM']);
    clearTimeout(late);
  });
});

it('an app runs as the file, its env file, the environment and the flags say', async () => {
  const line = lineWith(
    `import { defineConfig } from 'tswoole';
export default defineConfig({
  name: 'api', script: '../tells.js', cwd: 'in', envFile: '.env', args: ['of', 'file'], daemonize: true, logFile: 'api.log',
  nodeArgs: ['--max-old-space-size=300'], env: { A: 'file' }, workerNum: 1, maxRequest: 7,
  environments: { production: { env: { NODE_ENV: 'production' }, maxRequest: 8 } },
});
`,
    { B: 'shell' },
  );
  delete line.env['TSWOOLE_OPTION_WORKER_NUM'];
  mkdirSync(join(line.folder, 'in'));
  writeFileSync(join(line.folder, 'in/.env'), 'A=env file\nB=env file\nC="env file"\n');
  await line.must('start');
  const told = await ask(line, 'api');
  expect(told).toMatchObject({ args: ['of', 'file'], A: 'file', B: 'shell', C: 'env file' });
  expect([told.cwd, told.NODE_ENV]).toEqual([join(line.folder, 'in'), line.env['NODE_ENV']]);
  expect(readFileSync(join(line.folder, 'in/api.log'), 'utf8')).toContain('listening');
  expect(JSON.parse(await line.must('workers', '--json'))).toHaveLength(1);
  const maxRequest = async (): Promise<unknown> => (await tell<{ maxRequest: unknown }>(line, 'settings')).maxRequest;
  expect(JSON.parse(await line.must('call', 'settings'))).toMatchObject({ maxRequest: 7 });

  // As it was started, until the file is asked for.
  await line.must('restart', 'api');
  expect(await maxRequest()).toBe(7);
  await line.must('restart', '--env', 'production');
  expect([await maxRequest(), (await ask(line, 'api')).NODE_ENV]).toEqual([8, 'production']);
  await line.must('stop');

  await line.must('start', '--env', 'production', '--max-request', '9', 'api', 'given');
  expect([await maxRequest(), (await ask(line, 'api')).args]).toEqual([9, ['given']]);
});

it('a config of TypeScript is run by Node, and by an older one refused', async () => {
  const line = lineWith({});
  rmSync(join(line.folder, 'tswoole.config.json'));
  const config = `import { type Config, defineConfig } from 'tswoole';
const app: Config = { name: 'typed', script: 'tells.js', daemonize: true };
export default defineConfig(app);
`;
  writeFileSync(join(line.folder, 'tswoole.config.ts'), config);
  const { code, stdout, stderr } = await line.run('start');
  if (typeof Reflect.get(process.features, 'typescript') !== 'string') {
    return expect([code, stderr]).toEqual([
      2,
      expect.stringMatching(/is TypeScript, which Node v.* does not run by itself/),
    ]);
  }
  expect([code, stdout]).toEqual([0, expect.stringMatching(/typed runs in the background/)]);
});

it('an app without a control socket is found by its pid file, and one with a run directory of its own there', async () => {
  const common = { script: 'tells.js', daemonize: true, port: 0, host: '127.0.0.1' };
  const line = lineWith({
    apps: [
      { name: 'mute', ...common, control: false, pidFile: 'mute.pid' },
      { name: 'apart', ...common, environments: { production: { runDir: 'apart' } } },
    ],
  });
  delete line.env['TSWOOLE_OPTION_RUN_DIR'];
  line.env['XDG_RUNTIME_DIR'] = line.folder;
  await line.must('start', '--env', 'production');
  expect(await line.must('reload')).toMatch(/^mute: .* was sent the signal to reload.*\napart: Workers were replaced/);
  expect((await line.report('apart')).status.name).toBe('apart');
  expect(await line.must('stop')).toMatch(/^mute: The server .* has ended\.\napart: The server .* has ended\.\n$/);
  expect(line.tree()).toEqual([]);
});

it('wrong usage starts nothing, and says what would be right', async () => {
  const line = lineWith(TWO);
  const refusal = async (...words: string[]): Promise<string> => {
    const { code, stderr } = await line.run(...words);
    expect(code, words.join(' ')).toBe(2);
    return stderr;
  };
  expect(await refusal('start', 'appi')).toMatch(
    /no app of this name in .*nearest known name is "api"\. Its apps: api, web/,
  );
  expect(await refusal('start', '--env', 'prod')).toMatch(/No app of .* has an environment "prod"\. None/);
  expect(await refusal('start', '--name', 'x')).toMatch(/The name of an app stands in the config file/);
  expect(await refusal('start', '--port', '1')).toMatch(/2 apps cannot have the same port/);
  expect(await refusal('start', 'api', 'web', 'x')).toMatch(/Arguments of a script \(x\) fit one app/);
  expect(await refusal('start', '--config', 'lost.js')).toMatch(/there is no such file/);
  expect(await refusal('systemd')).toMatch(/has 2 apps \(api, web\).*--output FOLDER/);
  const write = (more: object): void =>
    writeFileSync(
      join(line.folder, 'tswoole.config.json'),
      JSON.stringify({ name: 'api', script: 'tells.js', ...more }),
    );
  write({ script: 'lost.js' });
  expect(await refusal('start')).toMatch(/App api of .* cannot be started: the script .*lost\.js is not there/);
  write({ cwd: 'lost' });
  expect(await refusal('start')).toMatch(/the folder .*lost is not there/);
  write({ envFile: 'lost.env' });
  expect(await refusal('start')).toMatch(/the envFile of app "api" cannot be read \(ENOENT/);
  write({ wrokerNum: 2 });
  for (const command of ['start', 'stop', 'status'])
    expect(await refusal(command)).toMatch(
      /unknown key "wrokerNum" of app "api"; the nearest known name is "workerNum"/,
    );
  expect(line.tree()).toEqual([]);
});

it('a server of the same name in another project is not taken for the app', async () => {
  const line = lineWith({ name: 'api', script: 'tells.js' });
  copyFileSync(line.script, join(line.folder, 'other.js'));
  await line.must('start', 'other.js', '--daemon', '--name', 'api');
  const [server] = listEntries(line.runDir);
  const { code, stderr } = await line.run('stop', 'api');
  expect([code, stderr]).toEqual([
    3,
    expect.stringMatching(/App api does not run\. A server of this name runs another script/),
  ]);
  expect((await line.run('stop')).code).toBe(3);
  await line.must('stop', String(server?.pid));
});

it('each app gets a unit of systemd, which starts it by the file', async () => {
  const line = lineWith(TWO);
  mkdirSync(join(line.folder, 'units'));
  expect(await line.must('systemd', '--output', 'units')).toBe(
    ['api', 'web'].map((name) => `${join(line.folder, 'units', name)}.service\n`).join(''),
  );
  const unit = readFileSync(join(line.folder, 'units/web.service'), 'utf8');
  const file = join(line.folder, 'tswoole.config.json');
  expect(unit).toContain(` start web --config=${file} --daemonize=false\n`);
  expect(unit).toContain(`\nWorkingDirectory=${line.folder}\n`);
  expect(await line.must('systemd', 'web', '--max-wait-ms', '60000')).toMatch(
    /--max-wait-ms=60000\n[\s\S]*TimeoutStopSec=70/,
  );
});
