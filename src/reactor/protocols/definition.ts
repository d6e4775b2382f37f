/** What a protocol is made of: the parts of its reactor, and its listen port. */
import type { AccessLog } from '../../access-log/access-log.js';
import type { Framer } from '../../protocol/framing/framer.js';
import type { Connection } from '../connection.js';
import type { PortOptions, ReactorContext } from '../context.js';
import type { Dispatcher } from '../dispatcher.js';
import type { Ending } from '../ending.js';
import type { FanOut } from '../fan-out.js';
import type { Protocol } from '../protocol.js';
import type { Batch } from '../publication.js';
import type { Reading } from '../reading.js';
import type { Rooms } from '../rooms.js';
import type { Sending } from '../sending.js';

export interface PortFraming {
  readonly framer: Framer;
  readonly packageMaxLength: number;
}

/** The reactor parts that protocols use. */
export interface ProtocolParts {
  readonly context: ReactorContext;
  readonly ending: Ending;
  readonly sending: Sending;
  readonly fanOut: FanOut;
  readonly dispatcher: Dispatcher;
  readonly reading: Reading;
  /** Reports a client that was disconnected, or refused, because of what it sent. */
  refused(connection: Connection, code: number, message: string): void;
  readonly rooms: Rooms;
  /** Missing: none is written. */
  readonly accessLog?: AccessLog | undefined;
  /** Part of a batch goes to the connection when the send in pieces that is under way is whole. */
  waitForSpeech(connection: Connection, batch: Batch, at: number, length: number): void;
  /** The protocol of a connection that belongs to one worker from here on: its bytes go both ways as they come. */
  readonly tunnel: Protocol;
  /** The protocol of a connection that an upgrade has made a WebSocket. */
  readonly webSocket: WebSocketUpgrade;
}

export interface WebSocketUpgrade extends Protocol {
  /** @param deflate permessage-deflate was agreed upon */
  begin(connection: Connection, deflate: boolean): void;
}

/** What the protocols of upgrades themselves stand on. */
export type StreamParts = Omit<ProtocolParts, 'tunnel' | 'webSocket'>;

/** A listen port, as a protocol sees it. */
export interface ProtocolPort {
  readonly index: number;
  readonly options: PortOptions;
  /** How packets are found; undefined: the result of one read is a packet. */
  readonly framing: PortFraming | undefined;
}

export interface ProtocolDefinition {
  speaks(port: ProtocolPort): boolean;
  create(parts: ProtocolParts, port: ProtocolPort): Protocol;
}
