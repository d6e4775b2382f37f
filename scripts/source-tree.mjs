// Reads the TypeScript files of a folder: what each imports, and how many parameters its functions have.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { parseAst } from 'rolldown/parseAst';

/** @returns {{ path: string, text: string, tree: object }[]} paths from the folder, in order */
export function readTree(folder) {
  const paths = readdirSync(folder, { recursive: true })
    .map(String)
    .filter((path) => /(?<!\.d)\.ts$/.test(path))
    .sort();
  return paths.map((path) => {
    const text = readFileSync(join(folder, path), 'utf8');
    return { path, text, tree: parseAst(text, { lang: 'ts' }) };
  });
}

/**
 * Static imports, `export … from`, `import()` and the types `import('…')`; a `new URL()` is none: it starts an entry.
 * @returns what is imported, and the line: `file` (a path from the folder) for a file of the tree; `module` for what is
 * outside of it; neither where it is known only while the program runs
 */
export function importsOf({ path, text, tree }) {
  const found = [];
  visit(tree, (node) => {
    const source = sourceOf(node);
    if (source === undefined) return;
    const line = lineAt(text, node.start);
    const name = typeof source.value === 'string' ? source.value : undefined;
    if (name === undefined) found.push({ line });
    else if (!name.startsWith('.')) found.push({ line, module: name });
    else found.push({ line, file: normalize(join(dirname(path), name)).replace(/\.js$/, '.ts') });
  });
  return found;
}

function sourceOf(node) {
  switch (node.type) {
    case 'ImportDeclaration':
    case 'ExportAllDeclaration':
    case 'ImportExpression':
      return node.source;
    case 'ExportNamedDeclaration':
      return node.source ?? undefined;
    case 'TSImportType':
      return node.source ?? node.argument?.literal ?? node.argument;
    default:
      return undefined;
  }
}

const FUNCTIONS = new Set([
  'FunctionDeclaration',
  'FunctionExpression',
  'ArrowFunctionExpression',
  'TSEmptyBodyFunctionExpression',
]);

/** Functions, methods, constructors and arrows that run; types describe what others wrote. */
export function functionsOf({ text, tree }) {
  const found = [];
  visit(tree, (node, parent) => {
    if (!FUNCTIONS.has(node.type)) return;
    const name = node.id?.name ?? parent?.key?.name ?? parent?.id?.name ?? 'a function';
    found.push({ name, line: lineAt(text, node.start), parameters: node.params.length });
  });
  return found;
}

function visit(node, each, parent) {
  if (Array.isArray(node)) {
    for (const item of node) visit(item, each, parent);
    return;
  }
  if (typeof node !== 'object' || node === null) return;
  if (typeof node.type === 'string') each(node, parent);
  for (const value of Object.values(node)) visit(value, each, node);
}

function lineAt(text, offset) {
  return text.slice(0, offset).split('\n').length;
}
