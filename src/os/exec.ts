/** This process becomes another program: execve(2). */
import * as C from './constants.js';
import { addressOf, allocateStable, lastErrno, libc, syscallError } from './libc.js';

const POINTER_BYTES = 8;
const STANDARD_DESCRIPTORS = 3;

/**
 * Does not return. Standard input, output and error and the sockets passed by systemd (LISTEN_FDS) stay open.
 * @throws SyscallError ENOENT, EACCES, E2BIG, …
 */
export function replaceProcess(file: string, args: readonly string[], environment: NodeJS.ProcessEnv): never {
  const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  // Kept in variables: the kernel reads them during the call.
  const argv = pointersTo([file, ...args]);
  const env = pointersTo(variables);
  keepOpen(STANDARD_DESCRIPTORS + (Number(environment['LISTEN_FDS']) || 0));
  libc.execve(file, argv.table, env.table);
  throw syscallError(lastErrno(), `execve ${file}`);
}

/** Clears close-on-exec, which Node has set on every descriptor it was started with. */
function keepOpen(count: number): void {
  for (let descriptor = 0; descriptor < count; descriptor++) libc.fcntl(descriptor, C.F_SETFD, 0);
}

function pointersTo(texts: readonly string[]): { table: Buffer; strings: Buffer[] } {
  const strings = texts.map(cString);
  const table = allocateStable((texts.length + 1) * POINTER_BYTES); // ends with a null pointer
  for (const [index, text] of strings.entries()) table.writeBigUInt64LE(BigInt(addressOf(text)), index * POINTER_BYTES);
  return { table, strings };
}

function cString(text: string): Buffer {
  const bytes = Buffer.from(text, 'utf8');
  const stable = allocateStable(bytes.length + 1);
  bytes.copy(stable);
  return stable;
}
