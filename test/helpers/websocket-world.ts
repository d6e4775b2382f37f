/** A reactor's WebSockets on fakes: a client, and a worker that echoes or that the test answers for. */
import { inflateRawSync } from 'node:zlib';
import { ClosingFlag, Event, MessageFlag, PieceFlag, Request } from '../../src/ipc/frame.js';
import type { Connection } from '../../src/reactor/connection.js';
import type { WebSocketLimits } from '../../src/reactor/context.js';
import type { FromClient } from './fake-transport.js';
import { ReactorWorld, someHttp, someWebSocket, type TakenFrame, type WorldOptions } from './reactor-world.js';
import { Op, type ReadFrame, readServerFrames, serverFrame } from './websocket-frames.js';

const TAIL = Buffer.from([0, 0, 0xff, 0xff]);

export function webSocketWorld(limits: Partial<WebSocketLimits> = {}, { port, ...options }: WorldOptions = {}) {
  return new ReactorWorld({
    ...options,
    port: { http: someHttp, webSocket: { ...someWebSocket, ...limits }, ...port },
  });
}

/** One WebSocket. */
export class Socket {
  world: ReactorWorld;
  connection: Connection;
  /** What its worker has got: 't' or 'b', and the payload, inflated; texts are latin1. */
  readonly messages: string[] = [];
  /** Ends that its worker was told: code and reason. */
  readonly closings: (readonly [code: number, reason: string, isByClient: boolean])[] = [];
  readonly others: TakenFrame[] = [];
  #pieces: string[] = [];
  #unanswered: (() => void)[] = [];

  constructor(world: ReactorWorld, deflate = false) {
    this.world = world;
    this.connection = world.connect();
    world.protocols.webSocket.begin(this.connection, deflate);
  }

  sends(...sent: FromClient[]): this {
    this.world.clientSends(this.connection, ...sent);
    return this;
  }

  /** The worker takes what there is, echoes messages and answers closes, until nothing more comes. */
  serve(): this {
    do this.answers();
    while (this.takes() > 0);
    return this;
  }

  /** The worker takes what there is, and does not answer yet. @returns how many frames it was */
  takes(): number {
    const count = this.#takeAll();
    return count > 0 ? count : this.#takeAll(); // there was no room for what comes now
  }

  #takeAll(): number {
    const frames = this.world.takeAll().filter(({ sessionId }) => sessionId === this.connection.sessionId);
    for (const frame of frames) this.#take(frame);
    this.world.turn();
    return frames.length;
  }

  answers(): void {
    for (const answer of this.#unanswered.splice(0)) answer();
  }

  /** All goes over to the reactor of another process. */
  goesOver(): void {
    const { sessionId } = this.connection;
    this.world = this.world.successor();
    this.connection = this.world.context.connectionOf(sessionId)!;
  }

  /** The slot may be used again. */
  isDone(): void {
    this.sends('end');
    this.serve();
    if (!this.connection.isClosed) this.world.ending.reset(this.connection, 0);
    this.takes();
  }

  /** All frames that the client has got. @throws Error where a server may not send that */
  get got(): ReadFrame[] {
    const bytes = Buffer.from(this.world.client(this.connection).got, 'latin1');
    const { frames, taken } = readServerFrames(bytes);
    if (taken !== bytes.length) throw new Error(`the client got ${bytes.length - taken} bytes that are no frame`);
    return frames;
  }

  /** What the client got but control frames, as `messages`. */
  get echoes(): string[] {
    return this.got
      .filter(({ opcode }) => opcode < Op.close)
      .map(({ opcode, payload }) => `${opcode === Op.text ? 't' : 'b'}${payload.toString('latin1')}`);
  }

  get pongs(): string[] {
    return this.got.filter(({ opcode }) => opcode === Op.pong).map(({ payload }) => payload.toString('latin1'));
  }

  get pings(): number {
    return this.got.filter(({ opcode }) => opcode === Op.ping).length;
  }

  /** Code and reason of the Close frame, which is the last one; undefined: none has come. */
  get close(): { code: number; reason: string } | undefined {
    const at = this.got.findIndex(({ opcode }) => opcode === Op.close);
    if (at < 0) return undefined;
    if (at !== this.got.length - 1) throw new Error('the client got frames behind the Close frame');
    const { payload } = this.got[at]!;
    if (payload.length === 0) return { code: 1005, reason: '' };
    return { code: payload.readUInt16BE(), reason: payload.toString('utf8', 2) };
  }

  #take(frame: TakenFrame): void {
    const { type, flags, detail, text } = frame;
    if (type === Event.message) return this.#message(flags, text.slice(detail));
    if (type !== Event.closing) {
      this.others.push(frame);
      return;
    }
    if ((flags & ClosingFlag.closeFollows) !== 0) return; // again, for whoever gets `close`
    const reason = Buffer.from(text, 'latin1').toString();
    this.closings.push([detail, reason, (flags & ClosingFlag.byClient) !== 0]);
    if ((flags & ClosingFlag.awaitsAnswer) === 0) return;
    this.#unanswered.push(() => this.world.sends(this.connection, [{ type: Request.disconnect, detail }]));
  }

  #message(flags: number, payload: string): void {
    if ((flags & PieceFlag.continued) === 0) this.#pieces = [];
    this.#pieces.push(payload);
    if ((flags & PieceFlag.more) !== 0) return;
    const bytes = Buffer.from(this.#pieces.join(''), 'latin1');
    const data = (flags & MessageFlag.deflated) !== 0 ? inflated(bytes) : bytes;
    const isText = (flags & MessageFlag.binary) === 0;
    this.messages.push(`${isText ? 't' : 'b'}${data.toString('latin1')}`);
    if ((flags & MessageFlag.ascii) !== 0 && data.some((byte) => byte > 0x7f)) throw new Error('it is not ASCII');
    const payloadSent = serverFrame(isText ? Op.text : Op.binary, data);
    for (let at = 0; at < payloadSent.length; at += 60_000) {
      const piece = payloadSent.subarray(at, at + 60_000);
      this.#unanswered.push(() => this.world.sends(this.connection, [{ type: Request.send, payload: piece }]));
    }
  }
}

/** As far as it goes: a worker checks what it inflates, and a fake need not. */
const inflated = (bytes: Buffer): Buffer =>
  bytes.length === 0 ? bytes : inflateRawSync(Buffer.concat([bytes, TAIL]), { finishFlush: 2 });
