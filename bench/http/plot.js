// node bench/http/plot.js [RESULTS] [FOLDER]: bar charts from the raw figures, one SVG per case.
// The background stays transparent and the greys are of middle lightness: they can be read on white and on dark.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { summarize } from './report.js';

const INK = '#7a828e';
const OURS = '#3b82f6';
const OTHERS = '#98a1ae';
const [NAMES_WIDTH, BAR_WIDTH, VALUE_WIDTH, ROW, TOP] = [230, 250, 80, 24, 64];
const PANEL = BAR_WIDTH + VALUE_WIDTH;

export function drawPlots({ cases }, folder) {
  mkdirSync(folder, { recursive: true });
  for (const one of cases) {
    const rows = summarize(one);
    if (rows.length > 0) writeFileSync(join(folder, `${one.id}.svg`), draw(one.title, rows));
  }
}

function draw(title, rows) {
  const [width, height] = [NAMES_WIDTH + 2 * PANEL, TOP + rows.length * ROW + 8];
  const middle = (index) => TOP + index * ROW + ROW / 2;
  const names = rows.map(({ name }, index) => text(NAMES_WIDTH - 10, middle(index), name, 'text-anchor="end"'));
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">`,
    `<title>${escapeXml(title)}</title>`,
    `<g font-family="system-ui, sans-serif" font-size="13" fill="${INK}">`,
    text(10, 18, title, 'font-weight="600" font-size="15"'),
    ...names,
    ...panel(NAMES_WIDTH, 'CPU µs per request (less is better)', rows, 'cpuUs', (value) => value.toFixed(1)),
    ...panel(NAMES_WIDTH + PANEL, 'requests/s (more is better)', rows, 'requestsPerSecond', (value) =>
      Math.round(value).toLocaleString('en'),
    ),
    '</g>',
    '</svg>',
  ];
  return `${parts.join('\n')}\n`;
}

function panel(x, title, rows, figure, format) {
  const most = Math.max(...rows.map((row) => row[figure]), Number.MIN_VALUE);
  const bars = rows.flatMap((row, index) => {
    const [width, y] = [(row[figure] / most) * BAR_WIDTH, TOP + index * ROW];
    const fill = row.name.startsWith('tswoole') ? OURS : OTHERS;
    return [
      `<rect x="${x}" y="${y + 4}" width="${width.toFixed(1)}" height="${ROW - 8}" rx="2" fill="${fill}"/>`,
      text(x + width + 6, y + ROW / 2, format(row[figure])),
    ];
  });
  return [text(x, TOP - 16, title, 'font-weight="600"'), ...bars];
}

function text(x, y, content, attributes = '') {
  return `<text x="${Number(x.toFixed(1))}" y="${y}" dominant-baseline="central" ${attributes}>${escapeXml(content)}</text>`;
}

function escapeXml(content) {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [results, folder] = process.argv.slice(2);
  const raw = readFileSync(results ?? fileURLToPath(new URL('./results.json', import.meta.url)), 'utf8');
  drawPlots(JSON.parse(raw), folder ?? fileURLToPath(new URL('./plots', import.meta.url)));
}
