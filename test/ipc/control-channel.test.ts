import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ControlChannel } from '../../src/ipc/control-channel.js';

type Message = { type: string; text?: string };
const decode = (value: unknown): Message | undefined =>
  (value as Message | null)?.type === 'known' ? (value as Message) : undefined;

let folder: string;
let server: Server;
let ours: Socket;
let theirs: Socket;
let channel: ControlChannel<Message, Message>;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'channel-'));
  server = createServer().listen(join(folder, 'socket'));
  await once(server, 'listening');
  theirs = createConnection(join(folder, 'socket'));
  [ours] = (await once(server, 'connection')) as [Socket];
  channel = new ControlChannel(ours, decode);
});

afterEach(() => {
  channel.close();
  theirs.destroy();
  server.close();
  rmSync(folder, { recursive: true });
});

/** Hears until the other side is gone. */
function hear(): { messages: Message[]; ends: () => number; ended: Promise<void> } {
  const messages: Message[] = [];
  let ends = 0;
  const ended = new Promise<void>((resolve) => {
    const end = (): void => {
      ends++;
      resolve();
    };
    channel.listen({ message: (message) => messages.push(message), end });
  });
  return { messages, ends: () => ends, ended };
}

describe('a control channel', () => {
  it('delivers each line as a message, however the bytes come, in order', async () => {
    const { messages, ended } = hear();
    const bytes = Buffer.from('{"type":"known","text":"é 1"}\n{"type":"known","text":"2"}\n{"type":"known"}\n');
    for (const byte of bytes) {
      theirs.write(Buffer.of(byte));
      await new Promise(setImmediate);
    }
    theirs.end();
    await ended;
    expect(messages).toEqual([{ type: 'known', text: 'é 1' }, { type: 'known', text: '2' }, { type: 'known' }]);
  });

  it('passes over empty lines, lines that are no JSON, and messages it does not know', async () => {
    const { messages, ended } = hear();
    theirs.end('\n{"type"\n{"type":"unknown"}\nnull\n{"type":"known"}\n{"type":"known","text":"not ended"}');
    await ended;
    expect(messages).toEqual([{ type: 'known' }]);
  });

  it('keeps what comes before somebody listens', async () => {
    theirs.end('{"type":"known"}\n');
    await once(theirs, 'finish');
    for (let i = 0; i < 5; i++) await new Promise(setImmediate);
    const { messages, ended } = hear();
    await ended;
    expect(messages).toEqual([{ type: 'known' }]);
  });

  it('tells the end of the other side once, and sends nothing from then on', async () => {
    const { ends, ended } = hear();
    expect(channel.send({ type: 'a' })).toBe(true);
    theirs.destroy();
    await ended;
    for (let i = 0; i < 5; i++) await new Promise(setImmediate);
    expect([ends(), channel.send({ type: 'b' })]).toEqual([1, false]);
    await channel.flushed();
  });

  it('sends one line of JSON per message, and says when all have left', async () => {
    let text = '';
    theirs.setEncoding('utf8').on('data', (piece) => (text += piece));
    channel.send({ type: 'one', text: 'line\nfeed' });
    channel.send({ type: 'two' });
    await channel.flushed();
    channel.close();
    await once(theirs, 'end');
    expect(text).toBe('{"type":"one","text":"line\\nfeed"}\n{"type":"two"}\n');
  });

  it('that was closed tells nobody of its end', async () => {
    const { ends } = hear();
    channel.close();
    await once(theirs.resume(), 'close');
    expect([ends(), channel.send({ type: 'a' })]).toEqual([0, false]);
    await channel.flushed();
  });

  it('is ended by a line that never ends, not by a long one', async () => {
    const { messages, ended } = hear();
    const text = 'x'.repeat(1 << 19);
    theirs.write(`{"type":"known","text":"${text}"}\n`);
    theirs.on('error', () => {});
    theirs.write('y'.repeat(1 << 20));
    theirs.write(`\n{"type":"known","text":"behind"}\n`);
    theirs.write('y'.repeat((1 << 20) + 1));
    await ended;
    expect(messages.map((message) => message.text)).toEqual([text, 'behind']);
  });
});
