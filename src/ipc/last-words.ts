/** Sends the reason to the parent when a child dies of an uncaught error. */
import { writeSync } from 'node:fs';
import { serializeError } from '../errors/index.js';
import { CONTROL_DESCRIPTOR } from './inheritance.js';

/**
 * From now on an uncaught error reaches the parent as a `fatal` message, even before the script has called `start()`.
 * Written synchronously, because the process ends right after.
 */
export function leaveLastWords(): void {
  process.on('uncaughtExceptionMonitor', (error) => {
    if (process.listenerCount('uncaughtException') > 0) return; // the script handles it and lives on
    sendLastWords(error); // the error is on standard error too
  });
}

/** @returns false: the parent is gone, or does not read */
export function sendLastWords(error: Error): boolean {
  try {
    writeSync(CONTROL_DESCRIPTOR, `${JSON.stringify({ type: 'fatal', error: serializeError(error) })}\n`);
    return true;
  } catch {
    return false;
  }
}
