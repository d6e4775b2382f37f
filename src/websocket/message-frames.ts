/** Frames messages for clients: a server's frames are not masked (RFC 6455 5.1). Runs in every process that sends. */
import { Request } from '../ipc/frame.js';
import type { Outbox } from '../ipc/outbox.js';
import { Reply } from '../ipc/reply.js';
import { FIN, headerBytesFor, Opcode, RSV1, writeHeader } from '../protocol/websocket/frame-header.js';
import { isAscii } from '../util/ascii.js';
import { Deflater } from './deflate.js';
import type { ReceivedText } from './received-text.js';

const MOST_HEADER_BYTES = 10;

export class MessageFrames {
  readonly #outbox: Outbox;
  readonly #received: ReceivedText;
  /** Used again. */
  readonly #reply = new Reply(Request.send, 0);
  readonly #heads = new Map<number, Buffer>();
  readonly #head = Buffer.alloc(MOST_HEADER_BYTES);
  #deflater: Deflater | undefined;

  constructor(outbox: Outbox, received: ReceivedText) {
    this.#outbox = outbox;
    this.#received = received;
  }

  /** @param deflated the client takes compressed messages, and this one is to be @returns as `Outbox.send` */
  push(sessionId: number, data: string | Uint8Array, deflated: boolean): boolean {
    if (deflated) return this.#outbox.send(sessionId, this.deflate(data));
    const reply = this.#reply;
    reply.sessionId = sessionId;
    const isPlain = typeof data === 'string' && isAscii(data);
    const body = isPlain ? null : bytesOf(data);
    const length = isPlain ? data.length : (body as Uint8Array).length;
    reply.head = this.#headOf(FIN | (typeof data === 'string' ? Opcode.text : Opcode.binary), length);
    reply.text = isPlain ? data : '';
    reply.body = body;
    const goesOn = this.#outbox.reply(reply);
    reply.body = null; // not kept until the next message
    return goesOn;
  }

  /** As it goes to a room. */
  plain(data: string | Uint8Array): Buffer {
    return frame(FIN | opcodeOf(data), bytesOf(data));
  }

  deflate(data: string | Uint8Array): Buffer {
    return frame(FIN | RSV1 | opcodeOf(data), this.#received.compressedFormOf(data) ?? this.#compress(data));
  }

  #compress(data: string | Uint8Array): Buffer {
    this.#deflater ??= new Deflater();
    return this.#deflater.deflate(bytesOf(data));
  }

  #headOf(first: number, length: number): Buffer {
    const bytes = headerBytesFor(length);
    if (bytes > 2) return this.#head.subarray(0, writeHeader(this.#head, 0, first, length));
    const key = first * 128 + length;
    const known = this.#heads.get(key);
    if (known !== undefined) return known;
    const head = Buffer.from([first, length]);
    this.#heads.set(key, head);
    return head;
  }
}

function frame(first: number, payload: Uint8Array): Buffer {
  const bytes = headerBytesFor(payload.length);
  const framed = Buffer.allocUnsafe(bytes + payload.length);
  writeHeader(framed, 0, first, payload.length);
  framed.set(payload, bytes);
  return framed;
}

const opcodeOf = (data: string | Uint8Array): number => (typeof data === 'string' ? Opcode.text : Opcode.binary);

function bytesOf(data: string | Uint8Array): Buffer {
  if (typeof data === 'string') return Buffer.from(data);
  return Buffer.isBuffer(data) ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}
