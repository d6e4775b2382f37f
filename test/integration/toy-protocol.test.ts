/**
 * A protocol joins by one new file in `protocols/`, one in `services/`, and one line in each index: the sources are copied,
 * those four changes are made, the copy is built, and its server speaks the protocol.
 */
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { PACE } from '../helpers/deadline.js';
import { TEST_MODE } from '../helpers/server-process.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const ENTRIES = ['index', 'reactor/entry', 'worker/stack-watch-entry'];
/** What runs before the script: programs of their own. */
const PRELOADED = ['manager/first-entry', 'util/heap-entry'];
let tree: string;

beforeAll(async () => {
  tree = mkdtempSync(join(tmpdir(), 'toy-'));
  for (const name of ['src', 'package.json', 'tsconfig.base.json']) {
    cpSync(join(ROOT, name), join(tree, name), { recursive: true });
  }
  symlinkSync(join(ROOT, 'node_modules'), join(tree, 'node_modules'));
  for (const place of ['reactor/protocols', 'worker/services']) {
    const half = readFileSync(join(ROOT, 'test/fixtures', place.split('/')[1] ?? '', 'counter.ts'), 'utf8');
    writeFileSync(join(tree, 'src', place, 'counter.ts'), half.replaceAll('../../../src/', '../../'));
  }
  addLine('reactor/protocols/index.ts', "import { counter } from './counter.js';", [
    '[http1, framed, stream]',
    '[http1, counter, framed, stream]',
  ]);
  addLine('worker/services/index.ts', "import { CounterService } from './counter.js';", [
    'new DatagramService(host)]',
    'new DatagramService(host), new CounterService(host)]',
  ]);
  const checked = { extends: './tsconfig.base.json', compilerOptions: { noEmit: true }, include: ['src'] };
  writeFileSync(join(tree, 'tsconfig.json'), JSON.stringify(checked));
  const tsc = [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.json'];
  execFileSync(process.execPath, tsc, { cwd: tree, stdio: 'pipe' });
  await bundle();
}, 120_000 * PACE);

afterAll(() => rmSync(tree, { recursive: true }));

/** As scripts/build.mjs does, without declarations. */
async function bundle(): Promise<void> {
  for (const names of [ENTRIES, ...PRELOADED.map((name) => [name])]) {
    const input = Object.fromEntries(names.map((name) => [name, join(tree, 'src', `${name}.ts`)]));
    const program = await rolldown({ input, platform: 'node', external: /^[^./]/, tsconfig: false });
    const fileNames = { entryFileNames: '[name].cjs', chunkFileNames: '[name].cjs' };
    await program.write({ dir: join(tree, 'dist'), format: 'cjs', ...fileNames });
    await program.close();
  }
}

/** With the import that TypeScript wants for it. */
function addLine(file: string, imported: string, [before, after]: readonly [string, string]): void {
  const path = join(tree, 'src', file);
  const code = readFileSync(path, 'utf8');
  expect(code).toContain(before);
  writeFileSync(path, `${imported}\n${code.replace(before, after)}`);
}

it(
  'a protocol of two files and two lines is spoken by a whole server',
  async () => {
    const script = join(tree, 'server.js');
    writeFileSync(
      script,
      `import { createRequire } from 'node:module';
const { Server } = createRequire(import.meta.url)('./dist/index.cjs');
const server = new Server({ port: 0, host: '127.0.0.1', mode: '${TEST_MODE}', workerNum: 2, reactorNum: 1, maxRequest: 1e9 });
server.on('receive', () => {});
server.on('start', () => console.log(\`port \${server.port}\`));
await server.start();
`,
    );
    const server = spawn(process.execPath, [script], { cwd: tree, stdio: ['ignore', 'pipe', 'inherit'] });
    const exited = new Promise((resolve) => server.once('exit', resolve));
    try {
      const lines = createInterface({ input: server.stdout })[Symbol.asyncIterator]();
      const port = Number((await lines.next()).value?.slice('port '.length));
      const client = connect({ port, host: '127.0.0.1' });
      const answers = createInterface({ input: client })[Symbol.asyncIterator]();
      const ask = async (numbers: string): Promise<string | undefined> => {
        client.write(numbers);
        return (await answers.next()).value;
      };
      expect([await ask('3\n'), await ask('4\n'), await ask('-10\n')]).toEqual(['3', '7', '-3']);
      client.write('5\n6\n');
      expect([(await answers.next()).value, (await answers.next()).value]).toEqual(['2', '8']);
      client.end();
      expect((await answers.next()).done).toBe(true);
      const other = connect({ port, host: '127.0.0.1' });
      other.write('no number\n');
      await new Promise((resolve) => other.once('close', resolve).resume());
    } finally {
      server.kill('SIGTERM');
      await exited;
    }
  },
  120_000 * PACE,
);
