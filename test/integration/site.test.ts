// The documentation as a site: built, then opened in a browser.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, extname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Chromium, type Page } from '../helpers/chromium.js';
import { PACE } from '../helpers/deadline.js';
import { eventually } from '../helpers/eventually.js';
import { hasProgram } from '../helpers/wrk.js';

const SITE = fileURLToPath(new URL('../../site', import.meta.url));
const BUILT = join(SITE, 'dist');
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
};
const INSTALL_AND_BUILD_MS = 240_000 * PACE;

/** What somebody looks for, and the page that must be among the first three found. */
const TERMS: readonly (readonly [term: string, page: string])[] = [
  ['reload', 'lifecycle'],
  ['workerNum', 'options'],
  ['ERR_PORT_IN_USE', 'errors'],
  ['nginx', 'behind-a-proxy'],
  ['systemd', 'deploying'],
  ['Kubernetes', 'kubernetes'],
  ['express', 'frameworks'],
  ['room', 'websocket'],
  ['PM2', 'migrating/from-pm2'],
  ['node:cluster', 'migrating/from-cluster'],
  ['Swoole', 'migrating/from-swoole'],
  ['RateLimiter', 'shared-memory'],
  ['Prometheus', 'metrics'],
  ['inspect', 'debugging'],
  ['task worker', 'tasks'],
  ['redis', 'several-machines'],
  ['BullMQ', 'jobs'],
  ['heartbeat', 'limits'],
  ['dispatchMode', 'dispatch'],
  ['SIGTERM', 'signals'],
];

let server: Server;
let origin: string;
let browser: Chromium | undefined;

beforeAll(async () => {
  for (const words of [
    ['npm', 'ci'],
    ['npm', 'run', 'build'],
  ]) {
    const [command = '', ...rest] = words;
    const { status, stdout, stderr } = spawnSync(command, rest, { cwd: SITE, encoding: 'utf8' });
    if (status !== 0) throw new Error(`${words.join(' ')} in site: ${stdout}\n${stderr}`);
  }
  server = createServer(({ url = '' }, response) => {
    const path = decodeURIComponent(new URL(url, 'http://site').pathname);
    const file = join(BUILT, posix.normalize(path.endsWith('/') ? `${path}index.html` : path));
    if (!existsSync(file) || !statSync(file).isFile()) return void response.writeHead(404).end();
    response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' });
    response.end(readFileSync(file));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}, INSTALL_AND_BUILD_MS);

afterAll(async () => {
  await browser?.close();
  server?.close();
});

describe('the site', () => {
  it('has a page for each guide, example, decision and export, and no link that leads nowhere', () => {
    const pages = htmlPages();
    for (const page of ['index', 'options', 'examples/chat', 'decisions/index', 'bench/SPEED', 'api/index']) {
      expect(pages.keys(), page).toContain(`${page}.html`);
    }
    const dead = [...pages].flatMap(([page, html]) => deadLinksOf(page, html, pages));
    expect(dead).toEqual([]);
  });

  describe.skipIf(!hasProgram('chromium'))('in a browser', () => {
    it('finds what people look for', { timeout: 120_000 * PACE }, async () => {
      const page = await openPage('/getting-started.html');
      await eventually(async () => {
        // The button does something from the moment on in which the page's script runs.
        const open = `document.querySelector('.VPLocalSearchBox') ?? document.querySelector('.VPNavBarSearch button').click()`;
        await page.evaluate(`void (${open})`);
        expect(await page.texts('.VPLocalSearchBox .search-input')).toHaveLength(1);
      });
      for (const [term, wanted] of TERMS) {
        await page.evaluate(`(() => {
          const input = document.querySelector('.VPLocalSearchBox .search-input');
          input.value = ${JSON.stringify(term)};
          input.dispatchEvent(new Event('input', { bubbles: true }));
        })()`);
        await eventually(async () => {
          const found = (await page.evaluate(
            `[...document.querySelectorAll('.VPLocalSearchBox .result')].map((one) => one.getAttribute('href'))`,
          )) as string[];
          expect(pagesOf(found).slice(0, 5), term).toContain(wanted);
        });
      }
    });

    it('is no wider than a screen of 400 pixels', { timeout: 120_000 * PACE }, async () => {
      const page = await openPage('/');
      await page.resize(400, 800);
      for (const path of ['/', '/options.html', '/http.html', '/bench/SPEED.html', '/examples/chat.html', '/api/']) {
        await page.goto(origin + path);
        await eventually(async () => expect(await page.evaluate('document.readyState')).toBe('complete'));
        expect(await page.evaluate('document.documentElement.scrollWidth'), path).toBeLessThanOrEqual(400);
      }
    });
  });
});

async function openPage(path: string): Promise<Page> {
  browser ??= await Chromium.start();
  const page = await browser.open(origin + path);
  await eventually(async () => expect(await page.texts('.VPNavBarSearch button')).not.toEqual([]));
  return page;
}

/** The pages behind links to their parts, each once, in order. */
function pagesOf(links: readonly string[]): string[] {
  const paths = links.map((link) => new URL(link, origin).pathname.replace(/^\//, '').replace(/\.html$/, ''));
  return [...new Set(paths)];
}

/** @returns the text of each page, by its path */
function htmlPages(): Map<string, string> {
  const files = readdirSync(BUILT, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.html'));
  return new Map(files.map((name) => [name, readFileSync(join(BUILT, name), 'utf8')]));
}

/** Links to a page, a part of a page or a file that is not there. */
function deadLinksOf(page: string, html: string, pages: ReadonlyMap<string, string>): string[] {
  const links = [...html.matchAll(/<a [^>]*href="([^"]+)"/g)].map(([, href = '']) => href.replaceAll('&amp;', '&'));
  return links.filter((href) => !leadsSomewhere(href, page, html, pages)).map((href) => `${page}: ${href}`);
}

function leadsSomewhere(href: string, page: string, html: string, pages: ReadonlyMap<string, string>): boolean {
  if (/^[a-z]+:/.test(href)) return true;
  const [path = '', hash = ''] = href.split('#');
  if (page === '404.html') return true;
  let target = path === '' ? page : posix.join(path.startsWith('/') ? '' : dirname(page), decodeURIComponent(path));
  target = target.replace(/^\//, '');
  if (target === '' || target === '.' || target.endsWith('/')) target = posix.join(target, 'index.html');
  const text = path === '' ? html : pages.get(target);
  if (text === undefined) return existsSync(join(BUILT, target));
  return hash === '' || text.includes(`id="${decodeURIComponent(hash)}"`) || text.includes(`id="${hash}"`);
}
