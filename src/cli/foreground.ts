/** Several apps in the foreground, under one command: their output with their names, and one end for all. */
import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { Readable } from 'node:stream';
import { LineCutter } from '../util/line-cutter.js';
import { ExitCode } from './exit.js';
import type { Launch } from './launch.js';
import { paint } from './terminal.js';

export interface NamedLaunch {
  readonly name: string;
  readonly launch: Launch;
}

const COLOURS = ['cyan', 'yellow', 'green', 'magenta', 'blue'] as const;
/** Passed on to every app: the ends, and both reloads. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const;
const ENDS: readonly string[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];
/** As in a shell. */
const KILLED = 128;

/**
 * Returns when all have ended. An app that ends by itself ends the others, so that a supervisor sees it: who wants one to
 * outlive another starts daemons.
 * @returns the exit code: of the app that ended by itself, 0 where all were told to
 */
export async function runTogether(launches: readonly NamedLaunch[]): Promise<number> {
  const width = Math.max(...launches.map(({ name }) => name.length));
  const children = new Map<string, ChildProcess>();
  let isEnding = false;
  const toAll = (signal: NodeJS.Signals): void => {
    isEnding ||= ENDS.includes(signal);
    for (const child of children.values()) child.kill(signal);
  };
  for (const signal of SIGNALS) process.on(signal, toAll);
  const codes = launches.map(async ({ name, launch }, index) => {
    const head = paint(COLOURS[index % COLOURS.length] ?? 'cyan', `${name.padEnd(width)} |`);
    const { words, environment, cwd } = launch;
    const child = spawn(process.execPath, words, { cwd, env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
    children.set(name, child);
    passOn(child.stdout, process.stdout, head);
    passOn(child.stderr, process.stderr, head);
    const code = await ended(child, head);
    children.delete(name);
    if (isEnding) return ExitCode.ok;
    process.stderr.write(`tswoole: ${name} has ended with code ${code}; the others are ended too.\n`);
    toAll('SIGTERM');
    return code === 0 ? ExitCode.failed : code;
  });
  const all = await Promise.all(codes);
  for (const signal of SIGNALS) process.off(signal, toAll);
  return all.find((code) => code !== 0) ?? ExitCode.ok;
}

function passOn(from: Readable, to: NodeJS.WriteStream, head: string): void {
  const cutter = new LineCutter((line) => {
    if (to.write(`${head} ${line}\n`)) return;
    from.pause(); // as slow as who reads us
    to.once('drain', () => from.resume());
  });
  from.on('data', (bytes: Buffer) => cutter.write(bytes));
  from.on('end', () => cutter.end());
}

/** @returns when its output has been passed on too */
function ended(child: ChildProcess, head: string): Promise<number> {
  return new Promise((resolve) => {
    child.once('error', (error) => {
      process.stderr.write(`${head} it cannot be started: ${error.message}\n`);
      if (child.pid === undefined) resolve(ExitCode.failed);
    });
    child.once('close', (code, signal) => resolve(code ?? KILLED + (signal === null ? 0 : constants.signals[signal])));
  });
}
