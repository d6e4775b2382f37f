/** README and the pages of docs, taken apart: examples, commands, links. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

const below = (folder: string): string[] =>
  readdirSync(`${ROOT}/${folder}`, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => `${folder}/${name}`)
    .sort();

/** From the root of the package. */
export const pages = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', ...below('docs'), ...below('bench')];

export const readPage = (page: string): string => readFileSync(`${ROOT}/${page}`, 'utf8');

/** A fenced block. */
export interface Block {
  readonly page: string;
  /** Of its first line, from 1. */
  readonly line: number;
  /** What stands behind the fence, '' for nothing. */
  readonly language: string;
  readonly text: string;
  /** What a comment `<!-- before the example: … -->` right above it says: code that it goes on from. */
  readonly prelude: string;
}

const PRELUDE = /<!-- before the example: ((?:(?!-->).)*) -->\n+$/s;

export function blocksOf(page: string): Block[] {
  const text = readPage(page);
  return [...text.matchAll(/^( *)```([a-z]*)\n(.*?)^\1```$/gms)].map(({ index, 2: language = '', 3: inner = '' }) => {
    const before = text.slice(0, index);
    const prelude = PRELUDE.exec(before)?.[1]?.replaceAll(/\s+/g, ' ') ?? '';
    return { page, line: before.split('\n').length + 1, language, text: inner, prelude };
  });
}

export interface Command {
  readonly page: string;
  readonly line: number;
  readonly words: readonly string[];
}

/** What a page tells a reader to type: lines of `sh` blocks, and code between other words, of `tswoole` and `npm`. */
export function commandsOf(page: string): Command[] {
  const blocks = blocksOf(page).filter(({ language }) => language === 'sh');
  const inBlocks = blocks.flatMap(({ line, text }) => text.split('\n').map((typed, i) => ({ line: line + i, typed })));
  const prose = readPage(page).replaceAll(/^( *)```.*?^\1```$/gms, (block) => block.replaceAll(/[^\n]/g, ''));
  const inline = prose
    .split('\n')
    .flatMap((text, i) =>
      [...text.matchAll(/`([^`]+)`/g)].map(([, typed = '']) => ({ line: i + 1, typed: typed.replaceAll('\\|', '|') })),
    );
  return [...inBlocks, ...inline].flatMap(({ line, typed }) => wordsOf(typed).map((words) => ({ page, line, words })));
}

/** @param typed one line of a shell; pipes and lists of commands are taken apart, comments left out */
function wordsOf(typed: string): string[][] {
  const line = typed.replace(/(^|\s)#.*$/, '');
  return line
    .split(/\s*(?:\||&&|;|>)\s*/)
    .map((command) => [...command.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(([, a, b, c]) => a ?? b ?? c ?? ''))
    .map((words) => (words[0] === 'npx' ? words.slice(1) : words))
    .filter(([program]) => program === 'tswoole' || program === 'npm');
}

/** A link to a file of the package, or to a heading. */
export interface Link {
  readonly line: number;
  /** From the page's folder; '' is the page itself. */
  readonly path: string;
  readonly anchor: string;
}

export function linksOf(page: string): Link[] {
  const prose = readPage(page).replaceAll(/^( *)```.*?^\1```$/gms, (block) => block.replaceAll(/[^\n]/g, ''));
  return prose.split('\n').flatMap((text, i) =>
    [...text.matchAll(/\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]*))?\)/g)].map(([, path = '', anchor = '']) => ({
      line: i + 1,
      path,
      anchor,
    })),
  );
}

/** The anchors that a page's headings make. */
export function anchorsOf(page: string): string[] {
  const prose = readPage(page).replaceAll(/^( *)```.*?^\1```$/gms, '');
  const seen = new Map<string, number>();
  return [...prose.matchAll(/^#{1,6} (.+)$/gm)].map(([, heading = '']) => {
    const slug = heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-');
    const times = seen.get(slug) ?? 0;
    seen.set(slug, times + 1);
    return times === 0 ? slug : `${slug}-${times}`;
  });
}
