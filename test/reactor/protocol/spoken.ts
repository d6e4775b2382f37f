/** The protocols of the server, as their conformance suite sees them. */
import { AnswerFlag, BodyFlag, CloseCode, Event, PieceFlag, Request, RequestFlag } from '../../../src/ipc/frame.js';
import { type Framer, MORE } from '../../../src/protocol/framing/framer.js';
import type { Connection } from '../../../src/reactor/connection.js';
import type { TlsStream } from '../../../src/reactor/transport/tls-stream.js';
import {
  type ReactorWorld,
  type SentFrame,
  someHttp,
  someWebSocket,
  type TakenFrame,
} from '../../helpers/reactor-world.js';
import { clientFrame, closePayload, Op, serverFrame } from '../../helpers/websocket-frames.js';
import type { Spoken } from './talk.js';

const isPacket = ({ type }: TakenFrame): boolean => type === Event.receive;

/** Sends back what it gets. */
const echo = () => (frame: TakenFrame) => (isPacket(frame) ? [{ type: Request.send, payload: frame.text }] : []);

const texts = ['one', 'the second', 'and a third one'] as const;

const bytes = {
  messages: texts,
  answers: texts,
  expected: ['one', 'onethe second', 'onethe secondand a third one'],
  heard: (frames: readonly TakenFrame[]) =>
    frames
      .filter(isPacket)
      .map(({ text }) => text)
      .join(''),
  worker: echo,
  isBusy: false,
  long: (length: number) => 'x'.repeat(length),
  overdueCode: CloseCode.ANSWER_TIMEOUT,
} as const;

export const stream: Spoken = { ...bytes, name: 'stream', options: {} };

export const tunnel: Spoken = {
  ...bytes,
  name: 'tunnel',
  options: { port: { http: someHttp } },
  open: openTunnel,
};

/** By an upgrade that a worker has accepted. */
export function openTunnel(world: ReactorWorld, worker: number, secure: TlsStream | null): Connection {
  const connection = world.connect(worker, secure);
  world.clientSends(connection, 'GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\n');
  const request = world.take(worker).find(({ type }) => type === Event.request);
  const flags = AnswerFlag.tunnel;
  world.sends(connection, [{ type: Request.answer, flags, detail: request?.detail ?? 0, payload: 'switching' }]);
  world.transport.passOn(connection);
  world.sending.transportDrained(connection);
  world.client(connection).got = '';
  return connection;
}

const HEADER = 4;
const lengths: Framer = {
  packetLength: (read, from, to) => (to - from < HEADER ? MORE : HEADER + read.readUInt32BE(from)),
};

function packet(text: string): string {
  const header = Buffer.alloc(HEADER);
  header.writeUInt32BE(text.length);
  return header.toString('latin1') + text;
}

const packets = texts.map(packet) as unknown as Spoken['messages'];

export const framed: Spoken = {
  ...bytes,
  name: 'framed',
  options: { framing: { framer: lengths, packageMaxLength: 1 << 20 } },
  messages: packets,
  answers: packets,
  expected: packets.map((_, index) => packets.slice(0, index + 1).join('|')) as unknown as Spoken['expected'],
  heard: (frames) =>
    frames
      .filter(isPacket)
      .map(({ text, flags }) => ((flags & PieceFlag.more) === 0 ? `${text}|` : text))
      .join('')
      .replace(/\|$/, ''),
  long: (length) => packet('x'.repeat(length)),
};

const heads = [
  'GET /one HTTP/1.1\r\nhost: a\r\n\r\n',
  'POST /two HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n',
  'PUT /three HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n',
] as const;
const decoded = [heads[0], `${heads[1]}hello`, `${heads[2]}chunks`] as const;
const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';
/** The two words before the head. */
const PREFIX_BYTES = 8;

export const http1: Spoken = {
  name: 'http1',
  options: { port: { http: someHttp } },
  messages: [heads[0], decoded[1], `${heads[2]}4;a=b\r\nchun\r\n2\r\nks\r\n0\r\n\r\n`],
  answers: [OK, OK, OK],
  expected: [decoded[0], decoded[0] + decoded[1], decoded.join('')],
  heard: (frames) =>
    frames
      .map(({ type, text }) => (type === Event.request ? text.slice(PREFIX_BYTES) : type === Event.body ? text : ''))
      .join(''),
  worker: () => answerWhole,
  isBusy: true,
  long: (length) => `POST /long HTTP/1.1\r\nhost: a\r\ncontent-length: ${length}\r\n\r\n${'x'.repeat(length)}`,
  staysFrom: (decoded[0] + decoded[1] + heads[2]).length,
  overdueCode: CloseCode.HTTP_TIMEOUT,
};

/** Takes all of a body, and answers when it is whole. */
function answerWhole({ type, flags, detail, text }: TakenFrame): readonly SentFrame[] {
  const isWhole = type === Event.request ? (flags & RequestFlag.bodyFollows) === 0 : (flags & BodyFlag.last) !== 0;
  if (type !== Event.request && type !== Event.body) return [];
  const size = Buffer.alloc(8);
  size.writeDoubleLE(text.length);
  const taken = type === Event.body ? [{ type: Request.taken, detail, payload: size }] : [];
  if (!isWhole) return taken;
  return [...taken, { type: Request.answer, flags: AnswerFlag.last, detail, payload: OK }];
}

const latin1 = (frames: readonly Buffer[]): string => Buffer.concat(frames).toString('latin1');
const spokenTexts = ['one', 'the second', 'and a third one'] as const;

export const webSocket: Spoken = {
  name: 'websocket',
  options: { port: { http: someHttp, webSocket: someWebSocket } },
  open: openWebSocket,
  messages: [
    latin1([clientFrame(Op.text, spokenTexts[0])]),
    latin1([clientFrame(Op.text, 'the ', { fin: false }), clientFrame(Op.continuation, 'second')]),
    latin1([clientFrame(Op.binary, spokenTexts[2], { mask: 0x01020384 })]),
  ],
  answers: spokenTexts.map((text) => latin1([serverFrame(Op.text, text)])) as unknown as Spoken['answers'],
  expected: spokenTexts.map((_, index) => spokenTexts.slice(0, index + 1).join('|')) as unknown as Spoken['expected'],
  heard: (frames) => messagesIn(frames).join('|'),
  worker: () => {
    const taken: TakenFrame[] = [];
    return (frame) => {
      taken.push(frame);
      if (frame.type === Event.closing) return [{ type: Request.disconnect, detail: frame.detail }];
      if (frame.type !== Event.message || (frame.flags & PieceFlag.more) !== 0) return [];
      const [text = ''] = messagesIn(taken.splice(0));
      return [{ type: Request.send, payload: serverFrame(Op.text, Buffer.from(text, 'latin1')) }];
    };
  },
  isBusy: false,
  long: (length) => latin1([clientFrame(Op.text, 'x'.repeat(length))]),
  farewell: (code) => latin1([serverFrame(Op.close, closePayload(code === CloseCode.SERVER_CLOSED ? 1000 : 1012))]),
  overdueCode: CloseCode.ANSWER_TIMEOUT,
};

/** Messages in what workers have got. */
function messagesIn(frames: readonly TakenFrame[]): string[] {
  const messages: string[] = [];
  for (const { type, flags, detail, text } of frames) {
    if (type !== Event.message) continue;
    const payload = text.slice(detail);
    if ((flags & PieceFlag.continued) === 0) messages.push(payload);
    else messages[messages.length - 1] += payload;
  }
  return messages;
}

function openWebSocket(world: ReactorWorld, worker: number, secure: TlsStream | null): Connection {
  const connection = world.connect(worker, secure);
  world.protocols.webSocket.begin(connection, false);
  return connection;
}
