import { constants } from 'node:os';

/** 'SIGKILL' for 9; null for 0, which stands for no signal. */
export function signalName(signal: number): string | null {
  if (signal === 0) return null;
  const known = Object.entries(constants.signals).find(([, number]) => number === signal);
  return known?.[0] ?? `signal ${signal}`;
}
