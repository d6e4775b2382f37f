import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

interface Dashboard {
  readonly panels: readonly { readonly title: string; readonly targets: readonly { readonly expr: string }[] }[];
  readonly templating: { readonly list: readonly { readonly query: string | { readonly query: string } }[] };
}

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const dashboard = JSON.parse(read('examples/grafana/dashboard.json')) as Dashboard;
const source = read('src/control/metrics.ts');
const docs = read('docs/metrics.md');
const queries = [
  ...dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)),
  ...dashboard.templating.list.map(({ query }) => (typeof query === 'string' ? query : query.query)),
];
const names = [...new Set(queries.flatMap((query) => query.match(/\btswoole_\w+/g) ?? []))].map((name) =>
  name.replace(/_(bucket|sum|count)$/, ''),
);

it('the dashboard asks for many figures, each panel for one at least', () => {
  expect(names.length).toBeGreaterThan(35);
  expect(dashboard.panels.filter(({ targets }) => !targets.some(({ expr }) => expr.includes('tswoole_')))).toEqual([]);
});

it.each(names)('%s of the dashboard is a figure of /metrics, and in its docs', (name) => {
  const isShared = name.startsWith('tswoole_shared_');
  const word = name.replace(/^tswoole_(shared_)?/, '');
  const key = word.replace(/_total$/, '').replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
  expect(source).toMatch(isShared ? new RegExp(`^  ${key}: '`, 'm') : new RegExp(`\\('?${word}'|^ +'${word}',$`, 'm'));
  const tokens = [...docs.matchAll(/`(tswoole_\w+|_\w+)/g)].map(([, token]) => token as string);
  // The docs name what begins alike once, and of the others the end.
  expect(tokens.some((token) => token === name || (token.startsWith('_') && name.endsWith(token)))).toBe(true);
});

it.each(queries)('%s has its brackets in pairs, and a rate of counters only', (query) => {
  for (const [open, close] of ['()', '{}', '[]']) {
    expect(query.split(open as string)).toHaveLength(query.split(close as string).length);
  }
  for (const [, name] of query.matchAll(/rate\((\w+)/g)) expect(name).toMatch(/_(total|bucket)$/);
  for (const [, name, next] of query.matchAll(/(?<!rate\()\b(tswoole_\w+)(.?)/g)) {
    if (next !== undefined) expect(name).not.toMatch(/_total$/);
  }
});
