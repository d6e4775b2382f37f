/** What a child says to its parent when it dies of an uncaught error: why. */
import { writeSync } from 'node:fs';
import { serializeError } from '../errors/index.js';
import { CONTROL_DESCRIPTOR } from './inheritance.js';

/**
 * From here on an uncaught error reaches the parent as a `fatal` message, also while the script is still on its way to
 * `start()`. Written at once: there is no later.
 */
export function leaveLastWords(): void {
  process.on('uncaughtExceptionMonitor', (error) => {
    if (process.listenerCount('uncaughtException') > 0) return; // the script handles it and lives on
    try {
      writeSync(CONTROL_DESCRIPTOR, `${JSON.stringify({ type: 'fatal', error: serializeError(error) })}\n`);
    } catch {
      // The parent is gone or does not read; the error is on standard error too.
    }
  });
}
