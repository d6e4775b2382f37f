// node bench/http/plot.js [RESULTS] [FOLDER]: bar charts from the raw figures, one SVG per case.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { drawBars } from '../harness/plot.js';
import { summarize } from './report.js';

const panels = [
  { title: 'CPU µs per request (less is better)', figure: 'cpuUs', format: (value) => value.toFixed(1) },
  {
    title: 'requests/s (more is better)',
    figure: 'requestsPerSecond',
    format: (value) => Math.round(value).toLocaleString('en'),
  },
];

export function drawPlots({ cases }, folder) {
  mkdirSync(folder, { recursive: true });
  for (const one of cases) {
    const rows = summarize(one).map((row) => ({ ...row, isOurs: row.name.startsWith('tswoole') }));
    if (rows.length > 0) writeFileSync(join(folder, `${one.id}.svg`), drawBars(one.title, [{ rows, panels }]));
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [results, folder] = process.argv.slice(2);
  const raw = readFileSync(results ?? fileURLToPath(new URL('./results.json', import.meta.url)), 'utf8');
  drawPlots(JSON.parse(raw), folder ?? fileURLToPath(new URL('./plots', import.meta.url)));
}
