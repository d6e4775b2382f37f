/** Where the time of a CPU profile went, in a few lines: what V8 writes is for the developer tools. */
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The part of V8's format (Profiler.Profile of the DevTools protocol) that is read here. */
interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  /** Node of each sample. */
  readonly samples: readonly number[];
  /** µs from the sample before. */
  readonly timeDeltas: readonly number[];
}

const MOST_LINES = 8;
/** Of less one cannot say whether it was so or chance. */
const LEAST_SHARE = 0.005;

/**
 * @returns lines: how busy the process was, and what it was busy with, by the time within each function itself; none where
 * the file is another user's, or is no profile
 */
export function summaryOf(path: string, folder = process.cwd()): string[] {
  try {
    return summarize(JSON.parse(readFileSync(path, 'utf8')) as Profile, folder);
  } catch {
    return [];
  }
}

function summarize({ nodes, samples, timeDeltas }: Profile, folder: string): string[] {
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
  const times = new Map<string, number>();
  let all = 0;
  for (const [i, id] of samples.entries()) {
    const frame = frames.get(id);
    const us = Math.max(0, timeDeltas[i] ?? 0);
    if (frame === undefined) continue;
    const what = placeOf(frame, folder);
    times.set(what, (times.get(what) ?? 0) + us);
    all += us;
  }
  if (all === 0) return [];
  const share = (us: number): string => `${((us / all) * 100).toFixed(1)} %`.padStart(7);
  const idle = times.get(IDLE) ?? 0;
  times.delete(IDLE);
  const rows = [...times]
    .filter(([, us]) => us >= all * LEAST_SHARE)
    .sort(([, a], [, b]) => b - a)
    .slice(0, MOST_LINES)
    .map(([what, us]) => `${share(us)}  ${what}`);
  return [
    `${share(all - idle).trim()} of ${(all / 1e6).toFixed(1)} s busy${rows.length > 0 ? ', with:' : ''}`,
    ...rows,
  ];
}

const IDLE = '(idle)';

/** `render (views/page.js:12)`. What V8 puts in brackets is no function: its own code, the collection of garbage. */
function placeOf({ functionName, url, lineNumber }: Profile['nodes'][number]['callFrame'], folder: string): string {
  if (functionName === '(program)') return 'native code and system calls';
  if (functionName === '(garbage collector)') return 'collection of garbage';
  const name = functionName === '' ? '(anonymous)' : functionName;
  if (url === '') return name;
  const path = url.startsWith('file:') ? fileURLToPath(url) : url;
  const near = path.startsWith('/') ? relative(folder, path) : path;
  return `${name} (${near.startsWith('../..') ? path : near}:${lineNumber + 1})`;
}
