/** The line of the access log for a stream of HTTP/2. Runs in a worker. */
import { constants, type IncomingHttpHeaders } from 'node:http2';
import type { AccessLog } from '../../access-log/access-log.js';
import { RequestText } from '../../access-log/request-text.js';
import { monotonicMs } from '../../util/clock.js';
import type { HeldStream } from './held-connection.js';

const { NGHTTP2_NO_ERROR } = constants;
/** As nginx has it: the client has gone before there was an answer. */
const CLIENT_GONE = 499;

/** Of the line that is written now. */
const request = new RequestText();

/** Called when the head has come; the line is written when the stream has ended. */
export function logStream(log: AccessLog, held: HeldStream, headers: IncomingHttpHeaders, client: string): void {
  const { ':method': method = '', ':path': target = '', ':authority': authority } = headers;
  const path = target.replaceAll(' ', '%20');
  if (log.skipsPaths && log.skips(path)) return;
  const { stream } = held;
  const since = monotonicMs();
  const { referer = '', 'user-agent': userAgent = '', host = authority ?? '' } = headers;
  const end = (): void => {
    const { headersSent, aborted, rstCode, writableFinished } = stream;
    const status = headersSent ? Number(stream.sentHeaders[':status']) : CLIENT_GONE;
    const isCut = !headersSent || aborted || (rstCode !== NGHTTP2_NO_ERROR && !writableFinished);
    const now = monotonicMs();
    const ms = Math.round(now - since);
    const requestLine = `${method} ${path} HTTP/2.0`;
    request.set({ requestLine, host, referer, userAgent });
    log.write({ client, request, status, bytes: held.sentBytes, ms, isCut }, now);
  };
  // Its last bytes leave behind that event.
  stream.once('close', () => setImmediate(end));
}
