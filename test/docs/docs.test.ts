import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { HttpServer } from '../../src/http/http-server.js';
import { HttpRequest } from '../../src/http/request.js';
import { HttpResponse } from '../../src/http/response.js';
import { CloseCode, closeReason } from '../../src/ipc/frame.js';
import { anchorsOf, linksOf, pages } from '../helpers/pages.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** Files below a folder, as paths from the root. (Node 20 has no glob.) */
function filesBelow(folder: string, ending: string): string[] {
  const names = readdirSync(`${root}/${folder}`, { recursive: true, encoding: 'utf8' });
  return names.filter((name) => name.endsWith(ending)).map((name) => `${folder}/${name}`);
}

const read = (file: string): string => readFileSync(`${root}/${file}`, 'utf8');

/** Folders of src by layer, the lowest first. */
const layers = [
  ['os', 'options', 'errors', 'util'],
  ['ipc', 'memory', 'messaging', 'protocol', 'listen', 'control'],
  ['master', 'reactor', 'manager', 'worker', 'task', 'user'],
  ['base'],
  ['server', 'http'],
  ['cli'],
];
const layerOf = (folder: string): number => layers.findIndex((folders) => folders.includes(folder));

interface Import {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

function imports(): Import[] {
  return filesBelow('src', '.ts').flatMap((file) => {
    const from = file.split('/')[1] ?? '';
    const targets = [...read(file).matchAll(/from '(?:\.\.\/)+([a-z]+)\//g)].map((match) => match[1] ?? '');
    return targets.filter((to) => to !== from && layerOf(to) >= 0).map((to) => ({ file, from, to }));
  });
}

describe('the layers of src', () => {
  it('import downwards only, and roles do not import each other', () => {
    const wrong = imports().filter(({ from, to }) => {
      const sameLayer = layerOf(from) === layerOf(to);
      return layerOf(to) > layerOf(from) || (sameLayer && layers[2]?.includes(from));
    });
    expect(wrong).toEqual([]);
  });

  it('leave koffi to src/os', () => {
    const users = filesBelow('src', '.ts').filter((file) => /from 'koffi'/.test(read(file)));
    expect(users.filter((file) => !file.startsWith('src/os/'))).toEqual([]);
  });
});

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

describe('docs/migrating/from-swoole.md', () => {
  it('names members and options that exist', () => {
    const page = read('docs/migrating/from-swoole.md');
    const table = page.slice(page.indexOf('## Members'), page.indexOf('## Settings'));
    const here = [...table.matchAll(/^\|[^|]*\|([^|]*)\|/gm)].flatMap(([, cell = '']) => [
      ...cell.matchAll(/`([^`]+)`/g),
    ]);
    const names = here.map(([, name = '']) => name).filter((name) => /^[a-z][A-Za-z]*\.[A-Za-z]+$/.test(name));
    const owners: Record<string, object> = {
      server: HttpServer.prototype,
      res: HttpResponse.prototype,
      req: HttpRequest.prototype,
    };
    const missing = names.filter((name) => {
      const [owner = '', member = ''] = name.split('.');
      return owners[owner] !== undefined && !(member in owners[owner]);
    });
    expect(names.length).toBeGreaterThan(40);
    expect(missing).toEqual([]);
  });
});
