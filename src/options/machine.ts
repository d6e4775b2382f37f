import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** The facts of a machine that defaults depend on. */
export interface Machine {
  /** Threads that can run at once. */
  readonly cores: number;
  /** How many descriptors this process may have open (the soft limit). */
  readonly descriptorLimit: number;
}

const DESCRIPTOR_LIMIT_UNKNOWN = 10_000;

export function currentMachine(): Machine {
  return { cores: availableParallelism(), descriptorLimit: descriptorLimit() };
}

function descriptorLimit(): number {
  try {
    return parseDescriptorLimit(readFileSync('/proc/self/limits', 'utf8'));
  } catch {
    return DESCRIPTOR_LIMIT_UNKNOWN; // no /proc: not Linux, or a sandbox
  }
}

/** The soft limit in the text of /proc/PID/limits; Infinity for "unlimited". */
export function parseDescriptorLimit(limits: string): number {
  const soft = /^Max open files\s+(\d+|unlimited)/m.exec(limits)?.[1];
  if (soft === undefined) return DESCRIPTOR_LIMIT_UNKNOWN;
  return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft);
}
