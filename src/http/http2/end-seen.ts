/** Whether the client has sent all of a request: END_STREAM. Runs in a worker. */
import type { ServerHttp2Stream } from 'node:http2';

/**
 * Node ends the readable side of a stream that the client resets in the same way as one that the client ends (`end` is
 * emitted for both); only the moment differs: a stream that is reset is closed when its end is pushed. To be called in
 * the turn in which the stream comes. Where the end has come in the same read as the head, Node has pushed it before
 * it emits the stream; the state of the stream shows it, but costs a call into Node that a request without a body is
 * spared.
 * @returns true when the client has sent the whole request
 */
export function watchEnd(stream: ServerHttp2Stream): () => boolean {
  let isSeen = stream.endAfterHeaders || (!stream.closed && stream.state.remoteClose === 1);
  const push = stream.push.bind(stream);
  stream.push = (piece: unknown, encoding?: BufferEncoding): boolean => {
    if (piece === null && !stream.closed && !stream.destroyed) isSeen = true;
    return push(piece, encoding);
  };
  return () => isSeen;
}
