/** wrk, the load generator, where it is installed (Debian: wrk). */
import { spawn, spawnSync } from 'node:child_process';
import { DEADLINE_MS } from './deadline.js';

export function hasProgram(name: string): boolean {
  return spawnSync('which', [name], { stdio: 'ignore' }).status === 0;
}

export interface WrkResult {
  readonly requests: number;
  /** connect, read, write and time-out errors together. Answers that never come are none: wrk waits for them for good. */
  readonly errors: number;
  /** Answers that were not 2xx or 3xx. */
  readonly refused: number;
  readonly output: string;
}

export interface WrkRun {
  readonly done: Promise<WrkResult>;
  stop(): void;
}

/** wrk counts an answer that has come later than this as a time-out. The 2 s that it takes by itself a busy machine takes too. */
const LATEST_ANSWER = ['--timeout', `${Math.ceil(DEADLINE_MS / 1000)}s`];

export function startWrk(url: string, connections: number, seconds: number, ...more: string[]): WrkRun {
  const child = spawn('wrk', ['-t1', `-c${connections}`, `-d${seconds}`, ...LATEST_ANSWER, ...more, url], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text));
  const done = new Promise<WrkResult>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (code !== 0) return reject(new Error(`wrk ended with ${signal ?? code}:\n${output}`));
      resolve({ ...parse(output), output });
    });
  });
  done.catch(() => {});
  return { done, stop: () => void child.kill('SIGINT') };
}

function parse(output: string): Omit<WrkResult, 'output'> {
  const requests = Number(/(\d+) requests in/.exec(output)?.[1]);
  const [, ...errors] = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(output) ?? [];
  const refused = Number(/Non-2xx or 3xx responses: (\d+)/.exec(output)?.[1] ?? 0);
  return { requests, errors: errors.reduce((sum, count) => sum + Number(count), 0), refused };
}
