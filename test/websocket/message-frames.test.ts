import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { Outbox } from '../../src/ipc/outbox.js';
import { MessageFrames } from '../../src/websocket/message-frames.js';
import { ReceivedText } from '../../src/websocket/received-text.js';

const SYNC_FLUSH = 2;
const compress = (text: string, level: number): Buffer =>
  deflateRawSync(text, { level, finishFlush: SYNC_FLUSH }).subarray(0, -4);
const inflate = (bytes: Buffer): string => inflateRawSync(bytes, { finishFlush: SYNC_FLUSH }).toString();

describe('a compressed frame', () => {
  const text = 'what a client has said to all, '.repeat(20);

  it('takes what the client has compressed, where the text is sent on as it came', () => {
    const received = new ReceivedText();
    const frames = new MessageFrames({} as Outbox, received);
    received.keep(text, compress(text, 9), text.length);
    const frame = frames.deflate(text);
    expect(frame[0]).toBe(0xc1); // FIN, RSV1, text
    expect(frame[1]).toBe(frame.length - 2);
    expect(frame.subarray(2)).toEqual(compress(text, 9));
  });

  it.each([`${text}!`, Buffer.from(text)])('compresses anything else', (data) => {
    const received = new ReceivedText();
    const frames = new MessageFrames({} as Outbox, received);
    received.keep(text, compress(text, 9), text.length);
    expect(inflate(frames.deflate(data).subarray(2))).toBe(String(data));
  });
});
