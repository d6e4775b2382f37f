/** How the conformance suite of protocols talks with one that joins it. */
import { CloseCode, CloseFlag, Event, Request } from '../../../src/ipc/frame.js';
import { ReactorCounter } from '../../../src/memory/boards.js';
import type { Connection } from '../../../src/reactor/connection.js';
import type { TlsStream } from '../../../src/reactor/transport/tls-stream.js';
import type { FromClient } from '../../helpers/fake-transport.js';
import { ReactorWorld, type SentFrame, type TakenFrame, type WorldOptions } from '../../helpers/reactor-world.js';

/** A protocol, as the suite sees it. Texts are latin1. */
export interface Spoken {
  readonly name: string;
  /** A world whose listen port speaks it. */
  readonly options: WorldOptions;
  /** How a connection comes to speak it, where its port begins with another one. */
  open?(world: ReactorWorld, worker: number, secure: TlsStream | null): Connection;
  /** What a client may send, in this order. */
  readonly messages: readonly [string, string, string];
  /** What arrives at the client for each of them. */
  readonly answers: readonly [string, string, string];
  /** What a worker has got, as one text: the same however the bytes came. */
  heard(frames: readonly TakenFrame[]): string;
  /** What `heard` gives of the first, of two, of all messages. */
  readonly expected: readonly [string, string, string];
  /** A worker of its own: what it sends back for each frame. */
  worker(): (frame: TakenFrame) => readonly SentFrame[];
  /** A connection counts as busy until its worker has answered. */
  readonly isBusy: boolean;
  /** A message of about so many bytes, if one may be longer than a ring. */
  long?(bytes: number): string;
  /** When so many bytes have come and workers have answered it cannot go over to another process: an upload is under way. */
  readonly staysFrom?: number;
  /** What a client hears last when the server ends the connection. @param code CloseCode */
  farewell?(code: number): string;
  /** CloseCode of a connection whose client has ended its side and whose worker does not answer. */
  readonly overdueCode: number;
}

const MOST_ROUNDS = 1000;

/** What the reactor asks of the handshake; nothing is encrypted here. */
export const someTls = { alpn: '', isDestroyed: false } as unknown as TlsStream;

export interface TalkOptions extends WorldOptions {
  readonly isEncrypted?: boolean;
  readonly worker?: number;
}

/** A client, its connection, and the workers. */
export class Talk {
  readonly spoken: Spoken;
  world: ReactorWorld;
  connection: Connection;
  readonly frames: TakenFrame[] = [];
  readonly #reply: (frame: TakenFrame) => readonly SentFrame[];
  readonly #isEncrypted: boolean;

  /** @param world where it is not the first of its world */
  constructor(spoken: Spoken, { isEncrypted = false, worker = 0, ...options }: TalkOptions = {}, world?: ReactorWorld) {
    this.spoken = spoken;
    this.world = world ?? new ReactorWorld(optionsOf(spoken, options));
    if (isEncrypted) this.world.transport.encrypts();
    this.#isEncrypted = isEncrypted;
    this.#reply = spoken.worker();
    const secure = isEncrypted ? someTls : null;
    this.connection = spoken.open?.(this.world, worker, secure) ?? this.world.connect(worker, secure);
  }

  sends(...sent: (FromClient | string)[]): void {
    this.world.clientSends(this.connection, ...sent);
  }

  /** Workers take what there is and answer it, until nothing more comes. */
  serve(): void {
    let rounds = 0;
    for (let taken = this.#take(); taken.length > 0; taken = this.#take()) {
      if (++rounds > MOST_ROUNDS) throw new Error('workers do not come to an end');
      for (const frame of taken) this.world.sends(frame, this.#answerTo(frame));
    }
  }

  /** Workers take what there is, and do not answer. */
  takes(): void {
    this.#take();
  }

  /** What was sent by hand to the worker's side, such as `close`. */
  workerSends(...frames: SentFrame[]): void {
    this.world.sends(this.connection, frames);
    if (this.#isEncrypted) this.passOn();
  }

  /** What the transport holds back reaches the client. */
  passOn(): void {
    this.world.transport.passOn(this.connection);
    this.world.sending.transportDrained(this.connection);
    this.world.turn();
  }

  /** It goes, and its worker knows. */
  resets(): void {
    this.world.ending.reset(this.connection, CloseCode.SERVER_RESET);
    this.#take();
  }

  /** All goes over to the reactor of another process. */
  goesOver(): void {
    const { sessionId } = this.connection;
    this.world = this.world.successor();
    const connection = this.world.context.connectionOf(sessionId);
    if (connection === undefined) throw new Error('it has not gone over');
    this.connection = connection;
  }

  get heard(): string {
    return this.spoken.heard(this.frames);
  }

  get got(): string {
    return this.world.client(this.connection).got;
  }

  /** Codes of the `close` events that its workers have got, in order. */
  get closes(): number[] {
    return this.frames.filter(({ type }) => type === Event.close).map(({ detail }) => detail);
  }

  get discarded(): number {
    return this.world.board.read(0, ReactorCounter.discarded);
  }

  #take(): TakenFrame[] {
    let taken = this.#takeAll();
    if (taken.length === 0) taken = this.#takeAll(); // there was no room for what comes now
    this.frames.push(...taken);
    return taken;
  }

  #takeAll(): TakenFrame[] {
    const taken = this.world.takeAll();
    this.world.turn();
    if (this.#isEncrypted) this.passOn();
    return taken.filter(({ sessionId }) => sessionId === this.connection.sessionId);
  }

  /** A worker that hears of the client's end finishes its answers and says so. */
  #answerTo(frame: TakenFrame): readonly SentFrame[] {
    if (frame.type !== Event.close) return this.#reply(frame);
    return (frame.flags & CloseFlag.awaitsAnswers) === 0 ? [] : [{ type: Request.closed }];
  }
}

function optionsOf({ options }: Spoken, given: WorldOptions): WorldOptions {
  return {
    ...{ ...options, ...given },
    ...{ port: { ...options.port, ...given.port }, options: { ...options.options, ...given.options } },
  };
}
