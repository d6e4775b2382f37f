import type { CarriedSocket } from './carried-socket.js';
import type { RawExchange } from './raw-exchange.js';

const CRLF = '\r\n';

/**
 * Feeds a request to Node's parser: its head as it was sent, and its body as its head announces it. The client is
 * read on as Node takes the pieces. Rejects when the client goes in the middle.
 */
export async function feedRequest(exchange: RawExchange, socket: CarriedSocket): Promise<void> {
  const { head, body, isChunked } = exchange;
  if (body.whole !== null) {
    socket.feed(head);
    if (isChunked) feedChunk(socket, body.whole);
    else socket.feed(body.whole);
  } else {
    await feedOrWait(socket, () => socket.feed(head));
    for (let piece = await body.next(); piece !== null && !socket.destroyed; piece = await body.next()) {
      const taken = piece;
      await feedOrWait(socket, () => (isChunked ? feedChunk(socket, taken) : socket.feed(taken)));
    }
  }
  if (isChunked) socket.feed(`0${CRLF}${trailerLines(body.trailers)}${CRLF}`);
}

async function feedOrWait(socket: CarriedSocket, feed: () => boolean): Promise<void> {
  if (!feed()) await socket.wanted();
}

/** An empty one would be the last. */
function feedChunk(socket: CarriedSocket, piece: Buffer): boolean {
  if (piece.length === 0) return true;
  socket.feed(`${piece.length.toString(16)}${CRLF}`);
  socket.feed(piece);
  return socket.feed(CRLF);
}

function trailerLines(trailers: readonly string[]): string {
  let lines = '';
  for (let i = 0; i < trailers.length; i += 2) lines += `${trailers[i]}: ${trailers[i + 1]}${CRLF}`;
  return lines;
}
