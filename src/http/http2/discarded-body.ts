/**
 * The rest of a request that was answered before all of its body had come. A client need not heed the answer while it
 * sends, and one that is told to stop (RST_STREAM) may lose an answer that it has not read yet: curl up to 7.88 does, as
 * do libraries that take each RST_STREAM for a failure. So the rest is taken and dropped, within bounds. Runs in a worker.
 */
import type { ServerHttp2Stream } from 'node:http2';
import { monotonicMs } from '../../util/clock.js';

/** A client that sends nothing for this long is waiting, as a rule for the end of its answer. */
const PAUSE_MS = 1000;
/** However steadily it sends. */
const MOST_MS = 5000;

/**
 * @param mostBytes so many are dropped at most
 * @param done called once: all of it has come (true), or no more of it is taken (false)
 */
export function discardRest(stream: ServerHttp2Stream, mostBytes: number, done: (hasCome: boolean) => void): void {
  const until = monotonicMs() + MOST_MS;
  let left = mostBytes;
  const end = (hasCome: boolean): void => {
    clearTimeout(timer);
    stream.off('data', came);
    stream.off('end', onEnd);
    stream.off('close', onClose);
    done(hasCome);
  };
  const timer = setTimeout(() => end(false), PAUSE_MS);
  const came = ({ length }: Buffer): void => {
    left -= length;
    if (left < 0 || monotonicMs() >= until) end(false);
    else timer.refresh();
  };
  const onEnd = (): void => end(true);
  const onClose = (): void => end(false);
  stream.on('data', came);
  stream.once('end', onEnd);
  stream.once('close', onClose);
  stream.resume();
}
