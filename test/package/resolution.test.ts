/** Who uses the package with TypeScript finds its types, however modules are resolved. `npm run check` asks attw too. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Consumer } from '../helpers/consumer.js';

const index = readFileSync(new URL('../../src/index.ts', import.meta.url), 'utf8');
const lists = [...index.matchAll(/export (type )?\{([^}]*)\}/g)].flatMap(([, isType, list = '']) =>
  list.split(',').flatMap((entry) => {
    const name = entry.trim();
    if (name === '') return [];
    return [{ name: name.replace(/^type /, ''), isType: isType !== undefined || name.startsWith('type ') }];
  }),
);
const names = lists.map(({ name }) => name);
const values = lists.filter(({ isType }) => !isType).map(({ name }) => name);

const used = `const server: Server = new Server({ port: 0, ...fromSwoole({ worker_num: 1 }) });
  class Mine extends HttpServer {}
  server.on('receive', (conn: Connection, data) => { conn.send(data); });
  server.on('task', (task: Task<string>) => task.data.length);
  export const portOf = (error: unknown): number =>
    error instanceof ServerError && error.is('ERR_PORT_IN_USE') ? error.detail.port : Number(version);
  export const all: Server[] = [server, new Mine()];
  export const failed: ServerError<'ERR_PORT_IN_USE'> | undefined = undefined;`;
const imports = `import { type Connection, HttpServer, Server, ServerError, type Task, fromSwoole, version } from 'tswoole';\n`;

const same = `import { Server, type Connection } from 'tswoole';
    type Imported = typeof import('tswoole', { with: { 'resolution-mode': 'import' } });
    export const one: InstanceType<Imported['Server']> = new Server();
    export const send = (conn: Connection): InstanceType<Imported['Connection']> => conn;`;

let consumer: Consumer;

beforeAll(() => {
  consumer = new Consumer(['@types/node']);
  consumer.write('required.cts', imports + used);
  consumer.write('imported.mts', imports + used);
  consumer.write('bundled.ts', imports + used);
  consumer.write(
    'names.cts',
    `import { ${values.join(', ')} } from 'tswoole';\nexport const all = [${values.join(', ')}];\n`,
  );
  consumer.write('types.cts', `export type { ${names.join(', ')} } from 'tswoole';\n`);
  consumer.write('same.cts', same);
});
afterAll(() => consumer.remove());

/** What is compiled at once, for the tests of these files: most of the time goes into what all of them share. */
const TOGETHER: Readonly<Record<string, readonly string[]>> = {
  node16: ['required.cts', 'imported.mts', 'names.cts', 'types.cts', 'same.cts'],
  nodenext: ['required.cts', 'imported.mts'],
};
const found = new Map<string, readonly string[]>();

/** What the compiler says of a file, and of what it uses. */
function faultsOf(file: string, options: readonly string[]): string[] {
  const files = TOGETHER[options[1] ?? ''] ?? [file];
  const key = options.join(' ');
  // Without skipLibCheck, so that the declarations themselves are looked at.
  const all = found.get(key) ?? consumer.compile(['--strict', '--target', 'es2022', ...options, ...files]);
  found.set(key, all);
  const others = files.filter((name) => name !== file);
  return all.filter((line) => !others.some((name) => line.startsWith(`${name}(`)));
}

it.each([
  ['node16 from CommonJS', 'required.cts', ['--module', 'node16']],
  ['node16 from ES modules', 'imported.mts', ['--module', 'node16']],
  ['nodenext from CommonJS', 'required.cts', ['--module', 'nodenext']],
  ['nodenext from ES modules', 'imported.mts', ['--module', 'nodenext']],
  ['a bundler', 'bundled.ts', ['--module', 'esnext', '--moduleResolution', 'bundler']],
  ['a bundler with exact optional members', 'bundled.ts', ['--module', 'preserve', '--exactOptionalPropertyTypes']],
] as const)('%s finds the types, which pass without skipLibCheck', (_how, file, options) => {
  expect(faultsOf(file, options)).toEqual([]);
});

it('a project that names no types gets those of Node with the package', () => {
  consumer.write(
    'plain.mts',
    "import { Server } from 'tswoole';\nnew Server().on('receive', (conn, data) => conn.send(data.subarray(1)));\n",
  );
  expect(consumer.compile(['--strict', '--target', 'es2022', '--module', 'nodenext', 'plain.mts'])).toEqual([]);
});

it('what require gives has every name that import gives', () => {
  expect(values).toContain('Server');
  for (const file of ['names.cts', 'types.cts']) expect(faultsOf(file, ['--module', 'node16'])).toEqual([]);
});

it('a server that was required is a server that was imported', () => {
  expect(faultsOf('same.cts', ['--module', 'node16'])).toEqual([]);
});
