import { openDebugger } from '../ipc/inspect.js';
import type { Log } from '../util/log.js';

/** Opens the debugger where Node was asked for one, and logs its address. Runs in every process. */
export async function tellOfDebugger(log: Log): Promise<void> {
  const url = await openDebugger();
  if (url !== undefined) log.info('the debugger of this process listens', { url });
}
