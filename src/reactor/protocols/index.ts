/** The protocols of listen ports. A new protocol is one file here, and one line in `definitions`. */
import { FrameKind, type Protocol } from '../protocol.js';
import type { ProtocolDefinition, ProtocolParts, ProtocolPort, StreamParts, WebSocketUpgrade } from './definition.js';
import { framed } from './framed.js';
import { http1 } from './http1/http1.js';
import { Stream, stream } from './stream.js';
import { WebSockets } from './websocket/web-sockets.js';

/** A port gets the first that speaks it. */
export const definitions: readonly ProtocolDefinition[] = [http1, framed, stream];

export class Protocols {
  /** The protocol of a connection that an upgrade has given to one worker. */
  readonly tunnel: Protocol;
  readonly webSocket: WebSocketUpgrade;
  /** By listen port. */
  readonly #ofPort: readonly Protocol[];
  readonly all: readonly Protocol[];
  /** Protocols with work at the end of each turn. */
  readonly withTurnEnd: readonly Protocol[];
  readonly #kinds = new Uint8Array(256);

  constructor(parts: StreamParts, ports: readonly ProtocolPort[], from = definitions) {
    const tunnel = new Stream(parts, true);
    const webSocket = new WebSockets(parts);
    const all: ProtocolParts = { ...parts, tunnel, webSocket };
    this.tunnel = tunnel;
    this.webSocket = webSocket;
    this.#ofPort = ports.map((port) => createFor(port, all, from));
    this.all = [tunnel, webSocket, ...this.#ofPort];
    this.withTurnEnd = this.all.filter(({ turnEnd }) => turnEnd !== undefined);
    for (const { frames } of this.all) for (const [type, kind] of frames) this.#kinds[type] = kind;
  }

  ofPort(port: number): Protocol {
    const protocol = this.#ofPort[port];
    if (protocol === undefined) throw new RangeError(`there is no listen port ${port}`);
    return protocol;
  }

  /** The protocol of a connection that the preceding process has handed off. */
  named(name: string, port: number): Protocol {
    return [this.tunnel, this.webSocket].find((upgrade) => upgrade.name === name) ?? this.ofPort(port);
  }

  /** How the reactor treats a frame of a protocol's type; `unknown`: no protocol has that type. */
  kindOf(type: number): FrameKind {
    return (this.#kinds[type] ?? FrameKind.unknown) as FrameKind;
  }
}

function createFor(port: ProtocolPort, parts: ProtocolParts, from: readonly ProtocolDefinition[]): Protocol {
  const definition = from.find(({ speaks }) => speaks(port));
  if (definition === undefined) throw new Error(`no protocol speaks listen port ${port.index}`);
  return definition.create(parts, port);
}
