import { afterAll, beforeAll, expect, it } from 'vitest';
import { definitions, listenNames } from '../../src/options/definitions.js';
import { resolveOptions } from '../../src/options/index.js';
import { Consumer } from '../helpers/consumer.js';
import { Editor, type Suggestion, textOf } from '../helpers/editor.js';

let consumer: Consumer;
let editor: Editor;

beforeAll(async () => {
  consumer = new Consumer(['@types/node']);
  editor = await Editor.open(consumer);
});

afterAll(async () => {
  await editor.close();
  consumer.remove();
});

/** What stands before the first link or code: help is Markdown, an editor shows some of it otherwise. */
const beginning = (help: string): string => help.split(/[[`*]/)[0] ?? '';

/** @param before up to the brace of the object @returns by name */
async function offered(before: string): Promise<Map<string, Suggestion>> {
  const list = await editor.suggestions(
    `import { HttpServer, Server } from 'tswoole';\nconst server = new Server();\n${before} | });\n`,
  );
  return new Map(list.map((one) => [one.label.replace(/\?$/, ''), one]));
}

it.each([
  ['new Server({', Object.keys(definitions)],
  ['new HttpServer({', [...Object.keys(definitions), 'fetch', 'listener', 'app']],
  ['server.set({', Object.keys(definitions)],
  ['server.listen({', [...listenNames]],
] as const)('%s offers every option with its text, limits, default and name in Swoole', async (call, names) => {
  const options = await offered(call);
  expect([...options.keys()].sort()).toEqual([...names].sort());
  for (const [name, { kind, help, swoole }] of Object.entries<{
    readonly kind: { readonly expected: string };
    readonly help: string;
    readonly swoole?: string;
  }>(definitions)) {
    if (!(names as readonly string[]).includes(name)) continue;
    const shown = options.get(name)?.documentation?.value ?? '';
    expect(shown, name).toContain(beginning(help));
    expect(shown, name).toContain(`Must be ${kind.expected}`);
    expect(shown, name).toMatch(/^- Default: ./m);
    const [inSwoole = 'no such setting'] = swoole?.split(/[ (,]/) ?? [];
    expect(shown, name).toMatch(new RegExp(`^- In Swoole: .*${inSwoole}`, 'm'));
    if (name.endsWith('Ms')) expect(shown, name).toContain('Unit: milliseconds');
  }
});

it('the types of options are as exact as in the table', async () => {
  const options = await offered('new Server({');
  const typeOf = (name: string): string | undefined => options.get(name)?.detail?.replace(/^.*\?: /, '');
  expect(typeOf('workerNum')).toBe('number | undefined');
  expect(typeOf('mode')).toBe('"base" | "process" | undefined');
  expect(typeOf('tls')).toBe('TlsOptions | null | undefined');
  const given = `import { Server } from 'tswoole';
    new Server({ workerNum: 4, mode: 'base', channelSize: '1m', admin: { port: 0 }, watch: ['a'], logFile: undefined });
    // @ts-expect-error
    new Server({ workerNum: '4' });
    // @ts-expect-error
    new Server({ mode: 'neither' });
    // @ts-expect-error
    new Server({ wrokerNum: 4 });
    // @ts-expect-error
    new Server().listen({ workerNum: 4 });
    const { workerNum, mode, channelSize }: { workerNum: number; mode: 'process' | 'base'; channelSize: number } =
      new Server().options;
    export const all = [workerNum, mode, channelSize];`;
  consumer.write('exact.ts', given);
  expect(consumer.compile(['--strict', '--module', 'nodenext', '--exactOptionalPropertyTypes', 'exact.ts'])).toEqual(
    [],
  );
});

it.each([
  ['worker|Num: 4', 'workerNum', ['Worker processes', 'Default: the number of cores', '`worker_num`']],
  ['heartbeat|IdleMs: 1', 'heartbeatIdleMs', ['Unit: milliseconds', 'Default: `0`', '`heartbeat_idle_time` (seconds)']],
  ["sendBuffer|Size: '1m'", 'sendBufferSize', ['Unit: bytes', "Default: `'64m'`", '`socket_buffer_size`']],
  ["admin: { to|ken: '' }", 'token', ['Authorization: Bearer', '16 to 256 characters', 'Default: none']],
  ["tls: { cert: '', k|ey: '' }", 'key', ['PEM', '`ssl_key_file`']],
  ["tls: { cert: '', key: '', handshake|TimeoutMs: 1 }", 'handshakeTimeoutMs', ['milliseconds', 'Default: `10000`']],
  ["staticFiles: { root: '', max|Age: 1 }", 'maxAge', ['Unit: milliseconds', 'Default: `0`']],
  ['compression: { min|Length: 1 }', 'minLength', ['Unit: bytes', "Default: `'1k'`", '`compression_min_length`']],
  ['logRotation: { ke|ep: 1 }', 'keep', ['How many old files', 'Default: `7`']],
  ["framing: { type: 'length', field: 'u8', body|Offset: 1 }", 'bodyOffset', ['Unit: bytes', '`package_body_offset`']],
  ["framing: { type: 'eof', delim|iter: '' }", 'delimiter', ['The end of a packet', '`package_eof`']],
] as const)('over `%s` an editor tells what it is', async (option, name, parts) => {
  const shown = await editor.hover(`import { HttpServer } from 'tswoole';\nnew HttpServer({ ${option} });\n`);
  expect(shown).toContain(name);
  for (const part of parts) expect(textOf(shown)).toContain(part);
});

/** By option: what is a must in it. */
const groups: readonly (readonly [group: string, musts: object])[] = [
  ['admin', {}],
  ['tls', { cert: 'server.crt', key: 'server.key' }],
  ['staticFiles', { root: '.' }],
  ['compression', {}],
  ['logRotation', { every: 'daily' }],
  ['framing', { type: 'eof', delimiter: 'x' }],
  ['framing', { type: 'length', field: 'u8' }],
];

it.each(groups)(
  'inside `%s: {` (%j) every name is offered with its text and default, which is the true one',
  async (group, musts) => {
    const members = Object.entries(musts)
      .map(([name, value]) => `${name}: ${JSON.stringify(value)},`)
      .join(' ');
    const options = await offered(`new HttpServer({ ${group}: { ${members}`);
    const resolved = (given: object): unknown => resolveOptions({ [group]: { ...musts, ...given } });
    expect(options.size).toBeGreaterThan(0);
    for (const [name, { documentation }] of options) {
      const shown = documentation?.value.replaceAll(/\s+/g, ' ') ?? '';
      expect(shown, name).toMatch(/Default: .|A must/);
      const [, literal] = /Default: `([^`]+)`/.exec(shown) ?? [];
      if (literal === undefined) continue;
      const value: unknown = JSON.parse(literal.replaceAll("'", '"'));
      expect(resolved({ [name]: value }), `${group}.${name}`).toEqual(resolved({}));
    }
  },
);
