/** What the parts of HTTP on one listen port share. Runs in the reactor. */
import type { ReactorCounter } from '../../../memory/boards.js';
import type { Connection } from '../../connection.js';
import type { HttpOptions, ReactorContext } from '../../context.js';
import type { Dispatcher } from '../../dispatcher.js';
import type { Ending } from '../../ending.js';
import type { FanOut } from '../../fan-out.js';
import type { Protocol } from '../../protocol.js';
import type { Reading } from '../../reading.js';
import type { Sending } from '../../sending.js';
import type { ProtocolParts, ProtocolPort } from '../definition.js';
import { Access } from './access.js';
import type { HttpState } from './http-state.js';

export class Http1Parts {
  readonly context: ReactorContext;
  readonly ending: Ending;
  readonly sending: Sending;
  readonly fanOut: FanOut;
  readonly dispatcher: Dispatcher;
  readonly reading: Reading;
  readonly tunnel: Protocol;
  readonly webSocket: ProtocolParts['webSocket'];
  readonly rooms: ProtocolParts['rooms'];
  /** Of the port. */
  readonly options: HttpOptions;
  readonly refused: ProtocolParts['refused'];
  /** Undefined: there is no access log. */
  readonly access: Access | undefined;

  constructor(parts: ProtocolParts, port: ProtocolPort) {
    this.context = parts.context;
    this.ending = parts.ending;
    this.sending = parts.sending;
    this.fanOut = parts.fanOut;
    this.dispatcher = parts.dispatcher;
    this.reading = parts.reading;
    this.tunnel = parts.tunnel;
    this.webSocket = parts.webSocket;
    this.rooms = parts.rooms;
    this.refused = parts.refused;
    this.options = port.options.http as HttpOptions;
    this.access = parts.accessLog === undefined ? undefined : new Access(parts.accessLog, this);
  }

  count(counter: (typeof ReactorCounter)[keyof typeof ReactorCounter]): void {
    this.context.board.add(this.context.id, counter, 1);
  }
}

/** The state of a connection whose protocol is HTTP/1. */
export function stateOf({ state }: Connection): HttpState {
  return state as HttpState;
}
