import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { request } from 'node:http';

/** Where the payload of the first frame begins and ends. */
function bounds(bytes = Buffer.alloc(0)) {
  if (bytes.length < 4)
    return bytes.length > 1 && bytes.readUInt8(1) < 2
      ? { begin: 2, end: 2 + bytes.readUInt8(1) }
      : { begin: 2, end: 4 };
  const short = bytes.readUInt8(1);
  return short === 126 ? { begin: 4, end: 4 + bytes.readUInt16BE(2) } : { begin: 2, end: 2 + short };
}

/** A WebSocket for tests that sends and reads short texts: Node 20 has none of its own. */
export async function openSocket(port = 8080, path = '/') {
  const asked = request({
    host: '127.0.0.1',
    port,
    path,
    headers: {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': randomBytes(16).toString('base64'),
    },
  });
  asked.end();
  const [, socket, head] = await once(asked, 'upgrade');
  let rest = Buffer.concat([head]);

  /** One whole frame, as soon as it has arrived. */
  async function frame() {
    for (;;) {
      const { begin, end } = bounds(rest);
      if (rest.length >= end) {
        const found = { opcode: rest.readUInt8(0) & 15, text: rest.toString('utf8', begin, end) };
        rest = rest.subarray(end);
        return found;
      }
      if (socket.readableEnded || socket.destroyed) throw new Error('The server closed the connection.');
      const piece = socket.read();
      if (piece === null) await once(socket, 'readable');
      else rest = Buffer.concat([rest, piece]);
    }
  }

  return {
    send(text = '') {
      const payload = Buffer.from(text);
      // Fin and text; masked, with a mask of zeros. Up to 125 bytes.
      socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | payload.length, 0, 0, 0, 0]), payload]));
    },
    /** The next message of this type; others are passed over. */
    async next(type = 'say') {
      for (;;) {
        const { opcode, text } = await frame();
        if (opcode !== 1) continue;
        const message = JSON.parse(text);
        if (message.type === type) return message;
      }
    },
    close() {
      socket.destroy();
    },
  };
}
