// Links of the repository's Markdown, as the site has them.
import { posix } from 'node:path';

/** Pages of the site by the file or folder of the repository that they come from. */
const FILES = new Map([
  ['README.md', '/'],
  ['CONTRIBUTING.md', '/contributing.md'],
  ['CHANGELOG.md', '/changelog.md'],
  ['docs/decisions', '/decisions/index.md'],
]);

/**
 * Rewrites the links of a page: to pages of the site; the text alone where the site has no page (a file of the source).
 * Code is left as it is.
 * @param from the page's path in the repository
 */
export function rewriteLinks(text, from) {
  return outsideOfCode(text, (line) =>
    line.replace(/(!?)\[((?:[^\][]|\[[^\]]*\])*)\]\(([^()\s]+)\)/g, (whole, image, title, target) => {
      if (image === '!' || /^([a-z]+:|#|\/)/.test(target)) return whole;
      const page = pageOf(target, from);
      return page === undefined ? title : `[${title}](${page})`;
    }),
  );
}

/** @returns undefined where the site has no such page */
function pageOf(target, from) {
  const [path = '', hash] = target.split('#');
  const file = posix.normalize(posix.join(posix.dirname(from), path)).replace(/\/$/, '');
  const page = FILES.get(file) ?? pageOfFolder(file);
  return page && (hash === undefined ? page : `${page}#${hash}`);
}

function pageOfFolder(file) {
  const [, example] = /^examples\/([\w.-]+)/.exec(file) ?? [];
  if (example !== undefined) return `/examples/${example}.md`;
  if (/^bench\/[A-Z]+\.md$/.test(file)) return `/${file}`;
  return /^docs\/.*\.md$/.test(file) ? file.slice('docs'.length) : undefined;
}

function outsideOfCode(text, change) {
  let fence = '';
  return text
    .split('\n')
    .map((line) => {
      const [, mark = ''] = /^\s*(`{3,}|~{3,})/.exec(line) ?? [];
      if (fence === '' && mark === '') return change(line);
      if (fence === '') fence = mark;
      else if (mark.startsWith(fence)) fence = '';
      return line;
    })
    .join('\n');
}
