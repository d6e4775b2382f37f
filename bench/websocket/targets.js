// What each case must reach: the median of one server beside that of a peer, both of the same run.
import { median } from '../harness/rounds.js';

const [base, inProcess] = ['tswoole BASE', 'tswoole PROCESS'];
const [ws, bun] = ['ws + bufferutil', 'Bun'];
const target = (title, server, peer, most) => ({ title, server, peer, most });

export const targets = [
  target('echo, 16 B', base, ws, 0.6),
  target('echo, 16 B', base, bun, 1),
  target('echo, 16 B', inProcess, ws, 0.7),
  target('echo, 1 KiB', base, ws, 0.6),
  target('echo, 1 KiB', base, bun, 1),
  target('echo, 1 KiB', inProcess, ws, 0.7),
  target('echo, 64 KiB', base, ws, 1),
  target('echo, 16 B, 16 in flight', base, ws, 0.45),
  target('echo, 16 B, 16 in flight', inProcess, ws, 0.45),
  target('broadcast, 64 B to 1,000', base, ws, 0.65),
  target('broadcast, 64 B to 1,000', base, bun, 0.9),
  target('broadcast, 64 B to 1,000, four outstanding', base, ws, 0.3),
  target('broadcast, 64 B to 1,000, four outstanding', inProcess, ws, 0.3),
  target('deflate echo, 1 KiB JSON', base, ws, 0.15),
  target('deflate echo, 1 KiB JSON', base, bun, 0.8),
  target('idle', base, ws, 0.4),
  target('idle', inProcess, ws, 0.4),
];

/** @param measured by the title of a case: lists of [server, its results] @returns lines of Markdown; none without a pair */
export function targetsTable(measured) {
  const rows = targets.flatMap((one) => {
    const figures = [one.server, one.peer].map((name) => figureOf(measured.get(one.title), name));
    return figures.includes(undefined) ? [] : [row(one, figures[0] / figures[1])];
  });
  if (rows.length === 0) return [];
  return [
    '',
    '## Targets',
    '',
    '| case | server | beside | ratio | target | |',
    '| --- | --- | --- | ---: | ---: | --- |',
    ...rows,
  ];
}

function figureOf(results, name) {
  const list = results?.find(([server]) => server === name)?.[1];
  return list && median(list.map(({ cpuUs, bytes }) => cpuUs ?? bytes));
}

function row({ title, server, peer, most }, ratio) {
  const verdict = ratio <= most ? 'met' : '**missed**';
  return `| ${title} | ${server} | ${peer} | ${ratio.toFixed(2)} | ≤ ${most} | ${verdict} |`;
}
