/** Real processes that share one arena: `test/fixtures/sharers.js`. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Arena } from '../../src/shared/arena.js';

const script = fileURLToPath(new URL('../fixtures/sharers.js', import.meta.url));

/** @param argument what each of them gets */
export function startSharer({ descriptor }: Arena, role: string, argument: number): ChildProcess {
  return spawn(process.execPath, [script, role, String(argument)], {
    stdio: ['ignore', 'pipe', 'inherit', descriptor],
  });
}

/** Resolves when it has ended. @returns what it has printed */
export async function heardFrom(child: ChildProcess): Promise<string> {
  let text = '';
  child.stdout?.on('data', (data: Buffer) => {
    text += data.toString();
  });
  await new Promise((resolve) => child.once('close', resolve));
  return text;
}

/** So many processes at once over an arena of their own. @returns what each has printed */
export async function runSharers(number: number, role: string, argument: number): Promise<string[]> {
  const arena = Arena.create();
  try {
    return await Promise.all(Array.from({ length: number }, () => heardFrom(startSharer(arena, role, argument))));
  } finally {
    closeSync(arena.descriptor);
  }
}
