/** What a test has left behind: to be compared with what was there before. */
import { readdirSync } from 'node:fs';

/** Descriptors of this process, but the one by which they are read. */
export function openDescriptors(): string[] {
  return readdirSync('/dev/fd').sort((a, b) => Number(a) - Number(b));
}
