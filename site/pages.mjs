// Gathers the pages of the site: the guides of docs/, the figures of bench/, the examples with their files.
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { contents } from './contents.mjs';
import { rewriteLinks } from './links.mjs';
import { drawProcessTree } from './process-tree.mjs';

export const root = fileURLToPath(new URL('..', import.meta.url));
export const pagesFolder = fileURLToPath(new URL('.pages', import.meta.url));

/** Languages of the files that examples are shown with. */
const LANGUAGES = {
  '.js': 'js',
  '.mjs': 'js',
  '.cjs': 'js',
  '.ts': 'ts',
  '.html': 'html',
  '.css': 'css',
  '.yaml': 'yaml',
};
const MOST_BYTES_SHOWN = 32_768;

export function gatherPages() {
  rmSync(pagesFolder, { recursive: true, force: true });
  mkdirSync(pagesFolder, { recursive: true });
  gatherDocs();
  for (const name of readdirSync(join(root, 'bench')).filter((one) => one.endsWith('.md'))) copyPage(`bench/${name}`);
  for (const name of plotFolders()) cpSync(join(root, name), join(pagesFolder, name), { recursive: true });
  copyPage('CONTRIBUTING.md', 'contributing.md');
  copyPage('CHANGELOG.md', 'changelog.md');
  gatherExamples();
  writePage('index.md', readFileSync(new URL('index.md', import.meta.url), 'utf8'));
  for (const [name, svg] of drawProcessTree()) writePage(`public/${name}`, svg);
}

/** The titles of the decisions, in the order of their numbers. */
export function listDecisions() {
  return readdirSync(join(root, 'docs/decisions'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => ({
      link: `/decisions/${name}`,
      text: titleOf(readFileSync(join(root, 'docs/decisions', name), 'utf8')),
    }));
}

export function listExamples() {
  return readdirSync(join(root, 'examples')).filter((name) => statSync(join(root, 'examples', name)).isDirectory());
}

export function titleOf(text) {
  return /^# (.+)$/m.exec(text)?.[1] ?? '';
}

function gatherDocs() {
  const known = new Set(contents.flatMap(({ pages }) => pages.map((page) => `${page}.md`)));
  const files = readdirSync(join(root, 'docs'), { recursive: true }).filter((name) => name.endsWith('.md'));
  for (const name of files) {
    if (!name.startsWith('decisions/') && !known.delete(name)) {
      throw new Error(`docs/${name} stands nowhere in site/contents.mjs: put it where its readers look for it`);
    }
    copyPage(`docs/${name}`, name);
  }
  if (known.size > 0) throw new Error(`site/contents.mjs names pages that docs/ has not: ${[...known].join(', ')}`);
  const decisions = listDecisions().map(({ link, text }) => `- [${text}](${link})`);
  writePage(
    'decisions/index.md',
    `# Decisions\n\nThe reasons for the design, with figures.\n\n${decisions.join('\n')}\n`,
  );
  const images = join(root, 'docs/images');
  if (statSync(images, { throwIfNoEntry: false })) cpSync(images, join(pagesFolder, 'images'), { recursive: true });
}

/** A page for each example, which shows its files. */
function gatherExamples() {
  const names = listExamples();
  for (const name of names) {
    const folder = join(root, 'examples', name);
    const files = readdirSync(folder, { recursive: true }).filter((file) => isShown(join(folder, file)));
    const readme = files.includes('README.md') ? readFileSync(join(folder, 'README.md'), 'utf8') : `# ${name}\n`;
    const parts = files.filter((file) => file !== 'README.md').map((file) => showFile(folder, file));
    writePage(`examples/${name}.md`, [rewriteLinks(readme, `examples/${name}/README.md`), ...parts].join('\n'));
  }
  const list = names.map((name) => `- [${name}](/examples/${name}.md): ${firstComment(name)}`);
  writePage('examples/index.md', `# Examples\n\nThe tests run each of them.\n\n${list.join('\n')}\n`);
}

/** What the first comment of an example says of it. */
function firstComment(name) {
  const scripts = readdirSync(join(root, 'examples', name)).filter((file) => /^server\.(js|ts|mjs)$/.test(file));
  const text = scripts.length > 0 ? readFileSync(join(root, 'examples', name, scripts[0]), 'utf8') : '';
  const lines = text.split('\n');
  const end = lines.findIndex((line) => !line.startsWith('//'));
  const comment = lines
    .slice(0, Math.max(end, 0))
    .map((line) => line.slice(2).trim())
    .join(' ');
  return escapeText(comment);
}

function isShown(path) {
  const found = statSync(path);
  if (!found.isFile() || found.size > MOST_BYTES_SHOWN) return false;
  return !readFileSync(path).includes(0);
}

function showFile(folder, file) {
  const text = readFileSync(join(folder, file), 'utf8').trimEnd();
  const language = basename(file) === 'Dockerfile' ? 'dockerfile' : (LANGUAGES[extname(file)] ?? 'txt');
  return `\n## ${file}\n\n\`\`\`\`${language}\n${text}\n\`\`\`\`\n`;
}

function plotFolders() {
  return readdirSync(join(root, 'bench'), { recursive: true, withFileTypes: true })
    .filter((one) => one.isDirectory() && one.name === 'plots')
    .map((one) => join(one.parentPath.slice(root.length), one.name));
}

function copyPage(from, to = from) {
  writePage(to, rewriteLinks(readFileSync(join(root, from), 'utf8'), from));
}

function writePage(to, text) {
  const path = join(pagesFolder, to);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

function escapeText(text) {
  return text.replaceAll('<', '&lt;').replaceAll('{{', '&#123;&#123;');
}
