import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig } from 'vitepress';
import { contents } from '../contents.mjs';
import { listDecisions, listExamples, pagesFolder, titleOf } from '../pages.mjs';

const titleOfPage = (page) => titleOf(readFileSync(join(pagesFolder, `${page}.md`), 'utf8'));
const guides = contents.map(({ text, pages }) => ({
  text,
  items: pages.map((page) => ({ text: titleOfPage(page), link: `/${page}` })),
}));
const examples = listExamples().map((name) => ({ text: name, link: `/examples/${name}` }));
const benchmarks = [
  ...['SPEED', 'HTTP', 'WEBSOCKET', 'SHARED', 'TASKS', 'CLUSTER', 'JOBS', 'ECHO', 'MODES', 'IDLE', 'HOSTILE'],
];

/** Guides come before the types, figures and reasons, which name everything too; long tables of names are found by them. */
function toBoost(id) {
  if (/\/(api|bench|decisions|changelog)\b/.test(id)) return 0.05;
  return /\/(options|errors)\b/.test(id) ? 4 : 1;
}

function toAnchor(heading) {
  return heading
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .replace(/\s/g, '-');
}

export default defineConfig({
  srcDir: '.pages',
  outDir: 'dist',
  cacheDir: '.cache',
  title: 'tswoole',
  description: 'The Swoole server architecture in TypeScript on Node.js',
  cleanUrls: false,
  lastUpdated: false,
  markdown: {
    // As code hosts make them, which the links of docs/ are written for.
    anchor: { slugify: toAnchor },
    theme: { light: 'github-light', dark: 'github-dark' },
  },
  themeConfig: {
    search: {
      provider: 'local',
      options: {
        miniSearch: {
          searchOptions: { boostDocument: toBoost },
        },
      },
    },
    outline: { level: [2, 3] },
    externalLinkIcon: true,
    nav: [
      { text: 'Guide', link: '/getting-started' },
      { text: 'Examples', link: '/examples/' },
      { text: 'Options', link: '/options' },
      { text: 'API', link: '/api/' },
      { text: 'Figures', link: '/bench/SPEED' },
    ],
    sidebar: {
      '/': guides,
      '/examples/': [{ text: 'Examples', link: '/examples/', items: examples }],
      '/decisions/': [{ text: 'Decisions', link: '/decisions/', items: listDecisions() }],
      '/bench/': [
        {
          text: 'Figures',
          items: benchmarks.map((name) => ({ text: titleOfPage(`bench/${name}`), link: `/bench/${name}` })),
        },
      ],
      '/api/': [{ text: 'API', items: [{ text: 'All exports', link: '/api/' }] }, ...guides],
    },
    footer: { message: 'MIT licence' },
  },
});
