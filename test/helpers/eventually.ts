import { vi } from 'vitest';
import { DEADLINE_MS } from './deadline.js';

/** Waits until the check holds, on a slow machine as well. Where time is fake, each look moves it on by 5 ms. */
export function eventually(check: () => void): Promise<void> {
  return vi.waitFor(check, { timeout: DEADLINE_MS, interval: 5 });
}
