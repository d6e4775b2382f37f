import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { HttpRequest } from '../../src/http/request.js';
import { HttpResponse } from '../../src/http/response.js';
import { CloseCode, closeReason } from '../../src/ipc/frame.js';
import { WebSocketConnection } from '../../src/websocket/web-socket-connection.js';
import { WebSocketServer } from '../../src/websocket/web-socket-server.js';
import { anchorsOf, linksOf, pages } from '../helpers/pages.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (file: string): string => readFileSync(`${root}/${file}`, 'utf8');

describe('docs/lifecycle.md', () => {
  it('lists every close reason with its initiator', () => {
    const rows = [...read('docs/lifecycle.md').matchAll(/^\| `([A-Z_]+)` \| ([a-z]+) \|/gm)];
    const documented = rows.map(([, code, initiator]) => [code, initiator]);
    const known = Object.entries(CloseCode).map(([name, code]) => [name, closeReason(code, '').initiator]);
    expect(documented).toEqual(known);
  });
});

describe('links', () => {
  it.each(pages)('of %s lead to files, and to headings that are there', (page) => {
    for (const { line, path, anchor } of linksOf(page)) {
      const at = `${page}:${line}: ${path}#${anchor}`;
      const target = path === '' ? page : normalize(join(dirname(page), path));
      expect(existsSync(`${root}/${target}`), at).toBe(true);
      if (anchor !== '') expect(anchorsOf(target), at).toContain(anchor);
    }
  });
});

it('no docstring of the package links to a page: the page does not lie beside the API', () => {
  const types = readdirSync(`${root}/dist`, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.d.ts'),
  );
  expect(types.length).toBeGreaterThan(10);
  for (const name of types) expect(read(`dist/${name}`), name).not.toMatch(/\]\((?!https?:)[^)\s]*\.md\b/);
});

const foldersOf = (folder: string): string[] =>
  readdirSync(`${root}/${folder}`, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
/** Where a path in the repository begins: at its root, or in `src`. */
const firstFolders = new Set(['src', 'test', 'bench', 'scripts', 'examples', 'docs', ...foldersOf('src')]);
/** A file of TypeScript, or a path below a known folder that has an ending or a slash behind it. */
/** `NAME.ts` is one that is to be written, and a config is the user's. */
const isPath = (text: string): boolean =>
  !/NAME\.|^tswoole\.config\./.test(text) &&
  (/^[\w./-]+\.ts$/.test(text) ||
    (/^[\w-]+\/[\w./-]*(?:\/|\.[a-z]+)$/.test(text) && firstFolders.has(text.slice(0, text.indexOf('/')))));
const commentsOf = (code: string): string =>
  [...code.matchAll(/\/\*\*[\s\S]*?\*\/|(?<=^|\s)\/\/ .*$/gm)].map(([text]) => text).join('\n');
const sources = readdirSync(`${root}/src`, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => `src/${name}`);

/** The folder itself, and those it lies in, up to `src`: a comment may leave out what they have in common. */
function foldersAbove(file: string): string[] {
  const parts = dirname(file).split('/');
  return parts.map((_, index) => parts.slice(0, index + 1).join('/'));
}

const isThere = (path: string, from: readonly string[]): boolean =>
  from.some((folder) => existsSync(`${root}/${normalize(join(folder, path))}`));

describe('a path in backticks', () => {
  it.each(pages.filter((page) => page !== 'CHANGELOG.md'))('of %s is there, from the root or from src', (page) => {
    const paths = [...read(page).matchAll(/`([^`\n]+)`/g)].map(([, text = '']) => text).filter(isPath);
    expect(paths.filter((path) => !isThere(path, ['.', 'src']))).toEqual([]);
  });

  it('of a comment is there, from the root, from src, or from a folder above the file', () => {
    const missing = sources.flatMap((file) => {
      const comments = commentsOf(read(file));
      const quoted = [...comments.matchAll(/`([^`\n]+)`/g)].map(([, text = '']) => text).filter(isPath);
      const plain = [...comments.matchAll(/(?<![\w`./-])[\w-]+\/[\w./-]+\.ts\b/g)].map(([text]) => text);
      const from = ['.', 'src', ...foldersAbove(file)];
      return [...quoted, ...plain].filter((path) => !isThere(path, from)).map((path) => `${file}: ${path}`);
    });
    expect(missing).toEqual([]);
  });
});

describe('docs/tour.md', () => {
  const tour = read('docs/tour.md');

  it('is short enough to be read at once', () => expect(tour.split('\n').length).toBeLessThanOrEqual(120));

  /** `Class.member`, `Class` or `function`, each behind the file it is in; a later mention needs no file. */
  const mentions = [...tour.matchAll(/`(src\/[\w./-]+\.ts)`\s+`([A-Za-z][A-Za-z0-9]*)(?:\.([A-Za-z]+))?`/g)];
  const fileOf = new Map(mentions.map(([, file = '', name = '']) => [name, file]));

  it('names files and functions that exist', () => {
    expect(mentions.length).toBeGreaterThan(40);
    const missing = mentions.filter(([, file = '', name = '', member]) => !isIn(read(file), name, member));
    expect(missing.map(([all]) => all)).toEqual([]);
  });

  it('names no member without having said where its class is', () => {
    const bare = [...tour.matchAll(/`([A-Z][A-Za-z0-9]+)\.([a-z][A-Za-z]+)`/g)];
    const missing = bare.filter(
      ([, name = '', member]) => !isIn(read(fileOf.get(name) ?? 'package.json'), name, member),
    );
    expect(missing.map(([all]) => all)).toEqual([]);
  });
});

/** The file declares the class, interface, constant or function, and the member in it. */
function isIn(code: string, name: string, member: string | undefined): boolean {
  if (!new RegExp(`(class|interface|const|function) ${name}\\b`).test(code)) return false;
  return member === undefined || new RegExp(`^  (readonly |get )?${member}\\b`, 'm').test(code);
}

/** Members in the second column of the tables of a text: `server.push`, `conn.close`. */
function membersIn(tables: string): string[] {
  const cells = [...tables.matchAll(/^\|[^|]*\|([^|]*)\|/gm)].map(([, cell = '']) => cell);
  const quoted = cells.flatMap((cell) => [...cell.matchAll(/`([^`(]+)(?:\([^`]*)?`/g)].map(([, name = '']) => name));
  return quoted.filter((name) => /^[a-z][A-Za-z]*\.[A-Za-z]+$/.test(name));
}

const owners: Record<string, object> = {
  server: WebSocketServer.prototype,
  conn: WebSocketConnection.prototype,
  ws: WebSocketConnection.prototype,
  res: HttpResponse.prototype,
  req: HttpRequest.prototype,
};

const isMissing = (name: string): boolean => {
  const [owner = '', member = ''] = name.split('.');
  return owners[owner] !== undefined && !(member in owners[owner]);
};

describe('docs/migrating', () => {
  it.each([
    ['from-swoole', 40],
    ['from-ws', 10],
    ['from-bun', 15],
  ])('%s.md names members that exist', (name, least) => {
    const page = read(`docs/migrating/${name}.md`);
    const [tables = ''] = page.split('\n## Settings');
    const members = membersIn(tables);
    expect(members.length).toBeGreaterThan(least);
    expect(members.filter(isMissing)).toEqual([]);
  });
});
