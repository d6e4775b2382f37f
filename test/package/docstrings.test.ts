import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Consumer } from '../helpers/consumer.js';
import { type Cursor, Editor, type Suggestion, textOf } from '../helpers/editor.js';

const index = readFileSync(new URL('../../src/index.ts', import.meta.url), 'utf8');
const exported = [...index.matchAll(/export (?:type )?\{([^}]*)\}/g)]
  .flatMap(([, list = '']) => list.split(','))
  .map((name) => name.replace(/\btype\b/, '').trim())
  .filter((name) => name !== '');

/** Values, and types that are one of several: these have no members of their own. */
const withoutMembers = new Set([
  ...['fromSwoole', 'version', 'SwooleSettings'],
  ...['Config', 'defineConfig'],
  ...['CloseInitiator', 'DispatchAnswer', 'Framing', 'HeaderValue', 'LogRotation', 'Role', 'StaticFilesOptions'],
  ...['accept', 'HandshakeAnswer', 'JobRule', 'reject'],
  ...['ColumnSpec', 'ColumnSpecs', 'NumberColumn', 'RateLimiterOptions', 'RowOf'],
]);
/** Types that are not exported by a name: a member leads there, or a type that is one of several. */
const unnamed = [
  "Server['connections']",
  "Extract<Framing, { type: 'eof' }>",
  "Extract<Framing, { type: 'length' }>",
  "Extract<Framing, { type: 'custom' }>",
  'Exclude<LogRotation, string>',
];
/** What functions and errors have from the language. */
const ofTheLanguage = new Set([
  'length',
  'name',
  'arguments',
  'caller',
  'prototype',
  'message',
  'stack?',
  'cause?',
  'Symbol',
]);

const withMembers = [...exported.filter((name) => !withoutMembers.has(name)), ...unnamed];

let consumer: Consumer;
let editor: Editor;
/** In one file: over each name, and behind a value of each type. */
let names: Cursor[];
let values: Cursor[];

beforeAll(async () => {
  consumer = new Consumer(['@types/node']);
  editor = await Editor.open(consumer);
  const imported = exported.map((name) => `  ${name.slice(0, 1)}|${name.slice(1)},\n`).join('');
  const asked = withMembers.map((type, nth) => `declare const it${nth}: ${type};\nit${nth}.|;\n`);
  const cursors = editor.open(`import type {\n${imported}} from 'tswoole';\n${asked.join('')}`);
  names = cursors.slice(0, exported.length);
  values = cursors.slice(exported.length);
});

afterAll(async () => {
  await editor.close();
  consumer.remove();
});

async function membersOf(type: string): Promise<Suggestion[]> {
  const cursor = values[withMembers.indexOf(type)];
  if (cursor === undefined) throw new Error(`${type} is not asked for in the file`);
  return (await editor.suggestionsAt(cursor)).filter(({ label }) => !ofTheLanguage.has(label));
}

it.each(exported)('%s has a docstring where it is imported', async (name) => {
  const shown = await editor.hoverAt(names[exported.indexOf(name)] as Cursor);
  expect(textOf(shown), shown).not.toBe('');
});

it.each(withMembers)('every member of %s has a docstring', async (type) => {
  const members = await membersOf(type);
  expect(members.length).toBeGreaterThan(0);
  const bare = members.filter(({ documentation }) => (documentation?.value ?? '').trim() === '');
  expect(bare.map(({ label }) => label)).toEqual([]);
});

/** Swoole has one machine. */
const beyondSwoole = new Set(['clusterRequest', 'nodeUp', 'nodeDown', 'clusterState', 'clusterGap']);

it('every event says in which process it runs, and what Swoole calls it', async () => {
  const events = await membersOf('ServerEvents');
  expect(events.length).toBeGreaterThan(15);
  for (const { label, documentation } of events) {
    const text = documentation?.value.replaceAll(/\s+/g, ' ') ?? '';
    expect(text, label).toMatch(/^(Master|Manager|Worker|Task worker|The process that asked)\b/);
    if (!beyondSwoole.has(label))
      expect(text, label).toContain(`Swoole: on${label.charAt(0).toUpperCase()}${label.slice(1)}`);
  }
});

it('what the server calls itself is not offered to users', async () => {
  const labels = async (type: string): Promise<string[]> => (await membersOf(type)).map(({ label }) => label);
  expect(await labels('HttpRequest')).not.toContain('onAnswered');
  expect(await labels('ListenPort')).not.toContain('settings');
  expect(await labels('Connection')).not.toContain('ended');
});
