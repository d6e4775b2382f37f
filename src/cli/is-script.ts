/** Whether a file can be the script of a server: `tswoole init` writes its name into a config file, which is used much later. */
import { closeSync, constants, openSync, readSync, statSync } from 'node:fs';
import { basename, extname } from 'node:path';
import { CONFIG_NAMES } from '../config/load.js';

/** Of files that Node runs; a file without an ending is CommonJS. */
export const SCRIPT_ENDINGS = ['.js', '.mjs', '.cjs', '.ts', '.mts', '.cts'];
const DECLARATIONS = /\.d\.[mc]?ts$/;
/** Bytes looked at: what is no text shows it early. */
const LOOKED_AT = 64 * 1024;
const NUL = 0;

/** @returns as in "FILE …"; undefined: it may be one, or it is not there */
export function whyNoScript(file: string): string | undefined {
  const found = statSync(file, { throwIfNoEntry: false });
  if (found === undefined) return undefined;
  if (found.isDirectory()) return 'is a folder';
  if (!found.isFile()) return 'is a device, a pipe or a socket, and not a file';
  const ending = extname(file);
  if (ending !== '' && !SCRIPT_ENDINGS.includes(ending))
    return `must end in ${SCRIPT_ENDINGS.join(', ')}, and ends in ${ending}`;
  if (DECLARATIONS.test(file)) return 'declares types, and has nothing that runs';
  if (CONFIG_NAMES.includes(basename(file))) return 'is a config file of tswoole, and no script of a server';
  return whyNoText(file);
}

function whyNoText(file: string): string | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    return `cannot be read: ${(error as Error).message}`;
  }
  try {
    const bytes = Buffer.alloc(LOOKED_AT);
    const length = readSync(descriptor, bytes, 0, LOOKED_AT, 0);
    return bytes.subarray(0, length).includes(NUL) ? 'is no text' : undefined;
  } finally {
    closeSync(descriptor);
  }
}
