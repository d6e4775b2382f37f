/** A person who debugs a worker needs to know where its debugger listens. */
import { openDebugger } from '../ipc/inspect.js';
import type { Log } from '../util/log.js';

export async function logDebugger(log: Log): Promise<void> {
  const url = await openDebugger();
  if (url !== undefined) log.info('the debugger of this process listens', { url });
}
