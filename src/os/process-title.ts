/** A title for this process, as `ps` and `top` show it. */
import { readFileSync } from 'node:fs';
import { addressOf, allocateStable, isLinux, libc } from './libc.js';
import { setThreadName } from './process.js';

const PR_SET_MM = 35;
const PR_SET_MM_MAP = 14;

/** struct prctl_mm_map: eleven addresses, the auxiliary vector (left alone), the descriptor of the executable. */
const MM_MAP_BYTES = 104;
const BRK_AT = 5 * 8;
const ARG_START_AT = 7 * 8;
const ARG_END_AT = 8 * 8;
const EXE_DESCRIPTOR_AT = 100;
/**
 * The fields of /proc/self/stat (proc(5)) with the addresses, in the struct's order: start and end of code, of data, start
 * of brk, brk (missing: 0), stack, start and end of argv, of the environment.
 */
const STAT_FIELDS = [26, 27, 45, 46, 47, 0, 28, 48, 49, 50, 51];

/** The kernel reads the title from here from then on, so it must stay. */
let titleMemory: Buffer | undefined;

/**
 * `process.title` can only overwrite the original argv, which is too short for a master started as `node a.js`. So this
 * gives the kernel another address for argv (prctl(2), PR_SET_MM_MAP). Where the kernel refuses, the title is truncated.
 */
export function setProcessTitle(title: string): void {
  process.title = title;
  setThreadName(title);
  if (!isLinux || process.title === title) return;
  const map = currentMemoryMap();
  if (map === undefined) return;
  titleMemory = allocateStable(Buffer.byteLength(title) + 1);
  titleMemory.write(title);
  const start = BigInt(addressOf(titleMemory));
  map.writeBigUInt64LE(start, ARG_START_AT);
  map.writeBigUInt64LE(start + BigInt(titleMemory.length), ARG_END_AT);
  libc.prctl(PR_SET_MM, PR_SET_MM_MAP, addressOf(map), MM_MAP_BYTES, 0);
}

/** The current map: the call sets all fields, so all must be known. */
function currentMemoryMap(): Buffer | undefined {
  const stat = readFileSync('/proc/self/stat', 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' '); // from field 3 on
  const brk = /^[0-9a-f]+-([0-9a-f]+) .*\[heap\]$/m.exec(readFileSync('/proc/self/maps', 'latin1'))?.[1];
  if (brk === undefined) return undefined;
  const map = allocateStable(MM_MAP_BYTES);
  STAT_FIELDS.forEach((number, index) => {
    if (number > 0) map.writeBigUInt64LE(BigInt(fields[number - 3] ?? 0), index * 8);
  });
  map.writeBigUInt64LE(BigInt(`0x${brk}`), BRK_AT);
  map.writeInt32LE(-1, EXE_DESCRIPTOR_AT);
  return map;
}
