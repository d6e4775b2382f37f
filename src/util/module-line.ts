/** Where in a module an error arose that kept it from being loaded. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** A check takes some 0.1 s. */
const CHECK_TIMEOUT_MS = 5000;

/** @param file a path or a file: URL @returns as in "it cannot be loaded (line 3)"; empty: the file has no part in it */
export function lineOfFailure(file: string, error: unknown): string {
  const path = file.startsWith('file:') ? fileURLToPath(file) : file;
  return (error instanceof SyntaxError ? lineOfSyntaxError(path) : '') || lineThatThrew(path, error);
}

/** @returns the topmost of its lines; empty where it has no part in the error */
export function lineThatThrew(path: string, error: unknown): string {
  const stack = error instanceof Error ? String(error.stack) : '';
  for (const place of [pathToFileURL(path).href, path]) {
    const [, after] = stack.split(`${place}:`, 2);
    const line = /^\d+/.exec(after ?? '')?.[0];
    if (line !== undefined) return ` (line ${line})`;
  }
  return '';
}

/**
 * Node keeps the place out of the error.
 * @returns empty where another file has the error, or Node does not check TypeScript; never the line's text, which may hold a secret
 */
function lineOfSyntaxError(path: string): string {
  const options = { encoding: 'utf8', timeout: CHECK_TIMEOUT_MS } as const;
  const { stderr } = spawnSync(process.execPath, ['--check', path], options);
  const line = /^.+:(\d+)\n.*\n *\^/m.exec(stderr)?.[1];
  return line === undefined ? '' : ` (line ${line})`;
}
