/** The first file of the thread that watches the main thread of a worker. */
import { type Debugger, type InspectorNotification, Session } from 'node:inspector';
import { workerData } from 'node:worker_threads';
import { ProcessRecord } from '../memory/process-board.js';
import { Region } from '../memory/region.js';
import { monotonicMs } from '../util/clock.js';
import type { StackWatchData } from './stack-watch.js';

const { region, peer, timeoutMs } = workerData as StackWatchData;
const record = ProcessRecord.ofPeer(Region.open(region), peer);
/**
 * The manager acts when the whole time is over: the stack should be there by then. A loop that turns again before that should
 * have left one too, so that what blocks it now and then is found.
 */
const LOOK_AFTER_MS = Math.min(timeoutMs * 0.7, 1000);
const LOOKS_PER_WAIT = 14;
const MOST_FRAMES = 40;

let takenFor = 0;

setInterval(() => {
  const { seenAt } = record;
  if (seenAt === 0 || takenFor === seenAt || monotonicMs() - seenAt < LOOK_AFTER_MS) return;
  takenFor = seenAt;
  takeStack();
}, LOOK_AFTER_MS / LOOKS_PER_WAIT);

/** A main thread that is in the kernel, or in native code, does not stop: then there is no stack. */
function takeStack(): void {
  const session = new Session();
  session.connectToMainThread();
  const urls = new Map<string, string>();
  session.on('Debugger.scriptParsed', ({ params: { scriptId, url } }) => urls.set(scriptId, url));
  session.once('Debugger.paused', ({ params }: InspectorNotification<Debugger.PausedEventDataType>) => {
    record.stack = describe(params.callFrames, urls);
    session.post('Debugger.resume', () => session.disconnect());
  });
  session.post('Debugger.enable', () => session.post('Debugger.pause'));
}

function describe(frames: readonly Debugger.CallFrame[], urls: ReadonlyMap<string, string>): string {
  return frames
    .slice(0, MOST_FRAMES)
    .map(({ functionName, location: { scriptId, lineNumber, columnNumber = 0 } }) => {
      const place = `${urls.get(scriptId) ?? ''}:${lineNumber + 1}:${columnNumber + 1}`;
      return `at ${functionName === '' ? place : `${functionName} (${place})`}`;
    })
    .join('\n');
}
