/** The command by which Node runs a script, TypeScript included. */
import { existsSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { extname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { nodeStripsTypes } from '../config/load.js';
import { CliError, ExitCode } from './exit.js';

const TYPESCRIPT = new Set(['.ts', '.mts', '.cts']);
const TSX = 'tsx';

export interface NodeCommand {
  /** Absolute. */
  readonly script: string;
  /** Arguments of Node before the script. */
  readonly nodeArgs: readonly string[];
}

/** @throws CliError usage when there is no such file, failed when this Node cannot run TypeScript */
export function commandFor(given: string, stripsTypes = nodeStripsTypes()): NodeCommand {
  const script = resolve(given);
  if (!existsSync(script))
    throw new CliError(
      ExitCode.usage,
      `There is no file ${script}. Give the script of the server: tswoole start server.js`,
    );
  refuseOther(script, given);
  if (!TYPESCRIPT.has(extname(script))) return { script, nodeArgs: [] };
  if (stripsTypes) return { script, nodeArgs: [] };
  const tsx = findTsx(script);
  if (tsx !== undefined) return { script, nodeArgs: ['--import', tsx] };
  throw new CliError(
    ExitCode.failed,
    `${script} is TypeScript. Node ${process.version} does not run it by itself (from 22.18 on it does), and the project has no tsx. ` +
      'Take a newer Node, or: npm install --save-dev tsx',
  );
}

function refuseOther(script: string, given: string): void {
  const found = statSync(script);
  if (found.isFile()) return;
  const what = found.isDirectory() ? 'is a folder' : 'is a device, a pipe or a socket, and not a file';
  const example = found.isDirectory() && given !== '' ? join(given, 'server.js') : 'server.js';
  throw new CliError(ExitCode.usage, `${script} ${what}. Give the script of the server: tswoole start ${example}`);
}

/** The project's own. */
function findTsx(script: string): string | undefined {
  try {
    return pathToFileURL(createRequire(script).resolve(TSX)).href;
  } catch {
    return undefined;
  }
}
